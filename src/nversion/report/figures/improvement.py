"""Improvement of ensembles against their diversity (Figures 5 and 6), fixed and to explore."""

from __future__ import annotations

import altair as alt
import polars as pl

from nversion.report.frames import (
    NORMAL_QUANTILE,
    can_relate,
    diversity_values,
    drawn_ensembles,
    num_ensembles,
    relation,
    with_normalised,
)
from nversion.report.labels import coefficient, condition_label, consensus_label, interval, plural
from nversion.report.names import metric_label, short_metric_label
from nversion.report.tables import Study

from .figure import INK, MUTED, ROWS, Figure, one_row, points_axis, select

_HOVER = [
    alt.Tooltip("ensemble:N", title="Members"),
    alt.Tooltip("top1:Q", title="Ensemble top-1", format=".1%"),
    alt.Tooltip("best_member_top1:Q", title="Best member", format=".1%"),
    alt.Tooltip("improvement:Q", title="Improvement", format="+.2%"),
    alt.Tooltip("half:Q", title="± 95 % over images", format=".2%"),
    alt.Tooltip("raw:Q", title="Diversity, raw", format=".4~g"),
    alt.Tooltip("params:Q", title="Parameters", format=".3~s"),
]
_COLOUR = alt.Color(
    "top1:Q",
    scale=alt.Scale(scheme="viridis", zero=False),
    legend=alt.Legend(title="Ensemble top-1", format=".0%", orient="bottom", gradientLength=150),
)


def _area(params: pl.Series) -> alt.Size:
    """Area by number of parameters, from 0; the legend shows the smallest, middle and largest."""
    numbers = params.cast(pl.Float64)
    values = sorted({float(f"{v:.1e}") for q in (0.0, 0.5, 1.0) if (v := numbers.quantile(q)) is not None})
    legend = alt.Legend(
        title="Parameters", format=".2~s", orient="bottom", symbolFillColor="#8b979d", values=values
    )
    domain = [0, max(values, default=1)]
    return alt.Size("params:Q", scale=alt.Scale(domain=domain, range=[0, 260]), legend=legend)


def outcomes(study: Study) -> pl.DataFrame:
    """What a point shows besides its diversity; only drawn ensembles, only rules that can differ."""
    half = NORMAL_QUANTILE * pl.col("improvement_stderr")
    return (
        study.ensembles.join(drawn_ensembles(study), on=["ensemble", "size"], maintain_order="left")
        .filter(pl.col("consensus").is_in(study.consensus), pl.col("condition").is_in(study.condition_names))
        .select(
            "ensemble",
            "size",
            "consensus",
            "condition",
            "top1",
            "best_member_top1",
            "improvement",
            "params",
            half.alias("half"),
        )
    )


def paper_scatter(study: Study, name: str, consensus: str) -> Figure | None:
    """Attribution diversity and disagreement side by side on the first clean condition.

    None where the study has no ensembles under this consensus or none of the two metrics.
    """
    size = study.default_size
    metrics = [m for m in study.headline_metrics if m != "mean_member_accuracy"]
    if size is None or consensus not in study.consensus or not metrics:
        return None
    condition = study.first_condition
    values = diversity_values(study).filter(pl.col("size") == size, pl.col("condition") == condition)
    values = with_normalised(values.filter(pl.col("metric").is_in(metrics)))
    shown = outcomes(study).filter(size=size, condition=condition, consensus=consensus)
    rows = (
        shown.join(values, on=["ensemble", "size", "condition"], maintain_order="left")
        .with_columns(
            pl.col("metric")
            .replace_strict({m: metric_label(m) for m in metrics}, default=None)
            .alias("panel")
        )
        .filter(pl.col("x").is_not_nan(), pl.col("improvement").is_not_nan())
        .drop("consensus", "condition")
    )
    panel_width = 300
    points = (
        alt.Chart()
        .mark_point(filled=True, opacity=0.75, stroke="white", strokeWidth=0.4)
        .encode(
            x=alt.X("x:Q", axis=alt.Axis(title="Diversity, min–max normalised", tickCount=5)),
            y=alt.Y("improvement:Q", axis=points_axis("Improvement over the best member, points")),
            color=_COLOUR,
            size=_area(rows["params"]),
            tooltip=_HOVER,
        )
        .properties(width=panel_width, height=300)
    )
    zero = one_row(alt.Chart()).mark_rule(strokeDash=[5, 4], color=INK).encode(y=alt.datum(0))
    trend = alt.Chart().mark_line(color=INK, strokeWidth=1.5).encode(x="x:Q", y="improvement:Q")
    trend = trend.transform_regression("x", "improvement")
    chart = alt.layer(zero, points, trend, data=ROWS).facet(
        facet=alt.Facet("panel:N", title=None, sort=[metric_label(m) for m in metrics]), columns=2
    )
    said = [
        f"{short_metric_label(m)}: Pearson {coefficient(row['value'])} {interval(row['low'], row['high'])}"
        for m in metrics
        if can_relate(study)
        and (
            row := relation(
                study, metric=m, size=size, consensus=consensus, condition=condition, statistic="pearson"
            )
        )
    ]
    where = f"{plural(num_ensembles(study, size), 'ensemble')} of {size} by {consensus_label(consensus)}"
    return Figure(
        name=name,
        title=f"{consensus_label(consensus).capitalize()} on {condition_label(study, condition)}",
        caption=f"{where}. Above the dashed line the ensemble beats its best member; the solid line is the "
        f"least-squares trend. {'. '.join(said)}{'.' if said else ''}",
        alt=f"Scatter plots of {where} on {condition_label(study, condition)}: improvement over the best "
        f"member against diversity. {'. '.join(said)}",
        chart=chart,
        data={"rows": rows},
        panel_width=panel_width + 78,
    )


