"""How diverse the ensembles are: the paper's Table 2, every metric at a glance, and who was right."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import compress
from typing import Any

import polars as pl

from nversion.report.blocks import (
    Block,
    Cell,
    Grid,
    Heading,
    Row,
    Section,
    Tables,
    Words,
    coefficient_cell,
    digits_for,
    half_cell,
)
from nversion.report.contenders import Contender, absent, contenders, leaning, of
from nversion.report.frames import NORMAL_QUANTILE, can_relate, relation, share_of_one_model
from nversion.report.labels import UNDEFINED, coefficient, condition_label, consensus_label, percent
from nversion.report.names import CONDITIONING, metric_label
from nversion.report.schemas import MEAN_ACCURACY
from nversion.report.tables import Study, is_conditioned

SHANNON = {
    "shannon_right": "Rightly classified",
    "shannon_wrong": "Wrongly classified",
    "shannon_all": "All images",
}


def section(study: Study) -> Section | None:
    """None where the study has no ensembles or no metric."""
    if study.default_size is None or study.diversity.is_empty():
        return None
    blocks: list[Block] = []
    entropy = shannon_table(study)
    if entropy is not None:
        blocks += [
            Heading("How evenly the members' answers are spread"),
            Words(
                "Shannon equitability of the members' answers (Eq. 5): 0 where all members of the ensemble "
                "name one class, 1 where all name different ones; averaged over the images that the ensemble "
                "classifies rightly, and over those that it classifies wrongly. With ± 95 % over images."
            ),
            Tables([entropy]),
        ]
        blocks += [Words(text, quiet=True) for text in (leaning(study), absent(study)) if text]
    blocks += [
        Heading("Every metric at a glance"),
        Words(_what_the_overview_shows(study)),
        *(Words(text) for text in [_what_raw_maps_show(study)] if text),
        Tables([overview(study)]),
    ]
    conditioned = conditioning_table(study)
    if conditioned is not None:
        blocks += [
            Heading("Attribution diversity, by how many members are right"),
            Words(
                "Maps may differ because members see different evidence for the right answer, or because "
                "some of them err. Only the first is the diversity that is hoped for: it is what remains "
                "where all members are right."
            ),
            Tables([conditioned]),
        ]
    return Section("diversity", "Diversity", "How diverse the ensembles are", blocks)


def shannon_table(study: Study) -> Grid | None:
    """Table 2 of the paper: contenders down, conditions across, in groups; None where it was not measured."""
    part = study.diversity.filter(
        pl.col("metric").is_in(list(SHANNON)), pl.col("condition").is_in(study.condition_names)
    )
    if part.is_empty():
        return None
    rows = []
    for metric, group in SHANNON.items():
        for who in contenders(study):
            measured = _by_condition(part.filter(metric=metric), who)
            cells = [_value_cell(measured.get(condition)) for condition in study.condition_names]
            rows.append(Row(who.label, cells, small=who.ensemble or "", group=group))
    return Grid(
        "Shannon equitability of the answers",
        [condition_label(study, c) for c in study.condition_names],
        rows,
        corner="Ensemble",
        source="diversity",
        notes=[_MEAN_HALF],
    )


_CONDITIONED = re.compile("_(all|some|none)_right$")
_MEAN_HALF = (
    "± of a mean over ensembles is the mean of their own: the error over images of a mean is at most that."
)


def _by_condition(part: pl.DataFrame, who: Contender) -> dict[str, dict[str, Any]]:
    rows = of(part, who, ["condition"], ["value", "stderr"])
    return {row["condition"]: row for row in rows.iter_rows(named=True)}


def _value_cell(row: Mapping[str, Any] | None, digits: int | None = 2) -> Cell:
    if row is None:
        return Cell("not measured")
    return half_cell(row["value"], NORMAL_QUANTILE * row["stderr"], digits)


def _what_the_overview_shows(study: Study) -> str:
    size, consensus = study.default_size, study.default_consensus
    text = (
        f"On {condition_label(study, study.first_condition)}, over all ensembles of {size}: the least, the "
        "median and the greatest value, with ± 95 % over images as it is on average for one ensemble"
    )
    if not can_relate(study):
        return f"{text}."
    return (
        f"{text}; and Pearson's correlation with the improvement over the best member by "
        f"{consensus_label(consensus or '')}, bold where its interval excludes zero. Many metrics are looked "
        "at here: of twenty without any relation, one such interval excludes zero by chance."
    )


def _what_raw_maps_show(study: Study) -> str:
    """Why attribution diversity is told at unit length: what one model's presence explains of either."""
    told = study.attribution_metric
    raw = next((m for m in study.metric_names if told and m == re.sub("_(l2|sum)$", "_none", told)), None)
    size = study.default_size
    if told is None or raw is None or raw == told or size is None:
        return ""
    found = [share_of_one_model(study, metric, size, study.first_condition) for metric in (raw, told)]
    text = (
        "Attribution diversity is told of maps at unit length. Raw, as the paper takes them, maps differ in "
        "the scale of the models’ gradients before they differ in what the models look at"
    )
    of_raw, of_told = found
    if of_raw is None or of_told is None:
        return f"{text}."
    (raw_model, raw_share), (_, share) = of_raw, of_told
    return (
        f"{text}: whether {raw_model} is a member explains {percent(raw_share, 0)} of the raw variance over "
        f"ensembles of {size}; at unit length no model’s membership explains more than {percent(share, 0)}."
    )


