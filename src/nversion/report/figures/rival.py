"""One model with a threshold on its confidence against the chosen ensemble's voter, on the same images."""

from __future__ import annotations

import math

import altair as alt
import polars as pl

from nversion.report.labels import condition_label, plural
from nversion.report.tables import Study

from .figure import ACCENT, ROWS, SHAPES, WARM, Figure, key, percent_axis

VOTER, MODEL = "chosen ensemble, k must agree", "best single model, confidence threshold"


def rival_rows(study: Study) -> pl.DataFrame:
    """The table with labels of conditions and of the two systems."""
    labels = {c: condition_label(study, c) for c in study.condition_names}
    return study.table("rival").with_columns(
        pl.col("condition").replace_strict(labels, default=None).alias("label"),
        pl.col("system").replace_strict({"voter": VOTER, "model": MODEL}, default=None).alias("who"),
        pl.when(pl.col("system") == "voter")
        .then(pl.format("{} of {}", "agreeing", "size"))
        .otherwise(pl.lit(""))
        .alias("said"),
    )


def confidence_rival(study: Study) -> Figure | None:
    """A panel a condition: silently wrong against coverage; None where nothing was chosen."""
    rows = rival_rows(study)
    if rows.is_empty():
        return None
    kinds = [MODEL, VOTER]
    votes = sorted(set(rows["said"]) - {""})
    panel_width = 210
    order = [
        label for c in study.condition_names if (label := condition_label(study, c)) in set(rows["label"])
    ]
    colour = alt.Color(
        "who:N", sort=kinds, scale=alt.Scale(domain=kinds, range=[WARM, ACCENT]), legend=key(kinds)
    )
    x = alt.X("coverage:Q", axis=percent_axis("Answered", tickCount=4), scale=alt.Scale(zero=False))
    y = alt.Y("silent_wrong:Q", axis=percent_axis("Silently wrong", tickCount=4))
    # Where the voters are; further left there is only the tail of the model's curve.
    least = rows.filter(system="voter")["coverage"].min()
    start = 0.0 if least is None else max(0.0, math.floor(10 * float(str(least)) - 1) / 10)
    of_model = alt.Chart().transform_filter(f"datum.system === 'model' && datum.coverage >= {start}")
    of_voter = alt.Chart().transform_filter("datum.system === 'voter'")
    band = of_model.mark_area(opacity=0.16).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour)
    line = of_model.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour)
    spans = of_voter.mark_rule(strokeWidth=2).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour)
    dots = of_voter.mark_point(filled=True, size=55, opacity=1).encode(
        x=x,
        y=y,
        color=colour,
        shape=alt.Shape(
            "said:N",
            sort=votes,
            scale=alt.Scale(domain=votes, range=SHAPES[: len(votes)]),
            legend=key(votes, "Must agree"),
        ),
        tooltip=[
            alt.Tooltip("name:N", title="Of"),
            alt.Tooltip("said:N", title="Must agree"),
            alt.Tooltip("coverage:Q", title="Answered", format=".1%"),
            alt.Tooltip("silent_wrong:Q", title="Silently wrong", format=".2%"),
            alt.Tooltip("low:Q", title="95 % from", format=".2%"),
            alt.Tooltip("high:Q", title="95 % to", format=".2%"),
            alt.Tooltip("difference:Q", title="Less the model’s", format="+.2%"),
            alt.Tooltip("difference_low:Q", title="95 % from", format="+.2%"),
            alt.Tooltip("difference_high:Q", title="95 % to", format="+.2%"),
        ],
    )
    chart = (
        alt.layer(band, line, spans, dots, data=ROWS)
        .properties(width=panel_width, height=150)
        .facet(facet=alt.Facet("label:N", title=None, sort=order), columns=4)
        .resolve_scale(x="independent", y="independent")
    )
    return Figure(
        name="confidence_rival",
        title="One model that knows when to stop, against the voter",
        caption=f"Share of all images answered wrongly against the share answered, on the {_images(rows)} "
        "that "
        "had no say in choosing either. The model answers where its largest softmax probability is above a "
        "threshold. Bands and bars: 95 % intervals over images, Clopper and Pearson’s. Lower is safer, "
        "further "
        f"right is more available. {verdict(study)} Scales differ between conditions.",
        alt="Silently wrong against answered for a single model with a confidence threshold and for the "
        "voter, "
        f"on {plural(len(order), 'condition')}. {verdict(study)}",
        chart=chart,
        data={"rows": rows},
        panel_width=panel_width + 66,
    )


def _images(rows: pl.DataFrame) -> str:
    sizes = sorted(rows["n"].unique())
    return f"{sizes[0]:,} images" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,} images"


def verdict(study: Study) -> str:
    """In how many comparisons at equal coverage the voter is shown to be safer, or less safe."""
    voters = study.table("rival").filter(system="voter")
    known = voters.filter(pl.col("difference_low").is_not_nan(), pl.col("difference_high").is_not_nan())
    safer = known.filter(pl.col("difference_high") < 0).height
    worse = known.filter(pl.col("difference_low") > 0).height
    return (
        f"At the same share of answered images the voter lets fewer wrong answers pass in {safer} and "
        "more in "
        f"{worse} of {plural(known.height, 'comparison')} by 95 % intervals of the paired difference, "
        "each for "
        "itself; the others cannot be told apart."
    )