def explorer(study: Study) -> Figure | None:
    """Every condition, consensus, metric and size, chosen by the reader; None without ensembles."""
    if study.default_size is None or study.default_consensus is None or not study.metric_names:
        return None
    metrics = study.metric_names
    rows = outcomes(study)
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
    relations = study.correlations.filter(
        pl.lit(can_relate(study)),
        pl.col("statistic") == "pearson",
        pl.col("diversity_condition") == pl.col("accuracy_condition"),
    ).rename({"accuracy_condition": "condition"})
    relations = relations.select(
        "condition",
        "consensus",
        "metric",
        "size",
        pl.struct("value", "low", "high", "n_ensembles")
        .map_elements(
            lambda r: (
                f"Pearson {coefficient(r['value'])} {interval(r['low'], r['high'])}, "
                f"all {r['n_ensembles']} ensembles"
            ),
            return_dtype=pl.String,
        )
        .alias("said"),
    )
    names = study.condition_names
    first_metric = study.headline_metrics[0]
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
            [metric_label(m) for m in metrics],
            first_metric,
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
    base = (
        alt.Chart()
        .transform_filter(chosen)
        .transform_lookup(
            "key",
            from_=alt.LookupData(alt.NamedData("diversity"), "key", [c for c in wide.columns if c != "key"]),
        )
        .transform_calculate(raw="datum[metric]")
        .transform_joinaggregate(least="min(raw)", most="max(raw)")
        .transform_calculate(
            x="isValid(datum.raw) && datum.most > datum.least ? (datum.raw - datum.least) / "
            "(datum.most - datum.least) : null"
        )
    )
    drawable = "isValid(datum.x) && isValid(datum.improvement)"
    points = (
        base.transform_filter(drawable)
        .mark_point(filled=True, opacity=0.75, stroke="white", strokeWidth=0.4)
        .encode(
            x=alt.X(
                "x:Q",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(title="Diversity, min–max normalised", tickCount=5),
            ),
            y=alt.Y("improvement:Q", axis=points_axis("Improvement over the best member, points")),
            color=_COLOUR,
            size=_area(rows["params"]),
            tooltip=_HOVER,
        )
    )
    trend = base.transform_filter(drawable).transform_regression("x", "improvement")
    trend = trend.mark_line(color=INK, strokeWidth=1.5).encode(x="x:Q", y="improvement:Q")
    zero = one_row(alt.Chart()).mark_rule(strokeDash=[5, 4], color=INK).encode(y=alt.datum(0))
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
    chart = (
        alt.layer(zero, points, trend, said, missing, data=ROWS).add_params(*params).properties(height=420)
    )
    total = sum(num_ensembles(study, size) for size in study.sizes)
    return Figure(
        name="improvement_explorer",
        title="Any condition, consensus and diversity",
        caption="Choose what to look at; point at a circle for its members. Diversity is normalised over "
        "the ensembles that are drawn, 0 the least and 1 the most of the raw value.",
        alt=f"Scatter plot of improvement against diversity for {plural(total, 'ensemble')}; "
        "the correlations are in the tables below.",
        chart=chart,
        data={
            "rows": rows.join(
                values.select("ensemble", "condition", key).unique(maintain_order=True),
                on=["ensemble", "condition"],
                how="left",
                maintain_order="left",
            ),
            "diversity": wide,
            "relations": relations,
        },
    )