def overview(study: Study) -> Grid:
    """A row a metric: direction, bounds, values on the first condition, its relation to improvement."""
    size, condition = study.default_size, study.first_condition
    facts = {row["metric"]: row for row in study.metrics.iter_rows(named=True)}
    values = study.diversity.filter(size=size, condition=condition)
    rows = []
    for metric in study.metric_names:
        own = values.filter(metric=metric)
        if metric == MEAN_ACCURACY:
            continue
        found = relation(
            study,
            metric=metric,
            size=size,
            consensus=study.default_consensus,
            condition=condition,
            statistic="pearson",
        )
        related = (
            coefficient_cell(found["value"], found["low"], found["high"]) if found else Cell("not measured")
        )
        rows.append(
            Row(
                metric_label(metric),
                [*_facts_cells(facts.get(metric, {})), *_range_cells(own), related],
            )
        )
    columns = [
        "More diverse is",
        "Bounds",
        "Least to greatest",
        "Median",
        "Undefined pairs",
        "Pearson with improvement",
    ]
    shown = [True] * 4 + [any(row.cells[4].text != "0" for row in rows), can_relate(study)]
    return Grid(
        f"Diversity of the ensembles of {size} on {condition_label(study, condition)}",
        list(compress(columns, shown)),
        [replace(row, cells=list(compress(row.cells, shown))) for row in rows],
        corner="Metric",
        source="diversity",
        notes=[] if shown[4] else ["No pair of models is undefined in any of them."],
    )


def _facts_cells(row: Mapping[str, Any]) -> list[Cell]:
    direction = row.get("higher_is_more_diverse")
    low, high = row.get("low_bound"), row.get("high_bound")
    bounds = f"{_bound(low, '−∞')} to {_bound(high, '∞')}"
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
    if study.default_size is None:
        return None
    part = study.diversity.filter(size=study.default_size, condition=study.first_condition)
    names = part["metric"].unique(maintain_order=True)
    if not any(is_conditioned(name) for name in names):
        return None
    wholes = dict.fromkeys(_CONDITIONED.sub("", name) for name in names if is_conditioned(name))
    everyone = contenders(study)[0]
    rows = []
    for whole in wholes:
        columns = [whole, *(f"{whole}_{who}_right" for who in CONDITIONING)]
        cells = [
            _value_cell(_by_condition(part.filter(metric=m), everyone).get(study.first_condition), None)
            for m in columns
        ]
        rows.append(Row(metric_label(whole), cells))
    # Of images that no member gets right there may be none.
    shown = [any(row.cells[k].text != UNDEFINED for row in rows) for k in range(1 + len(CONDITIONING))]
    columns = ["All images", *(text.capitalize() for text in CONDITIONING.values())]
    return Grid(
        f"{everyone.label}, on {condition_label(study, study.first_condition)}",
        list(compress(columns, shown)),
        [replace(row, cells=list(compress(row.cells, shown))) for row in rows],
        corner="Metric",
        source="diversity",
        notes=[_MEAN_HALF],
    )
