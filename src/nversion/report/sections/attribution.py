"""Agreement of attribution methods on pairs of models (Figure 9)."""

from __future__ import annotations

import altair as alt
import polars as pl

from nversion.report.blocks import Block, Cell, Drawing, Grid, Row, Tables, Words, coefficient_cell
from nversion.report.charts import CATEGORIES, ROWS, SHAPES, colour, key, select, shape, tips
from nversion.report.figure import Figure
from nversion.report.frames import conditions_in, unit_length_first
from nversion.report.labels import TARGETS, coefficient, condition_label, maps_label, method_label, plural
from nversion.report.registry import Blocks, figure, section
from nversion.report.tables import NORMALISE, Study
from nversion.report.undefined import defined, or_nan

MAX_NAMED = 20
"""Pairs of models named at the axis; more are numbered, with their names in the tooltips."""


@section("attribution", order=110, nav="Attribution", title="Agreement of attribution methods")
def attribution(study: Study) -> Blocks:
    agreement = study.table("attribution_agreement")
    if agreement.is_empty():
        return None
    agreement = unit_length_first(agreement)
    if not agreement.filter(pl.col("low").is_not_nan()).height:
        pairs = plural(max(agreement["n_pairs"]), "pair")
        return [
            Words(
                f"The agreement of attribution methods is unknown: over {pairs} of models no correlation "
                "between methods has an interval."
            )
        ]
    methods = {*agreement["method_a"], *agreement["method_b"]}
    costly = any(method.startswith("integrated_gradients") for method in methods)
    blocks: list[Block] = [
        Words(
            "A saliency map costs one forward and one backward pass"
            + ("; integrated gradients with n steps cost n of each" if costly else "")
            + ". Methods that rank pairs of models alike measure the same diversity of ensembles, and the "
            "cheapest is sufficient. The paper found a mean correlation of 0.998 between saliency and "
            "integrated gradients on networks of one supernet."
        ),
        Drawing("attribution_agreement"),
        Tables(agreement_tables(study, agreement)),
    ]
    costs = cost_table(study)
    return [*blocks, Tables([costs])] if costs is not None else blocks


def agreement_tables(study: Study, agreement: pl.DataFrame) -> list[Grid]:
    """One table a condition, target and normalisation: pairs of methods down."""
    keys = ["condition", "target", "normalise"]
    return [
        Grid(
            f"{condition_label(study, str(condition))}, {maps_label(str(target), str(normalise))}",
            ["Pearson", "Spearman", "Pairs of models"],
            [
                Row(
                    f"{method_label(row['method_a'])} and {method_label(row['method_b'])}",
                    [
                        coefficient_cell(row["pearson"], row["low"], row["high"]),
                        coefficient_cell(row["spearman"], None, None),
                        Cell(f"{row['n_pairs']:,}"),
                    ],
                )
                for row in part.iter_rows(named=True)
            ],
            corner="Methods",
            source="attribution_agreement",
            notes=["95 % intervals are of Pearson's correlation; they account for pairs that share a model."],
        )
        for (condition, target, normalise), part in agreement.group_by(keys, maintain_order=True)
    ]


def cost_table(study: Study) -> Grid | None:
    """Passes of each method; None where the manifest does not say."""
    passes = study.manifest.get("attribution_passes")
    if not passes:
        return None
    return Grid(
        "Cost of each method",
        ["Passes forward and backward"],
        [Row(method_label(method), [Cell(f"{count:,}")]) for method, count in passes.items()],
        corner="Method",
    )


