"""A choice made on one half of the images, told by the other: table rows and sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .labels import (
    against_zero,
    condition_label,
    consensus_label,
    count,
    is_undefined,
    listed,
    percent,
    plural,
    points,
    points_interval,
)
from .tables import Choice, Study

PARTS = {
    ("selection", "seen"): "Half that chose, seen conditions",
    ("held_out", "seen"): "Held-out half, seen conditions",
    ("held_out", "unseen"): "Held-out half, unseen conditions",
}
ROLES = {
    "chosen": "Chosen ensemble",
    "best_ensemble": "Best ensemble",
    "homogeneous": "As many of one architecture",
    "same_cost_model": "One model of about its cost",
    "best_single_model": "Best single model",
    "average_ensemble": "Average ensemble",
    "best_in_hindsight": "Best in hindsight",
}
CHOSEN_SINGLE = "Chosen single model"
"""The first of these where no ensemble was better."""
_CRITERIA = {"worst": "under the worst of", "mean": "on average over"}


def selection(study: Study) -> dict[str, Any] | None:
    """The section's table and sentences; None where nothing was chosen."""
    choice = study.selection
    if choice is None:
        return None
    return {
        "rule": _rule(study, choice),
        "columns": list(PARTS.values()),
        "rows": contender_rows(choice),
        "sentences": [
            _verdict(choice),
            *stability(study),
            _paired(choice),
            *_controls(choice),
            _optimism(choice),
            _hindsight(choice),
            *_looks(study),
        ],
    }


def _is_single(choice: Choice) -> bool:
    return choice.row("best_ensemble", "held_out", "seen") is not None


def _verdict(choice: Choice) -> str:
    row = choice.row("chosen", "held_out", "seen")
    single = choice.row("best_single_model", "held_out", "seen")
    assert row is not None
    assert single is not None
    if _is_single(choice):
        return f"A single model, {row['ensemble']}, is chosen: no ensemble was better on the choosing half."
    return (
        f"The ensemble {row['ensemble']} is chosen, over the best single model, {single['ensemble']}; single "
        "models were candidates, too."
    )


def stability(study: Study) -> list[str]:
    """What the same choice on other halves of the images says, in a sentence; none where it was not made."""
    splits = study.table("selection_splits")
    if splits.is_empty():
        return []
    counted = splits.group_by("ensemble", "size", maintain_order=True).len()
    counted = counted.sort("len", descending=True, maintain_order=True)
    named = [
        f"{'the single model ' if size == 1 else ''}{name} in {num}"
        for name, size, num in counted.head(3).iter_rows()
    ]
    rest = int(counted["len"][3:].sum())
    if rest:
        named.append(f"{plural(counted.height - 3, 'other')} in {rest}")
    gain = splits["gain_held_out"].drop_nans()
    above = len(gain.filter(gain > 0)) / splits.height
    low, middle, high = (gain.quantile(q, "linear") for q in (0.05, 0.5, 0.95))
    return [
        f"Repeated on {splits.height:,} other halves of the images, the same rule takes {listed(named)}. On "
        "the half without a say, under the seen conditions, the choice gains "
        f"{points(float(middle or 0))} points over the best single model of the choosing half in the median, "
        f"{points(float(low or 0))} to {points(float(high or 0))} in nine of ten, and more than nothing in "
        f"{percent(above)} of them."
    ]


def _looks(study: Study) -> list[str]:
    """How often held-out images were looked at in this folder."""
    said = []
    own = [line for line in study.selections if line.get("study_hash") == study.manifest.get("study_hash")]
    different = {repr(line.get("request")) for line in own}
    if len(different) > 1:
        said.append(
            f"Held-out images were looked at {len(different)} times with different settings in this folder "
            "(selection-log.jsonl). What is shown is the study's own selection, with the default settings; "
            "the best of several looks would be chosen by the held-out images themselves."
        )
    elif different:
        said.append("Held-out images were looked at once in this folder, for this selection.")
    if study.damaged_selections:
        said.append(
            f"{plural(study.damaged_selections, 'line')} of selection-log.jsonl "
            f"{'does not match its seal' if study.damaged_selections == 1 else 'do not match their seals'}: "
            "there may have been more looks."
        )
    return said


def held_out(choice: Choice) -> str:
    """What to deploy, as the images and conditions tell that had no say in the choice."""
    seen, unseen = (choice.row("chosen", "held_out", scope) for scope in ("seen", "unseen"))
    single = choice.row("best_single_model", "held_out", "seen")
    assert seen is not None
    assert unseen is not None
    assert single is not None
    num_seen, num_unseen = (len(choice.facts[scope]) for scope in ("seen", "unseen"))
    where = _CRITERIA[choice.facts["criterion"]]
    under_seen = "under the same" if num_seen == 1 else f"{where} these"
    under_unseen = "under the one condition" if num_unseen == 1 else f"{where} the {num_unseen} conditions"
    chosen_on = f"Chosen on one half of the images and {plural(num_seen, 'condition')}, "
    no_part = "both are of images that had no part in the choice."
    if _is_single(choice):
        ensemble, on_unseen = (choice.row("best_ensemble", "held_out", scope) for scope in ("seen", "unseen"))
        assert ensemble is not None
        assert on_unseen is not None
        return (
            f"{chosen_on}a single model, {seen['ensemble']}, is the best: no ensemble was better there. It "
            f"reaches {percent(seen['top1'])} on the other half {under_seen}, and {percent(unseen['top1'])} "
            f"{under_unseen} that had no say. Less that model, the best ensemble of the choosing half, "
            f"{ensemble['ensemble']}, gains {_difference(ensemble)}, and {_difference(on_unseen)}; {no_part}"
        )
    ratio = f"{seen['params'] / single['params']:.1f} times" if single["params"] else "an unknown number of"
    return (
        f"{chosen_on}the ensemble {seen['ensemble']} reaches {percent(seen['top1'])} on the other half "
        f"{under_seen}, {_difference(seen)} against the best single model, {single['ensemble']}, with "
        f"{ratio} its {count(single['params'])} parameters; {under_unseen} that had no say it reaches "
        f"{percent(unseen['top1'])}, {_difference(unseen)}; {no_part}"
    )


