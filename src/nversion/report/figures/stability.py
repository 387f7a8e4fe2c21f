"""How stable a choice is: what repeated splits of the images choose, and its gain on the other half."""

from __future__ import annotations

import altair as alt
import polars as pl

from nversion.report.labels import percent, plural, points
from nversion.report.tables import Study

from .figure import ACCENT, INK, ROWS, WARM, Figure, one_row, points_axis

MOST_NAMED = 10
"""Contenders that have a row of their own; the others share one."""


def split_rows(study: Study) -> pl.DataFrame:
    """A row a split: what was chosen, in how many splits it was, and its gain on the held-out half."""
    splits = study.table("selection_splits")
    if splits.is_empty():
        return pl.DataFrame(schema={"row": pl.String, "order": pl.Int64, "times": pl.Int64})
    counts = splits.group_by("ensemble", maintain_order=True).agg(pl.len().cast(pl.Int64).alias("times"))
    counts = counts.sort("times", descending=True, maintain_order=True).with_row_index("place")
    others = counts.height - MOST_NAMED
    named = pl.col("place") < MOST_NAMED
    total = splits.height
    return (
        splits.join(counts, on="ensemble", maintain_order="left")
        .with_columns(
            pl.when(named)
            .then(pl.format("{} ({} of {})", "ensemble", "times", pl.lit(total)))
            .otherwise(pl.lit(f"{plural(others, 'other contender')}"))
            .alias("row"),
            pl.min_horizontal(pl.col("place").cast(pl.Int64), pl.lit(MOST_NAMED)).alias("order"),
        )
        .select(
            "split", "row", "order", "ensemble", "times", "best_single_model", "gain_held_out", "gain_unseen"
        )
    )


def stability(study: Study) -> Figure | None:
    """A row a contender that some split chose, a tick a split; None without repeated splits."""
    rows = split_rows(study)
    if rows.is_empty():
        return None
    y = alt.Y(
        "row:N",
        sort=alt.EncodingSortField(field="order", op="min"),
        axis=alt.Axis(title=None, labelLimit=420, grid=True),
    )
    axis = points_axis("Gain on the held-out half over the best single model, points", tickCount=8)
    base = alt.Chart().transform_filter("isValid(datum.gain_held_out)")
    ticks = base.mark_tick(thickness=2, size=15, opacity=0.55, color=ACCENT).encode(
        x=alt.X("gain_held_out:Q", axis=axis),
        y=y,
        tooltip=[
            alt.Tooltip("ensemble:N", title="Chosen"),
            alt.Tooltip("best_single_model:N", title="Best single model"),
            alt.Tooltip("gain_held_out:Q", title="Held-out gain", format="+.2%"),
            alt.Tooltip("gain_unseen:Q", title="… unseen conditions", format="+.2%"),
            alt.Tooltip("times:Q", title="Chosen in splits"),
        ],
    )
    median = base.transform_aggregate(median="median(gain_held_out)").mark_rule(color=WARM, strokeWidth=2)
    median = median.encode(x="median:Q")
    zero = one_row(alt.Chart()).mark_rule(strokeDash=[5, 4], color=INK).encode(x=alt.datum(0))
    chart = alt.layer(zero, ticks, median, data=ROWS).properties(height=alt.Step(24))
    return Figure(
        name="selection_stability",
        title="What other halves of the images would have chosen",
        caption=summary(study),
        alt=f"Strip plot of the held-out gain in {plural(rows.height, 'split')}, a row a chosen ensemble. "
        f"{summary(study)}",
        chart=chart,
        data={"rows": rows},
    )


def summary(study: Study) -> str:
    """How often the most frequent choice was made, and the distribution of the gain."""
    rows = split_rows(study)
    most = rows.sort("times", descending=True, maintain_order=True).row(0, named=True)
    held = rows["gain_held_out"].fill_nan(None).drop_nulls()
    share = int((held > 0).sum()) / len(held) if len(held) else float("nan")
    low, median, high = (held.quantile(q, "linear") for q in (0.05, 0.5, 0.95))
    different = rows["ensemble"].n_unique()
    return (
        f"The images were split in half {rows.height} times and the choice made anew each time, a tick a "
        "split: "
        f"{plural(different, 'different contender')} {'was' if different == 1 else 'were'} "
        f"chosen, {most['ensemble']} most often, in {most['times']} of {rows.height}. On the half that "
        "had no say "
        f"the median gain over the best single model is {points(median)} points (orange line), from "
        f"{points(low)} "
        f"to {points(high)} in 90 % of the splits, which is no interval: splits share images. It is above "
        "zero in "
        f"{percent(share, 0)}."
    )