def score_rows(study: Study) -> pl.DataFrame:
    """Scores of each method over all pairs on the first condition that has them, min-max normalised.

    Columns pair, number (from the least to the most diverse by the first method), method, kind (target
    and normalisation), raw, score; nan where all pairs have one value.
    """
    wanted = {m: row for m, row in study.metrics.items() if row["method"] and not row["subset"]}
    pairs = study.table("pairs")
    measured = pairs if pairs.is_empty() else pairs.filter(pl.col("metric").is_in(list(wanted)))
    if measured.is_empty():
        return pl.DataFrame()
    measured = measured.filter(condition=conditions_in(study, measured)[0])
    kinds = {m: maps_label(row["target"], row["normalise"]) for m, row in wanted.items()}
    methods = {m: method_label(row["method"]) for m, row in wanted.items()}
    raw = defined("raw")
    low, span = raw.min().over("metric"), (raw.max() - raw.min()).over("metric")
    pair = pl.format("{} and {}", "model_a", "model_b").alias("pair")
    rows = measured.select(pair, "metric", pl.col("value").alias("raw")).with_columns(
        pl.col("metric").replace_strict(methods, default=None).alias("method"),
        pl.col("metric").replace_strict(kinds, default=None).alias("kind"),
        or_nan(pl.when(span > 0).then((raw - low) / span)).alias("score"),
    )
    parts = []
    for _, part in rows.group_by("kind", maintain_order=True):
        order = part.filter(method=_ordered(part["method"])[0]).sort("score", "pair")["pair"]
        numbers = {pair: i + 1 for i, pair in enumerate(order)}
        number = pl.col("pair").replace_strict(numbers, default=None, return_dtype=pl.Int64)
        parts.append(part.with_columns(number.alias("number")))
    return pl.concat(parts).select("kind", "number", "pair", "method", "raw", "score")


def _ordered(methods: pl.Series) -> list[str]:
    """Saliency, that the others are compared with, first."""
    return sorted(methods.unique(maintain_order=True), key=lambda method: method != "saliency")


@figure("attribution_agreement")
def attribution_agreement(study: Study) -> Figure | None:
    """Pairs of models across, normalised score up, a line a method; None for fewer than two methods."""
    agreement, rows = study.table("attribution_agreement"), score_rows(study)
    # Over a handful of pairs no correlation of two methods has an interval.
    if agreement.is_empty() or agreement["low"].is_nan().all() or rows.is_empty():
        return None
    if rows["method"].n_unique() < 2:
        return None
    agreement = unit_length_first(agreement)
    order = {maps_label(target, scale): i for i, scale in enumerate(NORMALISE) for target in TARGETS}
    kinds = sorted(rows["kind"].unique(maintain_order=True), key=lambda kind: order[kind])
    methods = _ordered(rows["method"])
    num = rows["pair"].n_unique()
    first = conditions_in(study, agreement)[0]
    same = agreement.filter(condition=first, target=agreement["target"][0])
    same = same.filter(normalise=same["normalise"][0])
    mean = defined("pearson").mean()
    if num <= MAX_NAMED:
        sort = alt.EncodingSortField(field="number", op="min")
        x = alt.X("pair:N", sort=sort, axis=alt.Axis(title=None, labelAngle=-50, labelLimit=300))
    else:
        x = alt.X("number:Q", axis=alt.Axis(title="Pairs of models, by the first method", tickCount=6))
    legend = key(methods)
    base = (
        alt.Chart()
        .transform_filter("datum.kind === kind && isValid(datum.score)")
        .encode(
            x=x,
            y=alt.Y("score:Q", axis=alt.Axis(title="Diversity, min–max normalised", tickCount=5)),
            color=colour(
                "method", {m: CATEGORIES[i % len(CATEGORIES)] for i, m in enumerate(methods)}, legend
            ),
        )
    )
    lines = base.mark_line(strokeWidth=1.2, opacity=0.6)
    dots = base.mark_point(filled=True, opacity=0.9, size=42).encode(
        shape=shape("method", {m: SHAPES[i % len(SHAPES)] for i, m in enumerate(methods)}, legend),
        tooltip=tips(pair="Models", method="Method", score=("Normalised", ".2f"), raw=("Raw", ".4~g")),
    )
    said = (
        f"The mean Pearson correlation over the {plural(same.height, 'pair')} of methods on "
        f"{condition_label(study, first)} is {coefficient(same.select(mean).item(), 3)} "
        f"({maps_label(same['target'][0], same['normalise'][0])})."
    )
    return Figure(
        title="The same pairs of models by several attribution methods",
        caption=f"{plural(num, 'pair')} of models, from the least to the most diverse by "
        f"{methods[0]}; where the lines are parallel the methods agree. {said}",
        alt=f"Normalised attribution diversity of {plural(num, 'pair')} of models by "
        f"{plural(len(methods), 'method')}. {said}",
        chart=alt.layer(lines, dots, data=ROWS)
        .add_params(select("kind", "Maps: ", kinds, kinds, kinds[0]))
        .properties(height=320),
        data={"rows": rows},
    )
