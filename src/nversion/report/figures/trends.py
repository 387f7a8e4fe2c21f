"""How improvement goes with each metric on each condition (Figures 7 and B), and all the correlations."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
import polars as pl

from nversion.report.frames import can_relate, diversity_values, drawn_ensembles, relation, with_normalised
from nversion.report.labels import (
    UNDEFINED,
    coefficient,
    condition_label,
    consensus_label,
    interval,
    plural,
    statistic_label,
)
from nversion.report.names import metric_group, metric_label, short_metric_label
from nversion.report.schemas import MEAN_ACCURACY
from nversion.report.tables import Study, is_conditioned

from .figure import CATEGORIES, INK, MUTED, ROWS, SHAPES, Figure, key, one_row, points_axis, select

MAX_TOGETHER = 9
"""Metrics that a forest plot shows at a time; more are shown by kin."""
STATISTICS = ("pearson", "spearman", "partial")
SAME = "the same condition"


def trend_rows(study: Study, consensus: str, size: int) -> pl.DataFrame:
    """One row a drawn ensemble, headline metric and condition, with its panel's trend and correlation.

    `line_at_0` and `line_at_1` are the ends of the least-squares line through all ensembles, drawn or
    not, over normalised diversity 0 to 1; nan where the metric is undefined.
    """
    values = with_normalised(diversity_values(study).filter(size=size))
    values = values.filter(
        pl.col("metric").is_in(study.headline_metrics), pl.col("condition").is_in(study.condition_names)
    )
    outcome = study.ensembles.filter(size=size, consensus=consensus)
    joined = outcome.select("ensemble", "condition", "improvement", "top1").join(
        values, on=["ensemble", "condition"], maintain_order="left"
    )
    panels = []
    for metric in study.headline_metrics:
        for condition in study.condition_names:
            x, y = joined.filter(metric=metric, condition=condition).select("x", "improvement").to_numpy().T
            at_0, at_1 = _line_ends(x, y)
            found = relation(
                study, metric=metric, condition=condition, consensus=consensus, size=size, statistic="pearson"
            )
            said = UNDEFINED
            if found is not None and not np.isnan(found["value"]):
                said = f"r = {coefficient(found['value'])} {interval(found['low'], found['high'])}"
            elif not np.isnan(at_0):
                said = ""
            panels.append((metric, condition, at_0, at_1, said))
    schema = ["metric", "condition", "line_at_0", "line_at_1", "said"]
    drawn = joined.join(drawn_ensembles(study).filter(size=size), on=["ensemble", "size"], how="semi")
    return (
        drawn.join(
            pl.DataFrame(panels, schema=schema, orient="row"),
            on=["metric", "condition"],
            maintain_order="left",
        )
        .with_columns(
            pl.col("condition")
            .replace_strict({c: condition_label(study, c) for c in study.condition_names}, default=None)
            .alias("column"),
            pl.col("metric")
            .replace_strict({m: short_metric_label(m) for m in study.headline_metrics}, default=None)
            .alias("row"),
        )
        .drop("metric", "condition", "size")
    )


def _line_ends(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    defined = np.isfinite(x) & np.isfinite(y)
    x, y = x[defined], y[defined]
    if len(x) < 2 or np.ptp(x) == 0:
        return float("nan"), float("nan")
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())
    at_0 = float(y.mean() - slope * x.mean())
    return at_0, at_0 + slope


def trend_grid(study: Study) -> Figure | None:
    """A column a condition, a row a headline metric; None where nothing can be related."""
    size, consensus = study.default_size, study.default_consensus
    if size is None or consensus is None or not study.headline_metrics or not can_relate(study):
        return None
    rows = trend_rows(study, consensus, size)
    panels_in_a_row = min(5, len(study.condition_names))
    panel_width = 168 if panels_in_a_row < 5 else 132
    row_order = [short_metric_label(m) for m in study.headline_metrics]
    drawable = "isValid(datum.x) && isValid(datum.improvement)"
    points = (
        alt.Chart()
        .transform_filter(drawable)
        .mark_point(filled=True, opacity=0.55, size=12)
        .encode(
            x=alt.X("x:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(title=None, tickCount=3)),
            y=alt.Y("improvement:Q", axis=points_axis(None, tickCount=5)),
            color=alt.Color("row:N", sort=row_order, scale=alt.Scale(range=CATEGORIES), legend=None),
            tooltip=[
                alt.Tooltip("ensemble:N", title="Members"),
                alt.Tooltip("row:N", title="Metric"),
                alt.Tooltip("raw:Q", title="Raw value", format=".4~g"),
                alt.Tooltip("improvement:Q", title="Improvement", format="+.1%"),
                alt.Tooltip("top1:Q", title="Ensemble top-1", format=".1%"),
            ],
        )
    )
    zero = one_row(alt.Chart()).mark_rule(strokeDash=[4, 3], color=MUTED).encode(y=alt.datum(0))
    once = {"line_at_0": "min(line_at_0)", "line_at_1": "min(line_at_1)", "said": "min(said)"}
    line = (
        alt.Chart()
        .transform_aggregate(**once, groupby=["row", "column"])
        .transform_filter("isValid(datum.line_at_0)")
        .mark_rule(color=INK, strokeWidth=1.6)
        .encode(x=alt.datum(0), x2=alt.datum(1), y="line_at_0:Q", y2="line_at_1:Q")
    )
    said = (
        alt.Chart()
        .transform_aggregate(said="min(said)", groupby=["row", "column"])
        .mark_text(align="left", baseline="bottom", fontSize=11, color=INK)
        .encode(x=alt.value(0), y=alt.value(-3), text="said:N")
    )
    columns = [
        alt.layer(zero, points, line, said, data=ROWS)
        .properties(width=panel_width, height=112)
        .transform_filter(alt.FieldEqualPredicate(field="column", equal=condition_label(study, condition)))
        .facet(
            row=alt.Row(
                "row:N", sort=row_order, title=None, header=alt.Header(labelOrient="left", labelFontSize=11.5)
            ),
            title=alt.TitleParams(condition_label(study, condition), anchor="middle", frame="bounds"),
            spacing=26,
        )
        for condition in study.condition_names
    ]
    chart = alt.concat(*columns, columns=panels_in_a_row).resolve_scale(color="shared")
    what = f"ensembles of {size} by {consensus_label(consensus)}"
    return Figure(
        name="trend_grid",
        title="Trends on every condition",
        caption=f"Improvement (points) of {what} against each normalised metric, with the least-squares "
        "line, Pearson's r and its 95 % interval. Scales differ between conditions.",
        alt=f"Grid of scatter plots, improvement of {what} against "
        + ", ".join(row_order)
        + f" on {plural(len(columns), 'condition')}; the correlations are in the table below.",
        chart=chart,
        data={"rows": rows},
        panel_width=panel_width + 60,
    )


def relation_rows(study: Study) -> pl.DataFrame:
    """The correlations table for readers: labels, whether the interval excludes zero, and its note."""
    where = {c: condition_label(study, c) for c in study.condition_names}
    conditioned = [m for m in study.correlations["metric"].unique() if is_conditioned(m)]
    relations = study.correlations.filter(
        pl.col("statistic").is_in(STATISTICS),
        pl.col("consensus").is_in(study.consensus),
        pl.col("accuracy_condition").is_in(study.condition_names),
        pl.col("diversity_condition").is_in(study.condition_names),
        # Those conditioned on who is right have a table of their own.
        ~pl.col("metric").is_in(conditioned),
        # What is held fixed cannot be what is related.
        (pl.col("statistic") != "partial") | (pl.col("metric") != MEAN_ACCURACY),
    )
    metrics = relations["metric"].unique(maintain_order=True).to_list()
    same = pl.col("diversity_condition") == pl.col("accuracy_condition")
    undefined = pl.col("value").is_nan()
    no_interval = pl.col("low").is_nan() | pl.col("high").is_nan()
    zero = (
        pl.when(undefined)
        .then(pl.lit(UNDEFINED))
        .when(no_interval)
        .then(pl.lit("interval undefined"))
        .when((pl.col("low") > 0) | (pl.col("high") < 0))
        .then(pl.lit("excludes zero"))
        .otherwise(pl.lit("covers zero"))
    )
    note = pl.col("note").fill_null("")
    return relations.select(
        "metric",
        pl.col("metric")
        .replace_strict({m: metric_label(m) for m in metrics}, default=None)
        .alias("metric_label"),
        "size",
        "consensus",
        "statistic",
        pl.when(same)
        .then(pl.lit(SAME))
        .otherwise(pl.col("diversity_condition").replace_strict(where, default=None))
        .alias("measured_on"),
        pl.col("accuracy_condition").replace_strict(where, default=None).alias("label"),
        "value",
        "low",
        "high",
        "n_ensembles",
        zero.alias("zero"),
        note.alias("note"),
        pl.when(note == "").then(zero).otherwise(pl.concat_str(zero, pl.lit("; "), note)).alias("told"),
    )


def shown_together(study: Study, metrics: Sequence[str]) -> pl.DataFrame:
    """Columns metric, group: which metrics a forest plot shows at a time.

    One group where they are few. Else the metrics that the report speaks of, then kin with kin; the mean
    member accuracy, which all compete with, is in every group.
    """
    if len(metrics) <= MAX_TOGETHER:
        return pl.DataFrame({"metric": metrics, "group": ["All"] * len(metrics)})
    spoken_of = [m for m in (*study.headline_metrics, "cka") if m in metrics]
    rows = [(m, "In short") for m in spoken_of]
    groups = dict.fromkeys(metric_group(m) for m in metrics if m != MEAN_ACCURACY)
    for group in groups:
        rows += [(m, group) for m in metrics if m == MEAN_ACCURACY or metric_group(m) == group]
    return pl.DataFrame(rows, schema=["metric", "group"], orient="row")


def forest(study: Study) -> Figure | None:
    """Every correlation with its interval; None without any, and where the models are too few for them."""
    rows = relation_rows(study)
    if rows.is_empty() or study.default_size is None or not can_relate(study):
        return None
    groups = shown_together(study, rows["metric"].unique(maintain_order=True).to_list())
    rows = rows.join(groups, on="metric", maintain_order="left")
    metrics = rows["metric_label"].unique(maintain_order=True).to_list()
    names = groups["group"].unique(maintain_order=True).to_list()
    labels = [condition_label(study, c) for c in study.condition_names]
    sources = [SAME, *(m for m in labels if m in set(rows["measured_on"]) - {SAME})]
    statistics = [s for s in STATISTICS if s in set(rows["statistic"])]
    rules = rows["consensus"].unique(maintain_order=True).to_list()
    sizes = sorted(rows["size"].unique())
    params = [] if len(names) == 1 else [select("group", "Metrics: ", names, names, names[0])]
    params += [
        select(
            "statistic", "Statistic: ", statistics, [statistic_label(s) for s in statistics], statistics[0]
        ),
        select("consensus", "Consensus: ", rules, [consensus_label(r) for r in rules], rules[0]),
        select("source", "Diversity measured on: ", sources, sources, sources[0]),
        select(
            "size",
            "Members: ",
            sizes,
            [str(s) for s in sizes],
            study.default_size if study.default_size in sizes else sizes[0],
        ),
    ]
    # The accuracy that diversity competes with comes first, in the ink of the text. Colours go to the
    # metrics that are shown, so the scales take their domain from the rows that are left.
    accuracy = metric_label(MEAN_ACCURACY)
    metrics.sort(key=lambda m: m != accuracy)
    first = [INK] if metrics[0] == accuracy else []
    palette = [*first, *CATEGORIES]
    legend = key(metrics)
    # Scales without a domain of their own make two legends of colour and shape: one is enough.
    shape_legend = legend if len(names) == 1 else None
    domain = {"domain": metrics} if len(names) == 1 else {}
    colour = alt.Color(
        "metric_label:N", sort=metrics, scale=alt.Scale(range=palette, **domain), legend=legend
    )
    y = alt.Y("label:N", sort=labels, axis=alt.Axis(title=None, labelLimit=300, grid=True, tickBand="extent"))
    offset = alt.YOffset("metric_label:N", sort=metrics)
    together = min(len(metrics), MAX_TOGETHER)
    scale = alt.Scale(domain=[-1, 1])
    spans = alt.Chart().transform_filter("isValid(datum.low) && isValid(datum.high)")
    spans = spans.mark_rule(strokeWidth=2, opacity=0.75).encode(
        x=alt.X("low:Q", scale=scale), x2="high:Q", y=y, yOffset=offset, color=colour
    )
    dots = (
        alt.Chart()
        .transform_filter("isValid(datum.value)")
        .mark_point(filled=True, opacity=1, size=48)
        .encode(
            x=alt.X(
                "value:Q",
                scale=scale,
                axis=alt.Axis(title="Correlation with the ensemble's improvement", tickCount=5),
            ),
            y=y,
            yOffset=offset,
            color=colour,
            shape=alt.Shape(
                "metric_label:N", sort=metrics, scale=alt.Scale(range=SHAPES, **domain), legend=shape_legend
            ),
            tooltip=[
                alt.Tooltip("metric_label:N", title="Metric"),
                alt.Tooltip("label:N", title="Improvement on"),
                alt.Tooltip("measured_on:N", title="Diversity measured on"),
                alt.Tooltip("value:Q", title="Correlation", format=".2f"),
                alt.Tooltip("low:Q", title="95 % from", format=".2f"),
                alt.Tooltip("high:Q", title="95 % to", format=".2f"),
                alt.Tooltip("told:N", title="Interval"),
                alt.Tooltip("n_ensembles:Q", title="Ensembles", format=","),
            ],
        )
    )
    missing = (
        alt.Chart()
        .transform_filter("!isValid(datum.value)")
        .mark_text(align="left", fontSize=10, fontStyle="italic")
        # In colour: where nothing is defined, a legend without any entry is of infinite size.
        .encode(x=alt.value(4), y=y, yOffset=offset, color=colour, text=alt.value(UNDEFINED))
    )
    zero = one_row(alt.Chart()).mark_rule(color=INK, strokeDash=[5, 4]).encode(x=alt.datum(0))
    chosen = (
        "datum.statistic === statistic && datum.consensus === consensus"
        " && datum.size === size && datum.measured_on === source"
        + (" && datum.group === group" if len(names) > 1 else "")
    )
    chart = (
        alt.layer(zero, spans, dots, missing, data=ROWS)
        .transform_filter(chosen)
        .add_params(*params)
        .properties(height=alt.Step(step=max(26, 11 * together), **{"for": "position"}))
    )
    return Figure(
        name="correlations",
        title="All correlations with their intervals",
        caption="Right of zero: more of the metric, more improvement. Where a bar crosses the dashed line "
        "the relation cannot be told from none.",
        alt=f"Forest plot of the correlations of {plural(len(metrics), 'metric')} with improvement on "
        f"{plural(len(labels), 'condition')}; the numbers are in the table below.",
        chart=chart,
        data={"rows": rows},
    )
