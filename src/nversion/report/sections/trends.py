"""Correlation of improvement with each metric under each condition (Figures 7 and B)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import polars as pl

from nversion.report.blocks import (
    NOT_MEASURED,
    Block,
    Cell,
    Drawing,
    Grid,
    Heading,
    LeftOut,
    Row,
    Tables,
    Words,
    left_out,
)
from nversion.report.charts import (
    CATEGORIES,
    INK,
    MUTED,
    ROWS,
    SHAPES,
    key,
    labels_down,
    points_axis,
    select,
    step,
    tips,
    zero_rule,
)
from nversion.report.figure import Figure
from nversion.report.frames import (
    can_relate,
    diversity_values,
    drawn_ensembles,
    relation,
    with_labels,
    with_normalised,
)
from nversion.report.labels import (
    UNDEFINED,
    coefficient,
    condition_label,
    consensus_label,
    interval,
    is_undefined,
    metric_label,
    plural,
    short_metric_label,
    statistic_label,
)
from nversion.report.registry import Blocks, figure, section
from nversion.report.tables import MEAN_ACCURACY, Study

from .findings import too_few_to_relate

MAX_TOGETHER = 9
"""Metrics that a forest plot shows at a time; more are shown by group."""
STATISTICS = ("pearson", "spearman", "partial")
SAME = "the same condition"
EXCLUDES = "excludes zero"


@section("trends", order=80, nav="Trends", title="Does diversity predict improvement?")
def trends(study: Study) -> Blocks:
    if not study.sizes:
        return None
    if not can_relate(study):
        return [Words(too_few_to_relate(study))]
    blocks: list[Block] = [Drawing("trend_grid"), Drawing("correlations")]
    grids = correlation_tables(study)
    if grids:
        blocks += [
            Heading("The same in numbers"),
            Words(
                "Diversity and improvement on the same condition. Bold and shaded: the interval excludes "
                "zero, darker the farther its nearer end is from zero."
            ),
            Tables(grids),
        ]
    return blocks


def correlation_tables(study: Study) -> list[Grid]:
    """One table a size, consensus and statistic: metrics down, conditions across.

    Metrics of which some interval excludes zero, and those of the findings; the others are counted. None
    where there are too few models for correlations.
    """
    rows = relation_rows(study)
    if rows.is_empty() or not can_relate(study):
        return []
    other_size = pl.col("size") != (study.default_size or 0)  # the size of the findings is first
    rows = rows.filter(measured_on=SAME).sort(other_size, maintain_order=True)
    labels = [condition_label(study, c) for c in study.condition_names]
    metrics = rows["metric"].unique(maintain_order=True).to_list()
    several_sizes = rows["size"].n_unique() > 1
    grids = []
    for (size, consensus, statistic), part in rows.group_by(
        "size", "consensus", "statistic", maintain_order=True
    ):
        cells = {(row["metric"], row["label"]): row for row in part.iter_rows(named=True)}
        sure = set(part.filter(zero=EXCLUDES)["metric"])
        measured = [m for m in metrics if m in set(part["metric"])]
        shown = [m for m in measured if m in sure or m in study.headline_metrics]
        in_table = pl.col("metric").is_in(shown)
        notes = list(dict.fromkeys(note for note in part.filter(in_table)["note"] if note))
        marks = {note: str(i) for i, note in enumerate(notes, 1)}
        name = f"{statistic_label(str(statistic))}, {consensus_label(str(consensus))}"
        grids.append(
            Grid(
                f"{name}, {size} members" if several_sizes else name,
                labels,
                [
                    Row(
                        metric_label(study, m),
                        [_relation_cell(cells.get((m, label)), marks) for label in labels],
                    )
                    for m in shown
                ],
                corner="Metric",
                notes=notes,
                style="relations",
                source="correlations",
                left_out=_left_out(len(measured) - len(shown), len(measured), part.filter(~in_table)),
            )
        )
    return grids


def _left_out(number: int, of: int, rows: pl.DataFrame) -> LeftOut | None:
    if not number:
        return None
    text = (
        f"{number} of {plural(of, 'metric')} {'is' if number == 1 else 'are'} left out: no interval excludes "
        "zero under any condition."
    )
    columns = ["metric", "label", "value", "low", "high", "note"]
    return left_out(text, "undecided-correlations", rows.select(columns))


def _relation_cell(row: Mapping[str, Any] | None, marks: Mapping[str, str]) -> Cell:
    if row is None:
        return NOT_MEASURED
    mark, note = marks.get(row["note"], ""), row["note"]
    if is_undefined(row["value"]):
        return Cell(UNDEFINED, mark=mark, note=note)
    # Shaded by evidence: the distance of the interval from zero, not the size of the estimate.
    sure = row["zero"] == EXCLUDES
    away = max(row["low"], -row["high"]) if sure else 0.0
    rgb = "11,93,128" if row["value"] > 0 else "179,69,11"
    return Cell(
        coefficient(row["value"]),
        interval(row["low"], row["high"]),
        sure,
        note=note,
        mark=mark,
        shade=f"rgba({rgb},{0.1 + 0.4 * min(1.0, away):.2f})" if sure else "",
    )


def trend_rows(study: Study, consensus: str, size: int) -> pl.DataFrame:
    """One row a drawn ensemble, headline metric and condition, with its panel's trend and correlation.

    `line_at_0` and `line_at_1` are the ends of the least-squares line through all ensembles, drawn or
    not, over normalised diversity 0 to 1; nan where the metric is undefined.
    """
    metrics = study.headline_metrics
    values = with_normalised(diversity_values(study).filter(size=size)).filter(
        pl.col("metric").is_in(metrics)
    )
    outcome = study.ensembles.filter(size=size, consensus=consensus)
    joined = outcome.select("ensemble", "condition", "improvement", "top1").join(
        values, on=["ensemble", "condition"], maintain_order="left"
    )
    where = {"consensus": consensus, "size": size, "statistic": "pearson"}
    lines = []
    for metric in metrics:
        for condition in study.condition_names:
            x, y = joined.filter(metric=metric, condition=condition).select("x", "improvement").to_numpy().T
            at_0, at_1 = _line_ends(x, y)
            found = relation(study, metric=metric, condition=condition, **where)
            said = UNDEFINED
            if found is not None and not np.isnan(found["value"]):
                said = f"r = {coefficient(found['value'])} {interval(found['low'], found['high'])}"
            elif not np.isnan(at_0):
                said = ""
            lines.append((metric, condition, at_0, at_1, said))
    schema = ["metric", "condition", "line_at_0", "line_at_1", "said"]
    drawn = joined.join(drawn_ensembles(study).filter(size=size), on=["ensemble", "size"], how="semi")
    rows = drawn.join(
        pl.DataFrame(lines, schema=schema, orient="row"), on=["metric", "condition"], maintain_order="left"
    )
    names = {m: short_metric_label(study, m) for m in metrics}
    return (
        with_labels(study, rows, "column")
        .with_columns(pl.col("metric").replace_strict(names, default=None).alias("row"))
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


@figure("trend_grid")
def trend_grid(study: Study) -> Figure | None:
    """A column a condition, a row a headline metric; None where there is no correlation."""
    size, consensus = study.default_size, study.default_consensus
    if size is None or consensus is None or not study.headline_metrics or not can_relate(study):
        return None
    rows = trend_rows(study, consensus, size)
    panels_in_a_row = min(5, len(study.condition_names))
    panel_width = 168 if panels_in_a_row < 5 else 132
    row_order = [short_metric_label(study, m) for m in study.headline_metrics]
    points = (
        alt.Chart()
        .transform_filter("isValid(datum.x) && isValid(datum.improvement)")
        .mark_point(filled=True, opacity=0.55, size=12)
        .encode(
            x=alt.X("x:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(title=None, tickCount=3)),
            y=alt.Y("improvement:Q", axis=points_axis(None, tickCount=5)),
            color=alt.Color("row:N", sort=row_order, scale=alt.Scale(range=CATEGORIES), legend=None),
            tooltip=tips(
                ensemble="Members",
                row="Metric",
                raw=("Raw value", ".4~g"),
                improvement=("Improvement", "+.1%"),
                top1=("Ensemble top-1", ".1%"),
            ),
        )
    )
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
    zero = zero_rule("y", strokeDash=[4, 3], color=MUTED)
    header = alt.Header(labelOrient="left", labelFontSize=11.5)
    columns = [
        alt.layer(zero, points, line, said, data=ROWS)
        .properties(width=panel_width, height=112)
        .transform_filter(alt.FieldEqualPredicate(field="column", equal=label))
        .facet(
            row=alt.Row("row:N", sort=row_order, title=None, header=header),
            title=alt.TitleParams(label, anchor="middle", frame="bounds"),
            spacing=26,
        )
        for label in (condition_label(study, condition) for condition in study.condition_names)
    ]
    what = f"ensembles of {size} by {consensus_label(consensus)}"
    return Figure(
        title="Trends under every condition",
        caption=f"Improvement (points) of {what} against each normalised metric, with the least-squares "
        "line, Pearson's r and its 95 % interval. Scales differ between conditions.",
        alt=f"Grid of scatter plots, improvement of {what} against "
        + ", ".join(row_order)
        + f" on {plural(len(columns), 'condition')}; the correlations are in the table below.",
        chart=alt.concat(*columns, columns=panels_in_a_row).resolve_scale(color="shared"),
        data={"rows": rows},
        panel_width=panel_width + 60,
    )


def relation_rows(study: Study) -> pl.DataFrame:
    """The correlations table for readers: labels, whether the interval excludes zero, and its note."""
    table = study.table("correlations")
    if table.is_empty():
        return table
    where = {c: condition_label(study, c) for c in study.condition_names}
    conditioned = [m for m in study.values("correlations", "metric") if study.is_conditioned(m)]
    relations = table.filter(
        pl.col("statistic").is_in(STATISTICS),
        pl.col("consensus").is_in(study.consensus),
        ~pl.col("metric").is_in(conditioned),  # in a table of their own
        (pl.col("statistic") != "partial") | (pl.col("metric") != MEAN_ACCURACY),  # controlled for
    )
    metrics = {m: metric_label(study, m) for m in relations["metric"].unique(maintain_order=True)}
    on = pl.col("diversity_condition")
    zero = (
        pl.when(pl.col("value").is_nan())
        .then(pl.lit(UNDEFINED))
        .when(pl.col("low").is_nan() | pl.col("high").is_nan())
        .then(pl.lit("interval undefined"))
        .when((pl.col("low") > 0) | (pl.col("high") < 0))
        .then(pl.lit(EXCLUDES))
        .otherwise(pl.lit("covers zero"))
    )
    note = pl.col("note").fill_null("")
    same = pl.when(on == pl.col("accuracy_condition")).then(pl.lit(SAME))
    return relations.select(
        "metric",
        pl.col("metric").replace_strict(metrics, default=None).alias("metric_label"),
        "size",
        "consensus",
        "statistic",
        same.otherwise(on.replace_strict(where, default=None)).alias("measured_on"),
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

    One group where they are few. Else the metrics of the findings, then the groups of the metrics table;
    the mean member accuracy, which all compete with, is in every group.
    """
    if len(metrics) <= MAX_TOGETHER:
        return pl.DataFrame({"metric": metrics, "group": ["All"] * len(metrics)})
    rows = [(m, "In short") for m in (*study.headline_metrics, "cka") if m in metrics]
    group_of = {m: study.metric(m).get("group") or "Others" for m in metrics if m != MEAN_ACCURACY}
    for group in dict.fromkeys(group_of.values()):
        rows += [(m, group) for m in metrics if group_of.get(m, group) == group]
    return pl.DataFrame(rows, schema=["metric", "group"], orient="row")


