"""Accuracy of every model under every condition (Table 1, Figure 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from nversion.report.blocks import Block, Cell, Drawing, Grid, Row, Tables, Words
from nversion.report.cards import card_text
from nversion.report.charts import ACCENT, ROWS, labels_down, percent_axis, select, step, tips
from nversion.report.figure import Figure
from nversion.report.frames import with_labels
from nversion.report.labels import (
    UNDEFINED,
    condition_label,
    corruption_label,
    count,
    is_undefined,
    plural,
    points,
)
from nversion.report.registry import Blocks, figure, section
from nversion.report.tables import Study

MOST_APART = 6
"""With more conditions, family, training and parameters share one column."""


@section("resilience", order=20, nav="Resilience", title="Accuracy under each condition")
def resilience(study: Study) -> Blocks:
    datasets = study.values("conditions", "dataset")
    grids = {dataset: accuracy_tables(study, dataset) for dataset in datasets}
    text = (
        "Top-1 accuracy in percent, over its 95 % interval over images; the best of each column is bold. "
        "Top-5 is in tables/models.parquet."
    )
    if any("Mean change" in both[0].columns for both in grids.values()):
        text += " The mean change is that of top-1 from clean to corrupted, in points."
    blocks: list[Block] = [
        Words(text),
        Words("Click a heading to sort. Top-5 is the second table of the list.", quiet=True, only="screen"),
    ]
    return [*blocks, *(Tables(both) for both in grids.values()), Drawing("accuracy_by_condition")]


def accuracy_tables(study: Study, dataset: str) -> list[Grid]:
    """Top-1, then top-5 of a data set: models down, conditions across, the best in bold.

    The accuracies are next to the model's name, its card behind them, so that a narrow screen shows numbers.
    """
    conditions = study.conditions.filter(dataset=dataset)["condition"].to_list()
    rows_of = study.models.filter(pl.col("condition").is_in(conditions)).iter_rows(named=True)
    measured = {(row["model"], row["condition"]): row for row in rows_of}
    heads = [corruption_label(study, c) for c in conditions]
    together = len(conditions) > MOST_APART
    grids = []
    for key, name in (("top1", "Top-1"), ("top5", "Top-5")):
        best = {
            c: max(
                (r[key] for (_, at), r in measured.items() if at == c and not is_undefined(r[key])),
                default=None,
            )
            for c in conditions
        }
        drops = {
            m: _mean_drop(study, {c: measured.get((m, c)) for c in conditions}) for m in study.model_names
        }
        has_drop = key == "top1" and any(drop is not None for drop in drops.values())
        rows = [
            Row(
                facts["model"],
                [
                    *(_cell(measured.get((facts["model"], c)), key, best[c]) for c in conditions),
                    *([_drop_cell(drops[facts["model"]])] if has_drop else []),
                    *_card_cells(facts, together),
                ],
            )
            for facts in study.models.unique("model", keep="first", maintain_order=True).iter_rows(named=True)
        ]
        card = ["Family, training, parameters"] if together else ["Family", "Training", "Para\u00admeters"]
        columns = [*heads, *(["Mean change"] if has_drop else []), *card]
        grids.append(
            Grid(
                f"{name} accuracy on {dataset}, %",
                columns,
                rows,
                corner="Model",
                style="sortable",
                source="models",
                only="" if key == "top1" else "screen",
                tail=len(columns) - len(heads),
            )
        )
    return grids


def _cell(row: Mapping[str, Any] | None, key: str, best: float | None) -> Cell:
    if row is None or is_undefined(row[key]):
        return Cell(UNDEFINED, sort="")
    small = ""
    if key == "top1" and not is_undefined(row["top1_low"]) and not is_undefined(row["top1_high"]):
        small = f"{100 * row['top1_low']:.1f}–{100 * row['top1_high']:.1f}"
    return Cell(f"{100 * row[key]:.1f}", small, sure=row[key] == best, sort=f"{row[key]:.6f}")


def _drop_cell(drop: float | None) -> Cell:
    return Cell(UNDEFINED, sort="") if drop is None else Cell(points(drop), sort=f"{drop:.6f}")


def _card_cells(facts: Mapping[str, Any], together: bool) -> list[Cell]:
    family, training = (card_text(facts, fact) or "—" for fact in ("family", "training"))
    params = count(facts["params"])
    if together:
        return [Cell(family, f"{training}, {params}", left=True)]
    return [Cell(family, left=True), Cell(training, left=True), Cell(params, sort=str(facts["params"] or ""))]


def _mean_drop(study: Study, measured: Mapping[str, Mapping[str, Any] | None]) -> float | None:
    """Mean over the corrupted conditions minus their clean one; None where either is missing."""
    changes = [
        row["top1"] - base["top1"]
        for condition, row in measured.items()
        if (twin := study.clean_twin(condition)) is not None and row and (base := measured.get(twin))
    ]
    known = [change for change in changes if not is_undefined(change)]
    return sum(known) / len(known) if known else None


def baseline(study: Study) -> str:
    """The model in the foreground at first: the study's own, a ResNet-50 as in the paper, or the first."""
    if study.manifest.get("baseline") in study.model_names:
        return str(study.manifest["baseline"])
    return min(study.model_names, key=lambda m: (m.lower() != "resnet50", "resnet50" not in m.lower()))


@figure("accuracy_by_condition")
def accuracy_by_condition(study: Study) -> Figure:
    """Top-1 accuracy with its interval: a row a condition, a line a model."""
    names = study.model_names
    labels = [condition_label(study, c) for c in study.condition_names]
    shown = ["model", "family", "params", "condition", "n", "top1", "top1_low", "top1_high", "top5"]
    rows = (
        with_labels(study, study.models.select(shown))
        .with_columns(
            pl.col("model").replace_strict({m: i for i, m in enumerate(names)}, default=None).alias("order")
        )
        .filter(pl.col("label").is_not_null(), pl.col("top1").is_not_nan())
    )
    chosen = "datum.model === baseline"
    fixed = alt.Scale(domain=[0, 1])
    base = alt.Chart().encode(y=labels_down(labels), yOffset=alt.YOffset("order:O"))

    def either(first: Any, other: Any) -> Any:
        return alt.when(chosen).then(alt.value(first)).otherwise(alt.value(other))

    spans = base.mark_rule().encode(
        x=alt.X("top1_low:Q", scale=fixed),
        x2="top1_high:Q",
        color=either(ACCENT, "#b9c3c8"),
        size=either(3, 1),
    )
    dots = base.mark_point(filled=True, opacity=1).encode(
        x=alt.X("top1:Q", scale=fixed, axis=percent_axis("Top-1 accuracy", tickCount=6)),
        color=either(ACCENT, "#8b979d"),
        size=either(70, 18),
        tooltip=tips(
            model="Model",
            family="Family",
            label="Condition",
            top1=("Top-1", ".1%"),
            top1_low=("95 % from", ".1%"),
            top1_high=("95 % to", ".1%"),
            top5=("Top-5", ".1%"),
            n=("Images", ","),
        ),
    )
    chart = (
        alt.layer(spans, dots, data=ROWS)
        .add_params(select("baseline", "Model in blue: ", names, names, baseline(study)))
        .properties(height=step(max(34, min(84, 5 * len(names)))))
    )
    return Figure(
        title="Accuracy under each condition",
        caption="Each line is a model, in the table's order, with its 95 % interval; one is blue.",
        alt=f"Top-1 accuracy of {plural(len(names), 'model')} under {plural(len(labels), 'condition')}, "
        f"{baseline(study)} in the foreground; the numbers are in the table above.",
        chart=chart,
        data={"rows": rows},
    )
