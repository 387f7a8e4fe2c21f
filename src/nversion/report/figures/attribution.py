"""The same pairs of models as several attribution methods see them (Figure 9)."""

from __future__ import annotations

import altair as alt
import polars as pl

from nversion.report.frames import unit_length_first
from nversion.report.labels import coefficient, condition_label, plural
from nversion.report.names import NORMALISE, TARGETS, attribution_parts, method_label
from nversion.report.tables import Study

from .figure import CATEGORIES, ROWS, SHAPES, Figure, key, select

MAX_NAMED = 20
"""Pairs of models whose names stand at the axis; more are told by number, and by pointing at them."""


def score_rows(study: Study) -> pl.DataFrame:
    """Scores of each method over all pairs on the first condition that has them, min-max normalised.

    Columns pair, number (from the least to the most diverse by the first method), method, kind (target
    and normalisation), raw, score; nan where all pairs have one value.
    """
    names = {m: attribution_parts(m) for m in study.pairs["metric"].unique(maintain_order=True)}
    wanted = {m: parts for m, parts in names.items() if parts is not None and not parts.who}
    measured = study.pairs.filter(pl.col("metric").is_in(list(wanted)))
    present = set(measured["condition"])
    conditions = [c for c in study.condition_names if c in present]
    if not conditions:
        return pl.DataFrame()
    measured = measured.filter(condition=conditions[0])
    kinds = {m: f"{TARGETS[p.target]}, {NORMALISE[p.normalise]}" for m, p in wanted.items()}
    methods = {m: method_label(p.method) for m, p in wanted.items()}
    raw = pl.when(pl.col("raw").is_not_nan()).then(pl.col("raw"))
    low, span = raw.min().over("metric"), (raw.max() - raw.min()).over("metric")
    rows = measured.select(
        pl.format("{} and {}", "model_a", "model_b").alias("pair"), "metric", pl.col("value").alias("raw")
    ).with_columns(
        pl.col("metric").replace_strict(methods, default=None).alias("method"),
        pl.col("metric").replace_strict(kinds, default=None).alias("kind"),
        pl.when(span > 0).then((raw - low) / span).otherwise(None).fill_null(float("nan")).alias("score"),
    )
    parts = []
    for _, part in rows.group_by("kind", maintain_order=True):
        first = _ordered(part["method"])[0]
        order = part.filter(method=first).sort("score", "pair")["pair"].to_list()
        number = {pair: i + 1 for i, pair in enumerate(order)}
        parts.append(
            part.with_columns(
                pl.col("pair").replace_strict(number, default=None, return_dtype=pl.Int64).alias("number")
            )
        )
    return pl.concat(parts).select("kind", "number", "pair", "method", "raw", "score")


def _ordered(methods: pl.Series) -> list[str]:
    """Saliency, that the others are compared with, first."""
    return sorted(methods.unique(maintain_order=True), key=lambda method: method != "saliency")


def attribution_agreement(study: Study) -> Figure | None:
    """Pairs of models across, normalised score up, a line a method; None for fewer than two methods."""
    agreement = unit_length_first(study.table("attribution_agreement"))
    rows = score_rows(study)
    # Over a handful of pairs no correlation of two methods has an interval.
    if (
        not agreement.filter(pl.col("low").is_not_nan()).height
        or rows.is_empty()
        or rows["method"].n_unique() < 2
    ):
        return None
    scales = list(NORMALISE.values())
    kinds = sorted(
        rows["kind"].unique(maintain_order=True), key=lambda kind: scales.index(kind.split(", ")[1])
    )
    methods = _ordered(rows["method"])
    num = rows["pair"].n_unique()
    first = next(c for c in study.condition_names if c in set(agreement["condition"]))
    same = agreement.filter(condition=first, target=agreement["target"][0])
    same = same.filter(normalise=same["normalise"][0])
    mean = same["pearson"].fill_nan(None).mean()
    if num <= MAX_NAMED:
        sort = alt.EncodingSortField(field="number", op="min")
        x = alt.X("pair:N", sort=sort, axis=alt.Axis(title=None, labelAngle=-50, labelLimit=300))
    else:
        x = alt.X("number:Q", axis=alt.Axis(title="Pairs of models, by the first method", tickCount=6))
    palette = [CATEGORIES[i % len(CATEGORIES)] for i in range(len(methods))]
    legend = key(methods)
    colour = alt.Color(
        "method:N", sort=methods, scale=alt.Scale(domain=methods, range=palette), legend=legend
    )
    base = (
        alt.Chart()
        .transform_filter("datum.kind === kind && isValid(datum.score)")
        .encode(
            x=x,
            y=alt.Y("score:Q", axis=alt.Axis(title="Diversity, min–max normalised", tickCount=5)),
            color=colour,
        )
    )
    lines = base.mark_line(strokeWidth=1.2, opacity=0.6)
    dots = base.mark_point(filled=True, opacity=0.9, size=42).encode(
        shape=alt.Shape(
            "method:N",
            sort=methods,
            scale=alt.Scale(domain=methods, range=[SHAPES[i % len(SHAPES)] for i in range(len(methods))]),
            legend=legend,
        ),
        tooltip=[
            alt.Tooltip("pair:N", title="Models"),
            alt.Tooltip("method:N", title="Method"),
            alt.Tooltip("score:Q", title="Normalised", format=".2f"),
            alt.Tooltip("raw:Q", title="Raw", format=".4~g"),
        ],
    )
    chart = (
        alt.layer(lines, dots, data=ROWS)
        .add_params(select("kind", "Maps: ", kinds, kinds, kinds[0]))
        .properties(height=320)
    )
    said = (
        f"The mean Pearson correlation over the {plural(same.height, 'pair')} of methods on "
        f"{condition_label(study, first)} is {coefficient(mean if isinstance(mean, float) else None, 3)} "
        f"({TARGETS[same['target'][0]]}, {NORMALISE[same['normalise'][0]]})."
    )
    return Figure(
        name="attribution_agreement",
        title="The same pairs of models by several attribution methods",
        caption=f"{plural(num, 'pair')} of models, from the least to the most diverse by "
        f"{methods[0]}; where the lines run alike the methods agree. {said}",
        alt=f"Normalised attribution diversity of {plural(num, 'pair')} of models by "
        f"{plural(len(methods), 'method')}. {said}",
        chart=chart,
        data={"rows": rows},
    )
