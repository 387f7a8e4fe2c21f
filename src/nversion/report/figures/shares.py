"""How many ensembles beat their best member, by rule and condition."""

from __future__ import annotations

import altair as alt
import polars as pl

from nversion.report.frames import share_above_zero
from nversion.report.labels import condition_label, consensus_label
from nversion.report.tables import Study

from .figure import ROWS, Figure, key, percent_axis, select

# From below to above; both ends stay apart for colour-blind readers and in grey.
CLASSES = {
    "clearly below": "#b3450b",
    "below, interval covers zero": "#f0c9a4",
    "not below, interval covers zero": "#b7d3e3",
    "clearly above": "#0b5d80",
}


def share_rows(study: Study) -> pl.DataFrame:
    """Four shares for every size, consensus and condition; together they are 1."""
    shares = share_above_zero(study).filter(
        pl.col("consensus").is_in(study.consensus), pl.col("condition").is_in(study.condition_names)
    )
    below, above = pl.col("clearly_below"), pl.col("clearly_above")
    parts = [below, 1 - pl.col("above") - below, pl.col("above") - above, above]
    named = [part.alias(name) for part, name in zip(parts, CLASSES, strict=True)]
    long = shares.select(
        "size", "consensus", "condition", "num", pl.col("above").alias("share_above"), *named
    )
    order = {name: i for i, name in enumerate(CLASSES)}
    return (
        long.unpivot(
            on=list(CLASSES),
            index=["size", "consensus", "condition", "num", "share_above"],
            variable_name="outcome",
            value_name="share",
        )
        .with_columns(
            pl.col("outcome").replace_strict(order, default=None).alias("order"),
            pl.col("share").clip(0, 1),
            pl.col("consensus")
            .replace_strict({c: consensus_label(c) for c in study.consensus}, default=None)
            .alias("rule"),
            pl.col("condition")
            .replace_strict({c: condition_label(study, c) for c in study.condition_names}, default=None)
            .alias("label"),
        )
        .sort("size", "consensus", "condition", "order", maintain_order=True)
    )


def _interval(study: Study) -> str:
    if study.table("comparisons").is_empty():
        return "95 % interval, of each alone and over images,"
    return "interval, corrected for comparing all ensembles of one size, rule and condition,"


def shares(study: Study) -> Figure | None:
    """Stacked shares, a panel a consensus; None without ensembles."""
    if study.default_size is None:
        return None
    rows = share_rows(study)
    panel_width = 240
    rules = [consensus_label(c) for c in study.consensus]
    labels = [condition_label(study, c) for c in study.condition_names]
    bars = (
        alt.Chart()
        .transform_filter("datum.size === size")
        .mark_bar(height={"band": 0.74})
        .encode(
            y=alt.Y(
                "label:N", sort=labels, axis=alt.Axis(title=None, labelLimit=300, domain=False, ticks=False)
            ),
            x=alt.X(
                "share:Q",
                stack="zero",
                scale=alt.Scale(domain=[0, 1]),
                axis=percent_axis("Share of ensembles", tickCount=3),
            ),
            color=alt.Color(
                "outcome:N",
                sort=list(CLASSES),
                scale=alt.Scale(domain=list(CLASSES), range=list(CLASSES.values())),
                legend=key(list(CLASSES)),
            ),
            order="order:Q",
            tooltip=[
                alt.Tooltip("rule:N", title="Consensus"),
                alt.Tooltip("label:N", title="Condition"),
                alt.Tooltip("outcome:N", title="Improvement"),
                alt.Tooltip("share:Q", title="Share", format=".1%"),
                alt.Tooltip("share_above:Q", title="Above zero in all", format=".1%"),
                alt.Tooltip("num:Q", title="Ensembles", format=","),
            ],
        )
        .properties(width=panel_width, height=alt.Step(21))
    )
    sizes = [str(s) for s in study.sizes]
    chart = (
        alt.layer(bars, data=ROWS)
        .facet(facet=alt.Facet("rule:N", title=None, sort=rules), columns=2)
        .add_params(select("size", "Members: ", study.sizes, sizes, study.default_size))
    )
    return Figure(
        name="share_above_zero",
        title="How many ensembles beat their best member",
        caption="Blue: the ensemble is more accurate than its best member on this condition; the dark ends "
        f"are those whose {_interval(study)} excludes zero.",
        alt="Stacked bars of the shares of ensembles above and below their best member for "
        + ", ".join(rules)
        + " on every condition; the shares are in the table below.",
        chart=chart,
        data={"rows": rows},
        panel_width=panel_width + 130,
    )
