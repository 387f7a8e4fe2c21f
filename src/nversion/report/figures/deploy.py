"""What to deploy: candidates chosen on one half of the images, against what they cost."""

from __future__ import annotations

import altair as alt
import polars as pl

from nversion.report.labels import plural
from nversion.report.tables import Study

from .figure import ACCENT, CATEGORIES, INK, ROWS, Figure, key, percent_axis, select

COSTS = {"params": "Parameters", "macs": "Multiply-adds per image"}
SCOPES = {
    "seen": ("top1", "top1_low", "top1_high", "Held-out half, seen conditions"),
    "unseen": ("unseen_top1", "unseen_low", "unseen_high", "Held-out half, unseen conditions"),
}


def front_cost(study: Study) -> str:
    """The cost that the front is of: "params" or "macs"."""
    facts = study.selection.facts if study.selection else {}
    return str(facts.get("cost") or "params")


def front_rows(study: Study) -> pl.DataFrame:
    """A row an entry of the front and scope of conditions."""
    table = study.table("front")
    cost = front_cost(study)
    members = pl.when("is_single").then(pl.lit("single model")).otherwise(pl.format("{} members", "size"))
    return pl.concat(
        table.select(
            pl.lit(scope).alias("scope"),
            "ensemble",
            members.alias("members"),
            pl.col(cost).cast(pl.Float64).alias("cost"),
            "chosen_top1",
            pl.col(value).alias("top1"),
            pl.col(low).alias("low"),
            pl.col(high).alias("high"),
        )
        for scope, (value, low, high, _) in SCOPES.items()
    ).filter(pl.col("top1").is_not_nan(), pl.col("cost") > 0)


def deployment(study: Study) -> Figure | None:
    """Held-out accuracy against cost; None where `nversion select` left no front."""
    rows = front_rows(study)
    if rows.is_empty():
        return None
    scopes = [s for s in SCOPES if s in set(rows["scope"])]
    members = sorted(rows["members"].unique(), key=lambda m: (m != "single model", m))
    palette = [CATEGORIES[1], ACCENT, *CATEGORIES[2:]][: len(members)]
    scale = alt.Scale(domain=members, range=palette)
    base = alt.Chart().transform_filter("datum.scope === scope")
    x = alt.X(
        "cost:Q",
        scale=alt.Scale(type="log", nice=False, padding=12),
        axis=alt.Axis(title=f"{COSTS[front_cost(study)]}, logarithmic", format="~s", tickCount=6),
    )
    y = alt.Y("top1:Q", scale=alt.Scale(zero=False), axis=percent_axis("Top-1 where it had no say"))
    colour = alt.Color("members:N", sort=members, scale=scale, legend=key(members))
    spans = base.mark_rule(strokeWidth=1.6).encode(
        x=x, y=alt.Y("low:Q", scale=alt.Scale(zero=False)), y2="high:Q", color=colour
    )
    dots = base.mark_point(filled=True, opacity=1, size=80).encode(
        x=x,
        y=y,
        color=colour,
        shape=alt.Shape(
            "members:N",
            sort=members,
            scale=alt.Scale(domain=members, range=["diamond", *["circle"] * (len(members) - 1)]),
        ),
        tooltip=[
            alt.Tooltip("ensemble:N", title="Members"),
            alt.Tooltip("top1:Q", title="Where it had no say", format=".1%"),
            alt.Tooltip("low:Q", title="95 % from", format=".1%"),
            alt.Tooltip("high:Q", title="95 % to", format=".1%"),
            alt.Tooltip("chosen_top1:Q", title="On the half that chose", format=".1%"),
            alt.Tooltip("cost:Q", title="Cost", format=".3~s"),
        ],
    )
    front = base.mark_line(color=INK, strokeWidth=1, opacity=0.6).encode(x=x, y=y)
    chart = (
        alt.layer(front, spans, dots, data=ROWS)
        .add_params(
            select("scope", "Reported on: ", scopes, [SCOPES[s][3] for s in scopes], scopes[0]),
        )
        .properties(height=400)
    )
    return Figure(
        name="deployment",
        title="Held-out accuracy against cost",
        caption="Each was put on the front by one half of the images, on which nothing of its cost or less "
        "did as well; drawn is what it reaches on the other half, with its 95 % interval. Where the line "
        "falls, more cost bought nothing there. Diamonds: single models.",
        alt=f"Held-out accuracy against cost of {plural(rows['ensemble'].n_unique(), 'candidate')}; the "
        "front is in the table below.",
        chart=chart,
        data={"rows": rows},
    )
