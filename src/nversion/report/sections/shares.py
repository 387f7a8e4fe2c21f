"""Shares of ensembles that are more accurate than their best member, by rule and condition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from nversion.report.blocks import Block, Cell, Drawing, Grid, Row, Tables, cell_of
from nversion.report.charts import ROWS, colour, labels_down, panels, percent_axis, select, tips
from nversion.report.figure import Figure
from nversion.report.frames import compared, has_several, share_above_zero, with_labels
from nversion.report.labels import condition_label, consensus_label, percent, points
from nversion.report.registry import Blocks, figure, section
from nversion.report.tables import Study

# From below to above; both ends differ for colour-blind readers and in grey.
CLASSES = {
    "clearly below": "#b3450b",
    "below, interval covers zero": "#f0c9a4",
    "not below, interval covers zero": "#b7d3e3",
    "clearly above": "#0b5d80",
}


@section("shares", order=90, nav="Above zero", title="How often an ensemble gains")
def shares_section(study: Study) -> Blocks:
    if not has_several(study):
        return None
    blocks: list[Block] = [Drawing("share_above_zero")]
    if (comparisons := comparison_table(study)) is not None:
        blocks.append(Tables([comparisons]))
    return [*blocks, Tables([share_table(study)])]


def _by_rule(
    study: Study, frame: pl.DataFrame, caption: str, make: Any, source: str, notes: list[str]
) -> Grid:
    """Conditions down, sizes and rules across, of a frame with a row for each."""
    found = {(r["size"], r["consensus"], r["condition"]): r for r in frame.iter_rows(named=True)}
    known = {key[:2] for key in found}
    columns = [(size, rule) for size in study.sizes for rule in study.rules(size) if (size, rule) in known]
    several = len(study.sizes) > 1
    return Grid(
        caption,
        [consensus_label(rule) + (f", {size} members" if several else "") for size, rule in columns],
        [
            Row(condition_label(study, c), [cell_of(found.get((*column, c)), make) for column in columns])
            for c in study.condition_names
        ],
        corner="Condition",
        source=source,
        notes=notes,
    )


def share_table(study: Study) -> Grid:
    """Share above zero and median improvement."""

    def cell(row: Mapping[str, Any]) -> Cell:
        return Cell(percent(row["above"], 0), f"median {points(row['median'])}")

    caption = "Share of ensembles above their best member, and the median improvement in points"
    return _by_rule(study, share_above_zero(study), caption, cell, "ensembles", [])


def comparison_table(study: Study) -> Grid | None:
    """Ensembles that are better, and worse, after correction for all comparisons; None without any."""
    table = compared(study)
    if table.is_empty():
        return None

    def cell(row: Mapping[str, Any]) -> Cell:
        return Cell(
            f"{row['better']:,} of {row['num']:,}", f"{row['worse']:,} worse; McNemar {row['tested']:,}"
        )

    return _by_rule(
        study,
        table,
        "Ensembles that are better than their best member, corrected for all comparisons",
        cell,
        "comparisons",
        [
            "The interval of the difference on the same images excludes zero; intervals hold simultaneously, "
            "with 95 %, for all ensembles of one size, rule and condition. Small: those that are worse, and "
            "those that differ at 5 % by McNemar's exact test with Holm's correction."
        ],
    )


def share_rows(study: Study) -> pl.DataFrame:
    """Four shares for every size, consensus and condition; together they are 1."""
    below, above = pl.col("clearly_below"), pl.col("clearly_above")
    parts = [below, 1 - pl.col("above") - below, pl.col("above") - above, above]
    index = ["size", "consensus", "condition", "num", "share_above"]
    rules = {c: consensus_label(c) for c in study.consensus}
    long = (
        share_above_zero(study)
        .filter(pl.col("consensus").is_in(study.consensus))
        .with_columns(pl.col("above").alias("share_above"))
        .select(*index, *(part.alias(name) for part, name in zip(parts, CLASSES, strict=True)))
        .unpivot(on=list(CLASSES), index=index, variable_name="outcome", value_name="share")
        .with_columns(
            pl.col("outcome")
            .replace_strict({name: i for i, name in enumerate(CLASSES)}, default=None)
            .alias("order"),
            pl.col("share").clip(0, 1),
            pl.col("consensus").replace_strict(rules, default=None).alias("rule"),
        )
    )
    return with_labels(study, long).sort("size", "consensus", "condition", "order", maintain_order=True)


@figure("share_above_zero")
def shares(study: Study) -> Figure | None:
    """Stacked shares, a panel a consensus; None without several ensembles."""
    if not has_several(study):
        return None
    rows = share_rows(study)
    rules = [consensus_label(c) for c in study.consensus]
    bars = stacked_bars(
        [condition_label(study, c) for c in study.condition_names],
        "Share of ensembles",
        CLASSES,
        tips(
            rule="Consensus",
            label="Condition",
            outcome="Improvement",
            share=("Share", ".1%"),
            share_above=("Above zero in all", ".1%"),
            num=("Ensembles", ","),
        ),
    ).transform_filter("datum.size === size")
    sizes = [str(s) for s in study.sizes]
    interval = (
        "95 % interval, of each alone and over images,"
        if study.table("comparisons").is_empty()
        else "interval, corrected for comparing all ensembles of one size, rule and condition,"
    )
    chart = panels(alt.layer(bars, data=ROWS), "rule", rules, columns=2, width=240, height=alt.Step(21))
    return Figure(
        title="How many ensembles are more accurate than their best member",
        caption="Blue: the ensemble is more accurate than its best member on this condition; dark: its "
        f"{interval} excludes zero.",
        alt="Stacked bars of the shares of ensembles above and below their best member for "
        + ", ".join(rules)
        + " on every condition; the shares are in the table below.",
        chart=chart.add_params(select("size", "Members: ", study.sizes, sizes, study.default_size)),
        data={"rows": rows},
        panel_width=370,
    )


def stacked_bars(
    labels: list[str], title: str, palette: Mapping[str, str], tooltip: list[alt.Tooltip]
) -> alt.Chart:
    """Bars of shares that add up to 1: fields label, share, outcome and order."""
    return (
        alt.Chart()
        .mark_bar(height={"band": 0.74})
        .encode(
            y=labels_down(labels, grid=False, tickBand="center", domain=False, ticks=False),
            x=alt.X(
                "share:Q", stack="zero", scale=alt.Scale(domain=[0, 1]), axis=percent_axis(title, tickCount=3)
            ),
            color=colour("outcome", palette),
            order="order:Q",
            tooltip=tooltip,
        )
    )
