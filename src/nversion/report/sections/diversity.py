"""Diversity of the ensembles: the paper's Table 2, all metrics, and attribution by how many are right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import compress
from typing import Any

import polars as pl

from nversion.report.blocks import (
    NOT_MEASURED,
    Block,
    Cell,
    Grid,
    Heading,
    Row,
    Tables,
    Words,
    by_condition,
    cell_of,
    coefficient_cell,
    digits_for,
    half_cell,
    quiet,
)
from nversion.report.contenders import Contender, absent, contenders, leaning, of
from nversion.report.frames import NORMAL_QUANTILE, can_relate, keyed, relation, share_of_one_model
from nversion.report.labels import (
    SUBSETS,
    UNDEFINED,
    coefficient,
    condition_label,
    consensus_label,
    metric_label,
    percent,
)
from nversion.report.registry import Blocks, section
from nversion.report.tables import MEAN_ACCURACY, Study

SHANNON = {
    "shannon_right": "Rightly classified",
    "shannon_wrong": "Wrongly classified",
    "shannon_all": "All images",
}
_MEAN_HALF = (
    "± of a mean over ensembles is the mean of their own: the error over images of a mean is at most that."
)


@section("diversity", order=70, nav="Diversity", title="Diversity of the ensembles")
def diversity(study: Study) -> Blocks:
    if study.default_size is None or study.table("diversity").is_empty():
        return None
    blocks: list[Block] = []
    entropy = shannon_table(study)
    if entropy is not None:
        blocks += [
            Heading("Shannon equitability of the answers"),
            Words(
                "Shannon equitability of the members' answers (Eq. 5): 0 where all members of the ensemble "
                "predict one class, 1 where all predict different ones; mean over the images that the "
                "ensemble classifies correctly, and over those that it misclassifies, ± 95 % over images."
            ),
            Tables([entropy]),
            *quiet(leaning(study), absent(study)),
        ]
    raw_maps = _what_raw_maps_show(study)
    blocks += [
        Heading("All metrics"),
        Words(_what_the_overview_shows(study)),
        *([Words(raw_maps)] if raw_maps else []),
        Tables([overview(study)]),
    ]
    conditioned = conditioning_table(study)
    if conditioned is not None:
        blocks += [
            Heading("Attribution diversity, by how many members are right"),
            Words(
                "Maps may differ because members use different evidence for the right answer, or because "
                "some of them err. Only the first is desired: it is what remains where all members are right."
            ),
            Tables([conditioned]),
        ]
    return blocks


def shannon_table(study: Study) -> Grid | None:
    """Table 2 of the paper: contenders down, conditions across, in groups; None where it was not measured."""
    part = study.table("diversity", pl.col("metric").is_in(list(SHANNON)))
    if part.is_empty():
        return None
    rows = [
        (who.label, who.ensemble or "", group, _by_condition(part.filter(metric=metric), who))
        for metric, group in SHANNON.items()
        for who in contenders(study)
    ]
    options = {"corner": "Ensemble", "source": "diversity", "notes": [_MEAN_HALF]}
    return by_condition(study, "Shannon equitability of the answers", rows, _value_cell, **options)


def _by_condition(part: pl.DataFrame, who: Contender) -> dict[str, dict[str, Any]]:
    return keyed(of(part, who, ["condition"], ["value", "stderr"]), "condition")


def _value_cell(row: Mapping[str, Any], digits: int | None = 2) -> Cell:
    return half_cell(row["value"], NORMAL_QUANTILE * row["stderr"], digits)


def _what_the_overview_shows(study: Study) -> str:
    size, consensus = study.default_size, study.default_consensus
    text = (
        f"On {condition_label(study, study.first_condition)}, over all ensembles of {size}: the lowest, the "
        "median and the highest value, with ± 95 % over images, the mean of that of the ensembles"
    )
    if not can_relate(study):
        return f"{text}."
    return (
        f"{text}; and Pearson's correlation with the improvement over the best member by "
        f"{consensus_label(consensus or '')}, bold where its interval excludes zero. The intervals are not "
        "corrected for the number of metrics: of twenty unrelated ones, one excludes zero by chance."
    )


def _what_raw_maps_show(study: Study) -> str:
    """Why attribution diversity is shown for normalised maps: the variance that one model explains."""
    used, size = study.attribution_metric, study.default_size
    raw = None if used is None else study.same_maps(used, normalise="none")
    if used is None or raw is None or raw == used or size is None:
        return ""
    of_raw, of_used = (
        share_of_one_model(study, metric, size, study.first_condition) for metric in (raw, used)
    )
    text = (
        "Attribution diversity is that of maps at unit length. Raw maps, as the paper uses them, differ in "
        "the scale of the models’ gradients more than in the pixels that they highlight"
    )
    if of_raw is None or of_used is None:
        return f"{text}."
    (raw_model, raw_share), (_, share) = of_raw, of_used
    return (
        f"{text}: whether {raw_model} is a member explains {percent(raw_share, 0)} of the raw variance over "
        f"ensembles of {size}; at unit length no model’s membership explains more than {percent(share, 0)}."
    )


def overview(study: Study) -> Grid:
    """A row a metric: direction, bounds, values on the first condition, its relation to improvement."""
    size, condition = study.default_size, study.first_condition
    values = study.table("diversity", size=size, condition=condition)
    where = {"size": size, "consensus": study.default_consensus, "condition": condition}
    rows = []
    for metric in study.metric_names:
        if metric == MEAN_ACCURACY:
            continue
        found = relation(study, metric=metric, statistic="pearson", **where)
        related = coefficient_cell(found["value"], found["low"], found["high"]) if found else NOT_MEASURED
        cells = [*_facts_cells(study.metric(metric)), *_range_cells(values.filter(metric=metric)), related]
        rows.append(Row(metric_label(study, metric), cells))
    columns = [
        "More diverse is",
        "Bounds",
        "Lowest to highest",
        "Median",
        "Undefined pairs",
        "Pearson with improvement",
    ]
    has_undefined = any(row.cells[4].text != "0" for row in rows)
    shown = [True] * 4 + [has_undefined, can_relate(study)]
    return _with_columns(
        f"Diversity of the ensembles of {size} on {condition_label(study, condition)}",
        columns,
        rows,
        shown,
        notes=[] if has_undefined else ["All metrics are defined for all pairs of models."],
    )


def _with_columns(
    caption: str, columns: Sequence[str], rows: Sequence[Row], shown: Sequence[bool], notes: Sequence[str]
) -> Grid:
    """A table of metrics with some of its columns."""
    return Grid(
        caption,
        list(compress(columns, shown)),
        [replace(row, cells=list(compress(row.cells, shown))) for row in rows],
        corner="Metric",
        source="diversity",
        notes=notes,
    )


def _facts_cells(row: Mapping[str, Any]) -> list[Cell]:
    direction = row.get("higher_is_more_diverse")
    bounds = f"{_bound(row.get('low_bound'), '−∞')} to {_bound(row.get('high_bound'), '∞')}"
    return [
        Cell("unknown" if direction is None else "higher" if direction else "lower"),
        Cell(bounds if row else "unknown"),
    ]


def _bound(value: float | None, unbounded: str) -> str:
    known = value is not None and math.isfinite(value)
    return f"{value:.3g}".replace("-", "−") if known else unbounded


def _range_cells(own: pl.DataFrame) -> list[Cell]:
    defined = own.filter(pl.col("value").is_not_nan())
    undefined = Cell(f"{int(own['n_undefined'].sum()):,}")
    if defined.is_empty():
        return [Cell(UNDEFINED), Cell(UNDEFINED), undefined]
    low, high, median = defined.select(
        pl.col("value").min(), pl.col("value").max().alias("high"), pl.col("value").median().alias("median")
    ).row(0)
    stderr = defined["stderr"].fill_nan(None).mean()
    half = NORMAL_QUANTILE * stderr if isinstance(stderr, float) else float("nan")
    digits = digits_for(half, median)
    return [
        Cell(f"{coefficient(low, digits)} to {coefficient(high, digits)}"),
        half_cell(median, half, digits),
        undefined,
    ]


def conditioning_table(study: Study) -> Grid | None:
    """Attribution diversity where all, some or no members are right; None where it was not measured."""
    if study.default_size is None or study.table("diversity").is_empty():
        return None
    part = study.table("diversity", size=study.default_size, condition=study.first_condition)
    measured = part["metric"].unique(maintain_order=True)
    found = [study.same_maps(m, subset=None) for m in measured if study.is_conditioned(m)]
    wholes = list(dict.fromkeys(metric for metric in found if metric is not None))
    if not wholes:
        return None
    everyone = contenders(study)[0]

    def cell(metric: str | None) -> Cell:
        rows = _by_condition(part.filter(metric=metric or ""), everyone)
        return cell_of(rows.get(study.first_condition), lambda row: _value_cell(row, None))

    subsets = [None, *SUBSETS]
    rows = [
        Row(metric_label(study, whole), [cell(study.same_maps(whole, subset=who)) for who in subsets])
        for whole in wholes
    ]
    # Of images that no member gets right there may be none.
    shown = [any(row.cells[k].text != UNDEFINED for row in rows) for k in range(len(subsets))]
    return _with_columns(
        f"{everyone.label}, on {condition_label(study, study.first_condition)}",
        ["All images", *(text.capitalize() for text in SUBSETS.values())],
        rows,
        shown,
        notes=[_MEAN_HALF],
    )