@figure("correlations")
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
    size = study.default_size if study.default_size in sizes else sizes[0]
    params = [] if len(names) == 1 else [select("group", "Metrics: ", names, names, names[0])]
    said = [statistic_label(s) for s in statistics]
    params += [
        select("statistic", "Statistic: ", statistics, said, statistics[0]),
        select("consensus", "Consensus: ", rules, [consensus_label(r) for r in rules], rules[0]),
        select("source", "Diversity measured on: ", sources, sources, sources[0]),
        select("size", "Members: ", sizes, [str(s) for s in sizes], size),
    ]
    # The accuracy that diversity competes with comes first, in the ink of the text. Colours go to the
    # metrics that are shown, so the scales take their domain from the rows that are left.
    accuracy = metric_label(study, MEAN_ACCURACY)
    metrics.sort(key=lambda m: m != accuracy)
    palette = [*([INK] if metrics[0] == accuracy else []), *CATEGORIES]
    legend = key(metrics)
    # Scales without a domain of their own make two legends of colour and shape: one is enough.
    shape_legend = legend if len(names) == 1 else None
    domain = {"domain": metrics} if len(names) == 1 else {}
    base = alt.Chart().encode(
        y=labels_down(labels),
        yOffset=alt.YOffset("metric_label:N", sort=metrics),
        color=alt.Color(
            "metric_label:N", sort=metrics, scale=alt.Scale(range=palette, **domain), legend=legend
        ),
    )
    scale = alt.Scale(domain=[-1, 1])
    spans = base.transform_filter("isValid(datum.low) && isValid(datum.high)")
    dots = base.transform_filter("isValid(datum.value)").mark_point(filled=True, opacity=1, size=48)
    axis = alt.Axis(title="Correlation with the ensemble's improvement", tickCount=5)
    dots = dots.encode(
        x=alt.X("value:Q", scale=scale, axis=axis),
        shape=alt.Shape(
            "metric_label:N", sort=metrics, scale=alt.Scale(range=SHAPES, **domain), legend=shape_legend
        ),
        tooltip=tips(
            metric_label="Metric",
            label="Improvement on",
            measured_on="Diversity measured on",
            value=("Correlation", ".2f"),
            low=("95 % from", ".2f"),
            high=("95 % to", ".2f"),
            told="Interval",
            n_ensembles=("Ensembles", ","),
        ),
    )
    missing = base.transform_filter("!isValid(datum.value)").mark_text(
        align="left", fontSize=10, fontStyle="italic"
    )
    layers = [
        zero_rule("x"),
        spans.mark_rule(strokeWidth=2, opacity=0.75).encode(x=alt.X("low:Q", scale=scale), x2="high:Q"),
        dots,
        missing.encode(x=alt.value(4), text=alt.value(UNDEFINED)),
    ]
    chosen = (
        "datum.statistic === statistic && datum.consensus === consensus"
        " && datum.size === size && datum.measured_on === source"
        + (" && datum.group === group" if len(names) > 1 else "")
    )
    height = step(max(26, 11 * min(len(metrics), MAX_TOGETHER)))
    return Figure(
        title="All correlations with their intervals",
        caption="Right of zero: the higher the metric, the more improvement. A bar that crosses the dashed "
        "line is not distinguishable from no relation.",
        alt=f"Forest plot of the correlations of {plural(len(metrics), 'metric')} with improvement on "
        f"{plural(len(labels), 'condition')}; the numbers are in the table below.",
        chart=alt.layer(*layers, data=ROWS)
        .transform_filter(chosen)
        .add_params(*params)
        .properties(height=height),
        data={"rows": rows},
    )
