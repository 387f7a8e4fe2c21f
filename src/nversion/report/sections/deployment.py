"""Accuracy on held-out images against cost: the front of selected candidates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from nversion.report.blocks import Cell, Drawing, Grid, Row, Tables, Words, share_cell
from nversion.report.charts import ACCENT, CATEGORIES, INK, ROWS, colour, percent_axis, select, shape, tips
from nversion.report.figure import Figure
from nversion.report.labels import consensus_label, count, plural
from nversion.report.registry import Blocks, figure, section
from nversion.report.tables import Study

COSTS = {"params": "Parameters", "macs": "Multiply-adds per image"}
SCOPES = {
    "seen": ("top1", "top1_low", "top1_high", "Held-out half, seen conditions"),
    "unseen": ("unseen_top1", "unseen_low", "unseen_high", "Held-out half, unseen conditions"),
}
SINGLE = "single model"


@section("deployment", order=150, nav="Deployment", title="Accuracy against cost")
def deployment_section(study: Study) -> Blocks:
    if study.table("front").is_empty():
        return None
    return [
        Words(
            "The front holds the candidates that no cheaper one exceeds by the criterion of the selection, "
            "on one half of the images under the seen conditions. Their accuracy is evaluated on the other "
            "half, under seen and unseen conditions. Single models are candidates like any other: an "
            "ensemble must beat the single model of its own cost."
        ),
        Drawing("deployment"),
        Tables([front_table(study)]),
    ]


def front_table(study: Study) -> Grid:
    """The front by rising cost, with accuracies where it was selected and where it was held out."""
    cost = front_cost(study)
    front = study.table("front").sort(cost, maintain_order=True)
    return Grid(
        f"The front by {COSTS[cost].lower()}",
        [
            "Consensus",
            "Parameters",
            "Multiply-adds",
            "Half that chose",
            "Held-out half",
            "Held-out half, unseen conditions",
        ],
        [_front_row(row) for row in front.iter_rows(named=True)],
        corner="Members",
        source="front",
        notes=["Top-1 in percent by the criterion of the selection; 95 % intervals on held-out images."],
    )


def _front_row(row: Mapping[str, Any]) -> Row:
    return Row(
        row["ensemble"],
        [
            Cell(SINGLE if row["is_single"] else consensus_label(row["consensus"] or "")),
            Cell(count(row["params"])),
            Cell(count(row["macs"])),
            share_cell(row["chosen_top1"]),
            share_cell(row["top1"], row["top1_low"], row["top1_high"]),
            share_cell(row["unseen_top1"], row["unseen_low"], row["unseen_high"]),
        ],
    )


def front_cost(study: Study) -> str:
    """The cost that the front is of: "params" or "macs"."""
    facts = study.selection.facts if study.selection else {}
    return str(facts.get("cost") or "params")


def front_rows(study: Study) -> pl.DataFrame:
    """A row an entry of the front and scope of conditions."""
    table = study.table("front")
    if table.is_empty():
        return table
    members = pl.when("is_single").then(pl.lit(SINGLE)).otherwise(pl.format("{} members", "size"))
    return pl.concat(
        table.select(
            pl.lit(scope).alias("scope"),
            "ensemble",
            members.alias("members"),
            pl.col(front_cost(study)).cast(pl.Float64).alias("cost"),
            "chosen_top1",
            pl.col(value).alias("top1"),
            pl.col(low).alias("low"),
            pl.col(high).alias("high"),
        )
        for scope, (value, low, high, _) in SCOPES.items()
    ).filter(pl.col("top1").is_not_nan(), pl.col("cost") > 0)


@figure("deployment")
def deployment(study: Study) -> Figure | None:
    """Held-out accuracy against cost; None where `nversion select` left no front."""
    rows = front_rows(study)
    if rows.is_empty():
        return None
    scopes = [s for s in SCOPES if s in set(rows["scope"])]
    members = sorted(rows["members"].unique(), key=lambda m: (m != SINGLE, m))
    palette = dict(zip(members, [CATEGORIES[1], ACCENT, *CATEGORIES[2:]], strict=False))
    x = alt.X(
        "cost:Q",
        scale=alt.Scale(type="log", nice=False, padding=12),
        axis=alt.Axis(title=f"{COSTS[front_cost(study)]}, logarithmic", format="~s", tickCount=6),
    )
    scale = alt.Scale(zero=False)
    y = alt.Y("top1:Q", scale=scale, axis=percent_axis("Top-1 on held-out images"))
    base = alt.Chart().transform_filter("datum.scope === scope").encode(x=x)
    spans = base.mark_rule(strokeWidth=1.6).encode(
        y=alt.Y("low:Q", scale=scale), y2="high:Q", color=colour("members", palette)
    )
    dots = base.mark_point(filled=True, opacity=1, size=80).encode(
        y=y,
        color=colour("members", palette),
        shape=shape("members", {m: "circle" if i else "diamond" for i, m in enumerate(members)}),
        tooltip=tips(
            ensemble="Members",
            top1=("Held-out half", ".1%"),
            low=("95 % from", ".1%"),
            high=("95 % to", ".1%"),
            chosen_top1=("On the half that chose", ".1%"),
            cost=("Cost", ".3~s"),
        ),
    )
    front = base.mark_line(color=INK, strokeWidth=1, opacity=0.6).encode(y=y)
    return Figure(
        title="Held-out accuracy against cost",
        caption="Each is on the front of one half of the images: nothing of its cost or less was as accurate "
        "there; drawn is its accuracy on the other half, with its 95 % interval. Where the line falls, a "
        "higher cost gained nothing. Diamonds: single models.",
        alt=f"Held-out accuracy against cost of {plural(rows['ensemble'].n_unique(), 'candidate')}; the "
        "front is in the table below.",
        chart=alt.layer(front, spans, dots, data=ROWS)
        .add_params(select("scope", "Evaluated on: ", scopes, [SCOPES[s][3] for s in scopes], scopes[0]))
        .properties(height=400),
        data={"rows": rows},
    )
