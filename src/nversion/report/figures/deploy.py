"""What to deploy: accuracy on the worst condition against what it costs."""

from __future__ import annotations

import altair as alt
import polars as pl

from nversion.report.frames import drawn_ensembles, pareto_front, worst_condition
from nversion.report.labels import condition_label, consensus_label, plural
from nversion.report.tables import Study

from .figure import ACCENT, CATEGORIES, INK, ROWS, SHAPES, Figure, percent_axis, select

COSTS = {"params": "Parameters", "macs": "Multiply-adds per image"}


def cost_rows(study: Study) -> pl.DataFrame:
    """A row a candidate, consensus and kind of cost; `on_front` marks the front over all candidates."""
    candidates = worst_condition(study)
    drawn = [*study.model_names, *drawn_ensembles(study)["ensemble"]]
    labels = {c: condition_label(study, c) for c in study.condition_names}
    parts = []
    for cost in COSTS:
        for consensus in study.consensus:
            of_rule = candidates.filter(consensus=consensus)
            front = set(pareto_front(of_rule, cost).select("candidate").to_series())
            parts.append(
                of_rule.filter(pl.col(cost).is_not_null(), pl.col(cost) > 0)
                .with_columns(
                    pl.lit(cost).alias("kind"),
                    pl.col(cost).cast(pl.Float64).alias("cost"),
                    pl.col("candidate").is_in(front).alias("on_front"),
                )
                .filter(pl.col("on_front") | pl.col("candidate").is_in(drawn))
            )
    size = pl.col("size")
    return (
        pl.concat(parts)
        .with_columns(
            pl.col("worst_at").replace_strict(labels, default=None),
            pl.when(size == 1)
            .then(pl.lit("1 model"))
            .otherwise(pl.format("{} models", size))
            .alias("members"),
        )
        .drop("improvement", "improvement_stderr", "params", "macs")
    )


def deployment(study: Study) -> Figure | None:
    """Front of worst-condition accuracy against cost; None without ensembles to compare."""
    if study.default_consensus is None or study.default_size is None:
        return None
    rows = cost_rows(study)
    kinds = [k for k in COSTS if k in set(rows["kind"])]
    if not kinds:
        return None
    params = [
        select("kind", "Cost: ", kinds, [COSTS[k] for k in kinds], kinds[0]),
        select(
            "consensus",
            "Consensus: ",
            study.consensus,
            [consensus_label(c) for c in study.consensus],
            study.default_consensus,
        ),
    ]
    members = ["1 model", *(f"{s} models" for s in study.sizes)]
    palette = [CATEGORIES[1], "#7d8a91", *CATEGORIES[2:]][: len(members)]
    x = alt.X(
        "cost:Q",
        scale=alt.Scale(type="log", nice=False, padding=12),
        axis=alt.Axis(title="Cost, logarithmic", format="~s", tickCount=6),
    )
    y = alt.Y("worst_top1:Q", scale=alt.Scale(zero=False), axis=percent_axis("Top-1 on the worst condition"))
    dots = (
        alt.Chart()
        .mark_point(filled=True)
        .encode(
            x=x,
            y=y,
            color=alt.Color(
                "members:N",
                scale=alt.Scale(domain=members, range=palette),
                legend=alt.Legend(title=None, orient="top"),
            ),
            shape=alt.Shape(
                "members:N", scale=alt.Scale(domain=members, range=["diamond", *SHAPES][: len(members)])
            ),
            opacity=alt.when("datum.on_front || datum.size === 1")
            .then(alt.value(1))
            .otherwise(alt.value(0.4)),
            size=alt.when("datum.on_front").then(alt.value(95)).otherwise(alt.value(38)),
            stroke=alt.when("datum.on_front").then(alt.value(INK)).otherwise(alt.value(None)),
            order=alt.Order("on_front:Q"),
            tooltip=[
                alt.Tooltip("candidate:N", title="Members"),
                alt.Tooltip("worst_top1:Q", title="Worst-condition top-1", format=".1%"),
                alt.Tooltip("worst_at:N", title="Worst on"),
                alt.Tooltip("mean_top1:Q", title="Mean top-1", format=".1%"),
                alt.Tooltip("cost:Q", title="Cost", format=".3~s"),
            ],
        )
    )
    front = (
        alt.Chart()
        .transform_filter("datum.on_front")
        .mark_line(interpolate="step-after", color=ACCENT, strokeWidth=1.5)
        .encode(x=x, y=y)
    )
    chosen = "datum.kind === kind && datum.consensus === consensus"
    chart = (
        alt.layer(front, dots, data=ROWS).transform_filter(chosen).add_params(*params).properties(height=400)
    )
    return Figure(
        name="deployment",
        title="Worst-condition accuracy against cost",
        caption="On the line nothing cheaper is as accurate on its worst condition. Diamonds: single models.",
        alt=f"Accuracy on the worst condition against cost for {plural(len(study.model_names), 'model')} and "
        "their ensembles; the front is in the table below.",
        chart=chart,
        data={"rows": rows},
    )