def _rule(study: Study, choice: Choice) -> str:
    facts = choice.facts
    known = set(study.conditions["condition"])
    seen, unseen = (
        listed([condition_label(study, c) if c in known else c for c in facts[scope]])
        for scope in ("seen", "unseen")
    )
    budget = [
        f"at most {count(facts[key])} {unit}"
        for key, unit in (("max_params", "parameters"), ("max_macs", "multiply-adds"))
        if facts.get(key) is not None
    ]
    return (
        f"Of {plural(facts['candidates'], 'ensemble')} by {consensus_label(facts['consensus'])} and "
        f"{plural(facts['single_models'], 'single model')}"
        f"{' with ' + listed(budget) if budget else ''}, the one with the highest accuracy "
        f"{_CRITERIA[facts['criterion']]} the seen conditions ({seen}) was chosen on one half of the images, "
        f"drawn with seed {facts['seed']}. The other half, and the unseen conditions ({unseen}), had no say. "
        f"The numbers are top-1 accuracies in percent {_CRITERIA[facts['criterion']]} the conditions of "
        "each part, with their 95 % intervals."
    )


def contender_rows(choice: Choice) -> list[dict[str, Any]]:
    """A row a contender, a cell a part; one that is the same in all parts is named once."""
    rows = []
    roles = ROLES | ({"chosen": CHOSEN_SINGLE} if _is_single(choice) else {})
    for role, label in roles.items():
        found = [choice.row(role, half, scope) for half, scope in PARTS]
        names = [_name(row) if row else "" for row in found]
        if not any(found):
            continue
        same = len(set(filter(None, names))) == 1
        cells = [_cell(row) | {"name": "" if same else name} for row, name in zip(found, names, strict=True)]
        rows.append({"label": label, "name": next(filter(None, names), "") if same else "", "cells": cells})
    return rows


def _name(row: Mapping[str, Any]) -> str:
    return str(row["ensemble"] or f"mean over all of {row['size']} members")


def _cell(row: Mapping[str, Any] | None) -> dict[str, Any]:
    if row is None:
        return {"text": "—", "small": ""}
    low, high = row["top1_low"], row["top1_high"]
    span = "" if is_undefined(low) or is_undefined(high) else f"{100 * low:.1f}–{100 * high:.1f}"
    return {"text": f"{100 * row['top1']:.1f}", "small": span}


def _difference(row: Mapping[str, Any]) -> str:
    low, high = row["difference_low"], row["difference_high"]
    return f"{points(row['difference'])} points {points_interval(low, high)}{against_zero(low, high)}"


def _paired(choice: Choice) -> str:
    kind, role = ("Best", "best_ensemble") if _is_single(choice) else ("Chosen", "chosen")
    said = [
        f"{_difference(row)} under {scope} conditions"
        for scope in ("seen", "unseen")
        if (row := choice.row(role, "held_out", scope))
    ]
    return (
        f"{kind} ensemble less best single model on the same held-out images: {listed(said)} "
        "(95 %, leaving out one block of images at a time)."
    )


def _controls(choice: Choice) -> list[str]:
    """What the same cost buys otherwise: seeds of one architecture, one larger model."""
    kind, role = ("best", "best_ensemble") if _is_single(choice) else ("chosen", "chosen")
    chosen = choice.row(role, "held_out", "seen")
    if chosen is None:
        return []
    said = []
    for role, what in (
        ("homogeneous", f"{chosen['size']} models of one architecture"),
        ("same_cost_model", "the single model whose multiply-adds come nearest to the ensemble's"),
    ):
        row = choice.row(role, "held_out", "seen")
        if row is None:
            continue
        low, high = row["top1_low"], row["top1_high"]
        apart = low > chosen["top1_high"] or high < chosen["top1_low"]
        said.append(
            f"{what}, {row['ensemble']} ({count(row['macs'])} multiply-adds against "
            f"{count(chosen['macs'])}), "
            f"{'reach' if role == 'homogeneous' else 'reaches'} {percent(row['top1'])} "
            f"[{100 * low:.1f}, {100 * high:.1f}]{'' if apart else ', with overlapping intervals'}"
        )
    if not said:
        return []
    text = "; ".join(said)
    absent = (
        ""
        if choice.row("homogeneous", "held_out", "seen")
        else " No architecture is here with as many seeds as the ensemble has members, so that control is "
        "missing."
    )
    return [
        f"At equal cost: against {percent(chosen['top1'])} [{100 * chosen['top1_low']:.1f}, "
        f"{100 * chosen['top1_high']:.1f}] of the {kind} ensemble on the held-out half under seen "
        f"conditions, {text}.{absent}"
    ]


def _optimism(choice: Choice) -> str:
    facts = choice.facts
    return (
        f"Optimism of the choice: {points(facts['optimism'])} points, the luck in its lead. From the half "
        f"that chose it to the other its accuracy changes by {points(-facts['drop'])}; that of the average "
        f"ensemble, which nobody chose, by {points(-facts['average_drop'])}."
    )


def _hindsight(choice: Choice) -> str:
    return (
        "What the rule would have taken on the held-out half itself is better by "
        f"{points(choice.facts['regret_seen'])} points under seen conditions and by "
        f"{points(choice.facts['regret_unseen'])} under unseen ones."
    )
