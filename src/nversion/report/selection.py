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
    "homogeneous": "As many of one architecture",
    "same_cost_model": "One model of about its cost",
    "best_single_model": "Best single model",
    "average_ensemble": "Average ensemble",
    "best_in_hindsight": "Best in hindsight",
}
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
        "sentences": [_paired(choice), *_controls(choice), _optimism(choice), _hindsight(choice)],
    }


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
    ratio = f"{seen['params'] / single['params']:.1f} times" if single["params"] else "an unknown number of"
    return (
        f"Chosen on one half of the images and {plural(num_seen, 'condition')}, the ensemble "
        f"{seen['ensemble']} reaches {percent(seen['top1'])} on the other half {under_seen}, "
        f"{_difference(seen)} against the best single model, {single['ensemble']}, with {ratio} its "
        f"{count(single['params'])} parameters; {under_unseen} that had no say it reaches "
        f"{percent(unseen['top1'])}, {_difference(unseen)}; both are of images that had no part in the "
        "choice."
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
        f"Of {plural(facts['candidates'], 'ensemble')} by {consensus_label(facts['consensus'])}"
        f"{' with ' + listed(budget) if budget else ''}, the one with the highest accuracy "
        f"{_CRITERIA[facts['criterion']]} the seen conditions ({seen}) was chosen on one half of the images, "
        f"drawn with seed {facts['seed']}. The other half, and the unseen conditions ({unseen}), had no say. "
        f"The numbers are top-1 accuracies in percent {_CRITERIA[facts['criterion']]} the conditions of "
        "each part, with their 95 % intervals."
    )


def contender_rows(choice: Choice) -> list[dict[str, Any]]:
    """A row a contender, a cell a part; one that is the same in all parts is named once."""
    rows = []
    for role, label in ROLES.items():
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
    said = [
        f"{_difference(row)} under {scope} conditions"
        for scope in ("seen", "unseen")
        if (row := choice.row("chosen", "held_out", scope))
    ]
    return (
        f"Chosen ensemble less best single model on the same held-out images: {listed(said)} "
        "(95 %, leaving out one block of images at a time)."
    )


def _controls(choice: Choice) -> list[str]:
    """What the same cost buys otherwise: seeds of one architecture, one larger model."""
    chosen = choice.row("chosen", "held_out", "seen")
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
        f"{100 * chosen['top1_high']:.1f}] of the chosen ensemble on the held-out half under seen "
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
        "The ensemble that the rule would have taken on the held-out half itself is better by "
        f"{points(choice.facts['regret_seen'])} points under seen conditions and by "
        f"{points(choice.facts['regret_unseen'])} under unseen ones."
    )
