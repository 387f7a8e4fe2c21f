"""A choice made on one half of the images beside what the other half says of it."""

from __future__ import annotations

import altair as alt
import polars as pl

from nversion.report.labels import listed
from nversion.report.selection import CHOSEN_SINGLE, PARTS, ROLES
from nversion.report.tables import Study

from .figure import ACCENT, CATEGORIES, INK, MUTED, ROWS, SHAPES, Figure, key, percent_axis

COLOURS = {CHOSEN_SINGLE: ACCENT} | dict(
    zip(
        ROLES.values(),
        (ACCENT, CATEGORIES[4], CATEGORIES[2], CATEGORIES[3], CATEGORIES[1], MUTED, INK),
        strict=True,
    )
)


def held_out(study: Study) -> Figure | None:
    """Accuracy of the contenders on each part, with its interval; None where nothing was chosen."""
    if study.selection is None:
        return None
    parts = pl.DataFrame(
        [(half, scope, label) for (half, scope), label in PARTS.items()],
        schema=["half", "scope", "part"],
        orient="row",
    )
    rows = (
        study.selection.rows.join(parts, on=["half", "scope"], maintain_order="left")
        .with_columns(
            pl.when(role="chosen", size=1)
            .then(pl.lit(CHOSEN_SINGLE))
            .otherwise(pl.col("role").replace_strict(ROLES, default=None))
            .alias("contender"),
            pl.col("ensemble").fill_null(pl.format("mean over all of {} members", "size")),
        )
        .filter(pl.col("contender").is_not_null())
        .select("part", "contender", "ensemble", "n", "top1", "top1_low", "top1_high")
    )
    contenders = [c for c in COLOURS if c in set(rows["contender"])]
    scale = alt.Scale(domain=contenders, range=[COLOURS[c] for c in contenders])
    legend = key(contenders)
    colour = alt.Color("contender:N", sort=contenders, scale=scale, legend=legend)
    y = alt.Y(
        "part:N",
        sort=list(PARTS.values()),
        axis=alt.Axis(
            title=None, labelExpr="split(datum.label, ', ')", grid=True, tickBand="extent", labelLimit=150
        ),
    )
    offset = alt.YOffset("contender:N", sort=contenders)
    spans = (
        alt.Chart()
        .mark_rule(strokeWidth=2, opacity=0.75)
        .encode(
            x=alt.X("top1_low:Q", scale=alt.Scale(zero=False)),
            x2="top1_high:Q",
            y=y,
            yOffset=offset,
            color=colour,
        )
    )
    dots = (
        alt.Chart()
        .mark_point(filled=True, opacity=1, size=60)
        .encode(
            x=alt.X("top1:Q", scale=alt.Scale(zero=False), axis=percent_axis("Top-1 accuracy", tickCount=6)),
            y=y,
            yOffset=offset,
            color=colour,
            shape=alt.Shape(
                "contender:N",
                sort=contenders,
                scale=alt.Scale(domain=contenders, range=SHAPES[: len(contenders)]),
                legend=legend,
            ),
            tooltip=[
                alt.Tooltip("contender:N", title="Contender"),
                alt.Tooltip("ensemble:N", title="Members"),
                alt.Tooltip("part:N", title="Part"),
                alt.Tooltip("top1:Q", title="Top-1", format=".1%"),
                alt.Tooltip("top1_low:Q", title="95 % from", format=".1%"),
                alt.Tooltip("top1_high:Q", title="95 % to", format=".1%"),
                alt.Tooltip("n:Q", title="Images", format=","),
            ],
        )
    )
    chart = alt.layer(spans, dots, data=ROWS).properties(height=alt.Step(step=96, **{"for": "position"}))
    criterion = study.selection.facts["criterion"]
    return Figure(
        name="selection",
        title="What the choice is worth where it had no say",
        caption=f"Top-1 accuracy by the rule's own criterion ({criterion} over the conditions) with its 95 % "
        "interval. From the first row to the second the average ensemble tells how much harder or easier the "
        "other half is; by what the chosen one falls behind that, it was lucky.",
        alt=f"Accuracies of {listed([c.lower() for c in contenders])} on three parts of the images and "
        "conditions; the numbers are in the table below.",
        chart=chart,
        data={"rows": rows},
    )
