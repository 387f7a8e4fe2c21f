"""Improvement of ensembles against their diversity (Figures 5 and 6), fixed and interactive."""

from __future__ import annotations

import altair as alt
import polars as pl

from nversion.report.blocks import Drawing, Words
from nversion.report.charts import INK, MUTED, ROWS, points_axis, select, tips, zero_rule
from nversion.report.figure import Figure
from nversion.report.frames import (
    NORMAL_QUANTILE,
    can_relate,
    diversity_values,
    drawn_ensembles,
    has_several,
    num_ensembles,
    relation,
    with_normalised,
)
from nversion.report.labels import (
    coefficient,
    condition_label,
    consensus_label,
    interval,
    metric_label,
    plural,
    short_metric_label,
)
from nversion.report.registry import Blocks, figure, section
from nversion.report.tables import MEAN_ACCURACY, Study

_DIVERSITY = "Diversity, min–max normalised"
_IMPROVEMENT = points_axis("Improvement over the best member, points")
_HOVER = tips(
    ensemble="Members",
    top1=("Ensemble top-1", ".1%"),
    best_member_top1=("Best member", ".1%"),
    improvement=("Improvement", "+.2%"),
    half=("± 95 % over images", ".2%"),
    raw=("Diversity, raw", ".4~g"),
    params=("Parameters", ".3~s"),
)


@section("ensembles", order=60, nav="Ensembles", title="Improvement of ensembles against diversity")
def ensembles(study: Study) -> Blocks:
    if not has_several(study):
        return None
    return [
        Words(
            "Above the dashed zero line an ensemble is more accurate than its best member. Colour is its "
            "accuracy, area its number of parameters: best is bright, small and high."
        ),
        *(Drawing(f"improvement_{name}") for name in ("average", "vote", "explorer")),
    ]


def outcomes(study: Study) -> pl.DataFrame:
    """Accuracies and costs of the drawn ensembles, by the rules that can differ."""
    half = NORMAL_QUANTILE * pl.col("improvement_stderr")
    columns = [
        "ensemble",
        "size",
        "consensus",
        "condition",
        "top1",
        "best_member_top1",
        "improvement",
        "params",
    ]
    return (
        study.ensembles.join(drawn_ensembles(study), on=["ensemble", "size"], maintain_order="left")
        .filter(pl.col("consensus").is_in(study.consensus))
        .select(*columns, half.alias("half"))
    )


def _points(base: alt.Chart, params: pl.Series, x: alt.X) -> alt.Chart:
    """Ensembles as circles: area by number of parameters, from 0, with three sizes in the legend."""
    numbers = params.cast(pl.Float64)
    values = sorted({float(f"{v:.1e}") for q in (0.0, 0.5, 1.0) if (v := numbers.quantile(q)) is not None})
    at_the_bottom = {"orient": "bottom"}
    size = alt.Legend(
        title="Parameters", format=".2~s", symbolFillColor="#8b979d", values=values, **at_the_bottom
    )
    accuracy = alt.Legend(title="Ensemble top-1", format=".0%", gradientLength=150, **at_the_bottom)
    return base.mark_point(filled=True, opacity=0.75, stroke="white", strokeWidth=0.4).encode(
        x=x,
        y=alt.Y("improvement:Q", axis=_IMPROVEMENT),
        color=alt.Color("top1:Q", scale=alt.Scale(scheme="viridis", zero=False), legend=accuracy),
        size=alt.Size(
            "params:Q", scale=alt.Scale(domain=[0, max(values, default=1)], range=[0, 260]), legend=size
        ),
        tooltip=_HOVER,
    )


def _trend(base: alt.Chart) -> alt.Chart:
    line = base.transform_regression("x", "improvement").mark_line(color=INK, strokeWidth=1.5)
    return line.encode(x="x:Q", y="improvement:Q")


@figure("improvement_average")
def improvement_average(study: Study) -> Figure | None:
    return paper_scatter(study, "average")


@figure("improvement_vote")
def improvement_vote(study: Study) -> Figure | None:
    return paper_scatter(study, "vote")


def paper_scatter(study: Study, consensus: str) -> Figure | None:
    """Attribution diversity and disagreement side by side on the first clean condition.

    None where the study has no ensembles under this consensus, or a single one, or none of the two metrics.
    """
    size = study.default_size
    metrics = [m for m in study.headline_metrics if m != MEAN_ACCURACY]
    if size is None or consensus not in study.consensus or not metrics:
        return None
    condition = study.first_condition
    values = diversity_values(study).filter(size=size, condition=condition)
    values = with_normalised(values.filter(pl.col("metric").is_in(metrics)))
    names = {m: metric_label(study, m) for m in metrics}
    rows = (
        outcomes(study)
        .filter(size=size, condition=condition, consensus=consensus)
        .join(values, on=["ensemble", "size", "condition"], maintain_order="left")
        .with_columns(pl.col("metric").replace_strict(names, default=None).alias("panel"))
        .filter(pl.col("x").is_not_nan(), pl.col("improvement").is_not_nan())
        .drop("consensus", "condition")
    )
    if rows.is_empty():
        return None
    x = alt.X("x:Q", axis=alt.Axis(title=_DIVERSITY, tickCount=5))
    points = _points(alt.Chart(), rows["params"], x).properties(width=300, height=300)
    chart = alt.layer(zero_rule("y"), points, _trend(alt.Chart()), data=ROWS).facet(
        facet=alt.Facet("panel:N", title=None, sort=list(names.values())), columns=2
    )
    where = {"size": size, "consensus": consensus, "condition": condition, "statistic": "pearson"}
    related = {m: relation(study, metric=m, **where) for m in metrics} if can_relate(study) else {}
    said = " ".join(
        f"{short_metric_label(study, m)}: Pearson {coefficient(row['value'])} "
        f"{interval(row['low'], row['high'])}."
        for m, row in related.items()
        if row
    )
    who = f"{plural(num_ensembles(study, size), 'ensemble')} of {size} by {consensus_label(consensus)}"
    return Figure(
        title=f"{consensus_label(consensus).capitalize()} on {condition_label(study, condition)}",
        caption=f"{who}. Above the dashed line the ensemble is more accurate than its best member; the solid "
        f"line is the least-squares fit. {said}",
        alt=f"Scatter plots of {who} on {condition_label(study, condition)}: improvement over the best "
        f"member against diversity. {said}",
        chart=chart,
        data={"rows": rows},
        panel_width=378,
    )


