"""Selection on one half of the images, evaluated on the other half, and its stability over other halves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from nversion.report.blocks import Cell, Drawing, Grid, Row, Tables, Words
from nversion.report.charts import (
    ACCENT,
    CATEGORIES,
    INK,
    MUTED,
    ROWS,
    SHAPES,
    WARM,
    colour,
    key,
    labels_down,
    percent_axis,
    points_axis,
    shape,
    step,
    tips,
    zero_rule,
)
from nversion.report.figure import Figure
from nversion.report.labels import (
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
from nversion.report.registry import Blocks, figure, section
from nversion.report.tables import Choice, Study

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
COLOURS = {CHOSEN_SINGLE: ACCENT} | dict(
    zip(
        ROLES.values(),
        (ACCENT, CATEGORIES[4], CATEGORIES[2], CATEGORIES[3], CATEGORIES[1], MUTED, INK),
        strict=True,
    )
)
MOST_NAMED = 10
"""Contenders that have a row of their own in the figure of stability; the others share one."""
_CRITERIA = {"worst": "under the worst of", "mean": "on average over"}


@section("selection", order=160, nav="Held out", title="Selected on one half, evaluated on the other")
def selection(study: Study) -> Blocks:
    choice = study.selection
    if choice is None:
        return None
    caption = "Top-1 accuracy of the contenders on each part, %"
    table = Grid(
        caption, list(PARTS.values()), contender_rows(choice), corner="Contender", style="contenders"
    )
    sentences = [
        _verdict(choice),
        *stability_words(study),
        _paired(choice),
        *_controls(choice),
        _optimism(choice),
        _hindsight(choice),
        *_looks(study),
    ]
    return [
        Words(_rule(study, choice)),
        Drawing("selection"),
        Drawing("selection_stability"),
        Tables([table]),
        *(Words(text) for text in sentences),
    ]


def _is_single(choice: Choice) -> bool:
    return choice.row("best_ensemble", "held_out", "seen") is not None


def _row(choice: Choice, role: str, scope: str = "seen") -> dict[str, Any]:
    """The row of a contender that every selection has, on the held-out half."""
    row = choice.row(role, "held_out", scope)
    assert row is not None
    return row


def _verdict(choice: Choice) -> str:
    chosen, single = _row(choice, "chosen")["ensemble"], _row(choice, "best_single_model")["ensemble"]
    if _is_single(choice):
        return f"A single model, {chosen}, is selected: no ensemble was more accurate on the selection half."
    return (
        f"The ensemble {chosen} is selected over the best single model, {single}; single models were "
        "candidates, too."
    )


def stability_words(study: Study) -> list[str]:
    """What the same rule selects on other halves of the images, in a sentence; none where not repeated."""
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
    low, middle, high, above = _gains(splits)
    return [
        f"Repeated on {splits.height:,} other halves of the images, the same rule selects {listed(named)}. "
        "On the held-out half, under the seen conditions, the gain over the best single model of the "
        f"selection half is {points(middle)} points in the median, {points(low)} to {points(high)} in nine "
        f"of ten, and above zero in {percent(above)} of them."
    ]


def _gains(splits: pl.DataFrame) -> tuple[float, float, float, float]:
    """5 %, 50 % and 95 % quantiles of the held-out gain, and the share of splits with a gain above zero."""
    gain = splits["gain_held_out"].drop_nans().drop_nulls()
    low, middle, high = (float(gain.quantile(q, "linear") or 0) for q in (0.05, 0.5, 0.95))
    return low, middle, high, len(gain.filter(gain > 0)) / splits.height


def _looks(study: Study) -> list[str]:
    """How often held-out images were evaluated in this folder."""
    said = []
    own = [line for line in study.selections if line.get("study_hash") == study.manifest.get("study_hash")]
    different = {repr(line.get("request")) for line in own}
    if len(different) > 1:
        said.append(
            f"Held-out images were evaluated {len(different)} times with different settings in this folder "
            "(selection-log.jsonl). Shown is the study's own selection, with the default settings; picking "
            "the best of several would select on the held-out images themselves."
        )
    elif different:
        said.append("Held-out images were evaluated once in this folder, for this selection.")
    if study.damaged_selections:
        said.append(
            f"{plural(study.damaged_selections, 'line')} of selection-log.jsonl "
            f"{'does not match its seal' if study.damaged_selections == 1 else 'do not match their seals'}: "
            "there may have been more evaluations."
        )
    return said


def held_out(choice: Choice) -> str:
    """The selected ensemble or model on held-out images, under seen and unseen conditions."""
    seen, unseen = (_row(choice, "chosen", scope) for scope in ("seen", "unseen"))
    single = _row(choice, "best_single_model")
    num_seen, num_unseen = (len(choice.facts[scope]) for scope in ("seen", "unseen"))
    where = _CRITERIA[choice.facts["criterion"]]
    under_seen = "under the same" if num_seen == 1 else f"{where} these"
    under_unseen = (
        "under the one unseen condition" if num_unseen == 1 else f"{where} the {num_unseen} unseen ones"
    )
    selected_on = f"Selected on one half of the images and {plural(num_seen, 'condition')}, "
    if _is_single(choice):
        ensemble, on_unseen = (_row(choice, "best_ensemble", scope) for scope in ("seen", "unseen"))
        return (
            f"{selected_on}a single model, {seen['ensemble']}, is the best: no ensemble was better there. It "
            f"reaches {percent(seen['top1'])} on the other half {under_seen}, and {percent(unseen['top1'])} "
            f"{under_unseen}. Compared with it the best ensemble of the selection half, "
            f"{ensemble['ensemble']}, gains {_difference(ensemble)}, and {_difference(on_unseen)}; both on "
            "held-out images."
        )
    ratio = f"{seen['params'] / single['params']:.1f} times" if single["params"] else "an unknown number of"
    return (
        f"{selected_on}the ensemble {seen['ensemble']} reaches {percent(seen['top1'])} on the other half "
        f"{under_seen}, {_difference(seen)} compared with the best single model, {single['ensemble']}, with "
        f"{ratio} its {count(single['params'])} parameters; {under_unseen} it reaches "
        f"{percent(unseen['top1'])}, {_difference(unseen)}; both on held-out images."
    )


def _rule(study: Study, choice: Choice) -> str:
    facts = choice.facts
    seen, unseen = (listed([condition_label(study, c) for c in facts[scope]]) for scope in ("seen", "unseen"))
    budget = [
        f"at most {count(facts[key])} {unit}"
        for key, unit in (("max_params", "parameters"), ("max_macs", "multiply-adds"))
        if facts.get(key) is not None
    ]
    return (
        f"Of {plural(facts['candidates'], 'ensemble')} by {consensus_label(facts['consensus'])} and "
        f"{plural(facts['single_models'], 'single model')}"
        f"{' with ' + listed(budget) if budget else ''}, the one with the highest accuracy "
        f"{_CRITERIA[facts['criterion']]} the seen conditions ({seen}) was selected on one half of the "
        f"images, drawn with seed {facts['seed']}. The other half and the unseen conditions ({unseen}) were "
        f"held out. The numbers are top-1 accuracies in percent {_CRITERIA[facts['criterion']]} the "
        "conditions of each part, with their 95 % intervals."
    )


def contender_rows(choice: Choice) -> list[Row]:
    """A row a contender, a cell a part; one that is the same in all parts is named once."""
    rows = []
    roles = ROLES | ({"chosen": CHOSEN_SINGLE} if _is_single(choice) else {})
    for role, label in roles.items():
        found = [choice.row(role, half, scope) for half, scope in PARTS]
        names = [_name(row) if row else "" for row in found]
        if not any(found):
            continue
        same = len(set(filter(None, names))) == 1
        cells = [_cell(row, "" if same else name) for row, name in zip(found, names, strict=True)]
        rows.append(Row(label, cells, small=next(filter(None, names), "") if same else ""))
    return rows


def _name(row: Mapping[str, Any]) -> str:
    return str(row["ensemble"] or f"mean over all of {row['size']} members")


def _cell(row: Mapping[str, Any] | None, name: str) -> Cell:
    if row is None:
        return Cell("—")
    low, high = row["top1_low"], row["top1_high"]
    span = "" if is_undefined(low) or is_undefined(high) else f"{100 * low:.1f}–{100 * high:.1f}"
    return Cell(f"{100 * row['top1']:.1f}", span, name=name)


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
        f"{kind} ensemble minus best single model on the same held-out images: {listed(said)} "
        "(95 %, block jackknife)."
    )


def _controls(choice: Choice) -> list[str]:
    """Alternatives of equal cost: seeds of one architecture, one larger model."""
    kind, role = ("best", "best_ensemble") if _is_single(choice) else ("chosen", "chosen")
    chosen = choice.row(role, "held_out", "seen")
    if chosen is None:
        return []
    said = []
    for role, what in (
        ("homogeneous", f"{chosen['size']} models of one architecture"),
        ("same_cost_model", "the single model with the number of multiply-adds nearest to the ensemble's"),
    ):
        row = choice.row(role, "held_out", "seen")
        if row is None:
            continue
        apart = row["top1_low"] > chosen["top1_high"] or row["top1_high"] < chosen["top1_low"]
        said.append(
            f"{what}, {row['ensemble']} ({count(row['macs'])} multiply-adds, compared with "
            f"{count(chosen['macs'])}), "
            f"{'reach' if role == 'homogeneous' else 'reaches'} {_with_interval(row)}"
            f"{'' if apart else ', with overlapping intervals'}"
        )
    if not said:
        return []
    absent = (
        ""
        if choice.row("homogeneous", "held_out", "seen")
        else " No architecture has as many seeds as the ensemble has members, so that control is missing."
    )
    return [
        f"At equal cost, where the {kind} ensemble reaches {_with_interval(chosen)} on the held-out half "
        f"under seen conditions: {'; '.join(said)}.{absent}"
    ]


def _with_interval(row: Mapping[str, Any]) -> str:
    return f"{percent(row['top1'])} [{100 * row['top1_low']:.1f}, {100 * row['top1_high']:.1f}]"


def _optimism(choice: Choice) -> str:
    facts = choice.facts
    return (
        f"Optimism of the selection: {points(facts['optimism'])} points. From the selection half to the "
        f"held-out half the accuracy of what was selected changes by {points(-facts['drop'])}; that of the "
        f"average ensemble, which was not selected, by {points(-facts['average_drop'])}."
    )


def _hindsight(choice: Choice) -> str:
    return (
        "What the rule would have selected on the held-out half itself is better by "
        f"{points(choice.facts['regret_seen'])} points under seen conditions and by "
        f"{points(choice.facts['regret_unseen'])} under unseen ones."
    )


@figure("selection")
def held_out_figure(study: Study) -> Figure | None:
    """Accuracy of the contenders on each part, with its interval; None where nothing was selected."""
    if study.selection is None:
        return None
    parts = pl.DataFrame(
        [(half, scope, label) for (half, scope), label in PARTS.items()],
        schema=["half", "scope", "part"],
        orient="row",
    )
    role = pl.when(role="chosen", size=1).then(pl.lit(CHOSEN_SINGLE))
    rows = (
        study.selection.rows.join(parts, on=["half", "scope"], maintain_order="left")
        .with_columns(
            role.otherwise(pl.col("role").replace_strict(ROLES, default=None)).alias("contender"),
            pl.col("ensemble").fill_null(pl.format("mean over all of {} members", "size")),
        )
        .filter(pl.col("contender").is_not_null())
        .select("part", "contender", "ensemble", "n", "top1", "top1_low", "top1_high")
    )
    contenders = [c for c in COLOURS if c in set(rows["contender"])]
    legend = key(contenders)
    base = alt.Chart().encode(
        y=labels_down(list(PARTS.values()), "part", labelExpr="split(datum.label, ', ')", labelLimit=150),
        yOffset=alt.YOffset("contender:N", sort=contenders),
        color=colour("contender", {c: COLOURS[c] for c in contenders}, legend),
    )
    scale = alt.Scale(zero=False)
    spans = base.mark_rule(strokeWidth=2, opacity=0.75).encode(
        x=alt.X("top1_low:Q", scale=scale), x2="top1_high:Q"
    )
    dots = base.mark_point(filled=True, opacity=1, size=60).encode(
        x=alt.X("top1:Q", scale=scale, axis=percent_axis("Top-1 accuracy", tickCount=6)),
        shape=shape("contender", dict(zip(contenders, SHAPES, strict=False)), legend),
        tooltip=tips(
            contender="Contender",
            ensemble="Members",
            part="Part",
            top1=("Top-1", ".1%"),
            top1_low=("95 % from", ".1%"),
            top1_high=("95 % to", ".1%"),
            n=("Images", ","),
        ),
    )
    criterion = study.selection.facts["criterion"]
    return Figure(
        title="Accuracy of the selection on held-out images",
        caption=f"Top-1 accuracy by the rule's own criterion ({criterion} over the conditions) with its 95 % "
        "interval. From the first row to the second the change of the average ensemble shows how much harder "
        "or easier the other half is; a larger loss of the chosen one is the optimism of its selection.",
        alt=f"Accuracies of {listed([c.lower() for c in contenders])} on three parts of the images and "
        "conditions; the numbers are in the table below.",
        chart=alt.layer(spans, dots, data=ROWS).properties(height=step(96)),
        data={"rows": rows},
    )


def split_rows(study: Study) -> pl.DataFrame:
    """A row a split: what was selected, in how many splits it was, and its gain on the held-out half."""
    splits = study.table("selection_splits")
    if splits.is_empty():
        return splits
    counts = splits.group_by("ensemble", maintain_order=True).agg(pl.len().cast(pl.Int64).alias("times"))
    counts = counts.sort("times", descending=True, maintain_order=True).with_row_index("place")
    label = pl.when(pl.col("place") < MOST_NAMED).then(
        pl.format("{} ({} of {})", "ensemble", "times", pl.lit(splits.height))
    )
    return (
        splits.join(counts, on="ensemble", maintain_order="left")
        .with_columns(
            label.otherwise(pl.lit(plural(counts.height - MOST_NAMED, "other contender"))).alias("row"),
            pl.min_horizontal(pl.col("place").cast(pl.Int64), pl.lit(MOST_NAMED)).alias("order"),
        )
        .select(
            "split", "row", "order", "ensemble", "times", "best_single_model", "gain_held_out", "gain_unseen"
        )
    )


@figure("selection_stability")
def stability(study: Study) -> Figure | None:
    """A row a contender that some split selected, a tick a split; None without repeated splits."""
    rows = split_rows(study)
    if rows.is_empty():
        return None
    y = alt.Y(
        "row:N",
        sort=alt.EncodingSortField(field="order", op="min"),
        axis=alt.Axis(title=None, labelLimit=420, grid=True),
    )
    axis = points_axis("Gain on the held-out half over the best single model, points", tickCount=8)
    base = alt.Chart().transform_filter("isValid(datum.gain_held_out)")
    ticks = base.mark_tick(thickness=2, size=15, opacity=0.55, color=ACCENT).encode(
        x=alt.X("gain_held_out:Q", axis=axis),
        y=y,
        tooltip=tips(
            ensemble="Chosen",
            best_single_model="Best single model",
            gain_held_out=("Held-out gain", "+.2%"),
            gain_unseen=("… unseen conditions", "+.2%"),
            times=("Chosen in splits", ""),
        ),
    )
    median = base.transform_aggregate(median="median(gain_held_out)").mark_rule(color=WARM, strokeWidth=2)
    return Figure(
        title="What other halves of the images would have selected",
        caption="A tick is a split; the orange line is the median. Splits share images, so their range is "
        "not an interval.",
        alt=f"Strip plot of the held-out gain in {plural(rows.height, 'split')}, a row a chosen ensemble.",
        chart=alt.layer(zero_rule("x"), ticks, median.encode(x="median:Q"), data=ROWS).properties(
            height=alt.Step(24)
        ),
        data={"rows": rows},
    )