@figure("improvement_explorer")
def explorer(study: Study) -> Figure | None:
    """Every condition, consensus, metric and size, chosen by the reader; None without ensembles."""
    metrics = study.metric_names
    if not has_several(study) or study.default_consensus is None or not metrics:
        return None
    values = diversity_values(study).filter(pl.col("metric").is_in(metrics))
    values = values.join(drawn_ensembles(study), on=["ensemble", "size"], maintain_order="left")
    identity = pl.concat_str(["ensemble", "condition"], separator="|")
    numbers = {
        key: i for i, key in enumerate(values.select(identity.unique(maintain_order=True)).to_series())
    }
    key = identity.replace_strict(numbers, default=None, return_dtype=pl.Int64).alias("key")
    # The page normalises what it shows; four figures of the raw value are enough to draw.
    raw = values.select(key, "metric", pl.col("raw").round_sig_figs(4))
    wide = raw.pivot("metric", index="key", values="raw")
    keys = values.select("ensemble", "condition", key).unique(maintain_order=True)
    rows = outcomes(study).join(keys, on=["ensemble", "condition"], how="left", maintain_order="left")
    names = study.condition_names
    params = [
        select(
            "condition",
            "Condition: ",
            names,
            [condition_label(study, c) for c in names],
            study.first_condition,
        ),
        select(
            "metric",
            "Diversity: ",
            metrics,
            [metric_label(study, m) for m in metrics],
            study.headline_metrics[0],
        ),
        select(
            "consensus",
            "Consensus: ",
            study.consensus,
            [consensus_label(c) for c in study.consensus],
            study.default_consensus,
        ),
        select("size", "Members: ", study.sizes, [str(s) for s in study.sizes], study.default_size),
    ]
    chosen = "datum.condition === condition && datum.consensus === consensus && datum.size === size"
    fields = [c for c in wide.columns if c != "key"]
    base = (
        alt.Chart()
        .transform_filter(chosen)
        .transform_lookup("key", from_=alt.LookupData(alt.NamedData("diversity"), "key", fields))
        .transform_calculate(raw="datum[metric]")
        .transform_joinaggregate(least="min(raw)", most="max(raw)")
        .transform_calculate(
            x="isValid(datum.raw) && datum.most > datum.least ? (datum.raw - datum.least) / "
            "(datum.most - datum.least) : null"
        )
    )
    drawable = base.transform_filter("isValid(datum.x) && isValid(datum.improvement)")
    x = alt.X("x:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(title=_DIVERSITY, tickCount=5))
    corner = {"align": "left", "color": MUTED, "fontSize": 12.5}
    said = (
        alt.Chart(alt.NamedData("relations"))
        .transform_filter(chosen + " && datum.metric === metric")
        .mark_text(baseline="bottom", **corner)
        .encode(x=alt.value(0), y=alt.value(-6), text="said:N")
    )
    missing = (
        base.transform_filter("!isValid(datum.x)")
        .transform_aggregate(number="count()")
        .transform_filter("datum.number > 0")
        .transform_calculate(said="datum.number + ' ensembles undefined, not drawn'")
        .mark_text(baseline="top", **corner)
        .encode(x=alt.value(6), y=alt.value(6), text="said:N")
    )
    layers = [zero_rule("y"), _points(drawable, rows["params"], x), _trend(drawable), said, missing]
    total = sum(num_ensembles(study, size) for size in study.sizes)
    return Figure(
        title="Any condition, consensus and diversity metric",
        caption="Choose what to show; point at a circle for its members. Diversity is normalised over "
        "the ensembles that are drawn, from 0, the lowest raw value, to 1, the highest.",
        alt=f"Scatter plot of improvement against diversity for {plural(total, 'ensemble')}; "
        "the correlations are in the tables below.",
        chart=alt.layer(*layers, data=ROWS).add_params(*params).properties(height=420),
        data={"rows": rows, "diversity": wide, "relations": _relations(study)},
    )


def _relations(study: Study) -> pl.DataFrame:
    """Columns condition, consensus, metric, size, said: Pearson's correlation in words."""
    table = study.table("correlations")
    if table.is_empty():
        return pl.DataFrame(
            schema=dict.fromkeys(["condition", "consensus", "metric", "size", "said"], pl.String)
        )
    same = pl.col("diversity_condition") == pl.col("accuracy_condition")
    rows = table.filter(pl.lit(can_relate(study)), same, statistic="pearson")
    said = pl.struct("value", "low", "high", "n_ensembles").map_elements(
        lambda r: (
            f"Pearson {coefficient(r['value'])} {interval(r['low'], r['high'])}, "
            f"all {r['n_ensembles']} ensembles"
        ),
        return_dtype=pl.String,
    )
    rows = rows.rename({"accuracy_condition": "condition"})
    return rows.select("condition", "consensus", "metric", "size", said.alias("said"))
