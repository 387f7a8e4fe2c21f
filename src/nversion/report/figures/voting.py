"""What a voter does with the members' answers: right, stopped, silently wrong; risk against coverage."""

from __future__ import annotations

import altair as alt
import polars as pl

from nversion.report.contenders import chosen, mean_of_all, of
from nversion.report.labels import condition_label
from nversion.report.tables import Study

from .figure import ACCENT, ROWS, WARM, Figure, dashed, key, percent_axis

OUTCOMES = {"right": ACCENT, "safe_stop": "#c9d1d5", "silent_wrong": WARM}
OUTCOME_LABELS = {"right": "right", "safe_stop": "safe stop", "silent_wrong": "silently wrong"}


def voter_label(voter: str, size: int) -> str:
    """A voter by what it asks for.

    >>> voter_label("majority", 3), voter_label("unanimous", 3), voter_label("majority", 2)
    ('2-out-of-3', 'unanimous', '1-out-of-2 compare')
    """
    if voter != "majority":
        return voter.replace("_", " ")
    return "1-out-of-2 compare" if size == 2 else f"{size // 2 + 1}-out-of-{size}"


def vote_rows(study: Study) -> pl.DataFrame:
    """A row a contender, voter, condition and outcome: the mean over ensembles, and the chosen one."""
    table = study.table("votes")
    labels = {c: condition_label(study, c) for c in study.condition_names}
    order = {outcome: i for i, outcome in enumerate(OUTCOMES)}
    parts = []
    for who in filter(None, (mean_of_all(study), chosen(study))):
        name = "mean over ensembles" if who.ensemble is None else "chosen ensemble"
        found = of(table, who, ["condition", "voter"], list(OUTCOMES))
        parts.append(
            found.select("condition", "voter", *OUTCOMES)
            .unpivot(
                on=list(OUTCOMES),
                index=["condition", "voter"],
                variable_name="outcome",
                value_name="share",
            )
            .with_columns(
                pl.col("voter")
                .replace_strict({v: voter_label(v, who.size) for v in found["voter"].unique()}, default=None)
                .add(f", {name}")
                .alias("panel"),
                pl.col("condition").replace_strict(labels, default=None).alias("label"),
                pl.col("outcome").replace_strict(order, default=None).alias("order"),
                pl.col("outcome").replace_strict(OUTCOME_LABELS, default=None),
            )
        )
    return pl.concat(parts).select("panel", "label", "outcome", "order", "share")


def voter_outcomes(study: Study) -> Figure | None:
    """Stacked shares, a panel a voter and contender; None where votes were not counted."""
    if study.default_size is None or study.table("votes").is_empty():
        return None
    rows = vote_rows(study)
    panels = sorted(rows["panel"].unique(maintain_order=True), key=lambda p: p.split(",")[0] == "unanimous")
    kinds = [OUTCOME_LABELS[o] for o in OUTCOMES]
    panel_width = 240
    bars = (
        alt.Chart()
        .mark_bar(height={"band": 0.74})
        .encode(
            y=alt.Y(
                "label:N",
                sort=[condition_label(study, c) for c in study.condition_names],
                axis=alt.Axis(title=None, labelLimit=300, domain=False, ticks=False),
            ),
            x=alt.X(
                "share:Q",
                stack="zero",
                scale=alt.Scale(domain=[0, 1]),
                axis=percent_axis("Share of images", tickCount=3),
            ),
            color=alt.Color(
                "outcome:N",
                sort=kinds,
                scale=alt.Scale(domain=kinds, range=list(OUTCOMES.values())),
                legend=key(kinds),
            ),
            order="order:Q",
            tooltip=[
                alt.Tooltip("panel:N", title="Voter"),
                alt.Tooltip("label:N", title="Condition"),
                alt.Tooltip("outcome:N", title="Outcome"),
                alt.Tooltip("share:Q", title="Share", format=".1%"),
            ],
        )
        .properties(width=panel_width, height=alt.Step(21))
    )
    chart = alt.layer(bars, data=ROWS).facet(facet=alt.Facet("panel:N", title=None, sort=panels), columns=2)
    return Figure(
        name="voter_outcomes",
        title="What a voter makes of the members' answers",
        caption="A voter answers where enough members name one class, and else stops, which a system can "
        "handle. Orange is what it cannot handle: enough members agree on a wrong class.",
        alt="Stacked bars of the shares of images that voters decide rightly, stop at, and decide silently "
        "wrongly, on every condition; the shares are in the table below.",
        chart=chart,
        data={"rows": rows},
        panel_width=panel_width + 130,
    )


def coverage_rows(study: Study) -> pl.DataFrame:
    """A row a contender, condition and least number of agreeing members.

    `risk_low` and `risk_high` are the 95 % interval of the chosen ensemble, and for the mean the range
    of 5 to 95 % of the ensembles.
    """
    table = study.table("agreement")
    parts = []
    for who in filter(None, (mean_of_all(study), chosen(study))):
        keys = ["condition", "agreeing"]
        if who.ensemble is None:
            found = of(table, who, keys, ["coverage", "risk"]).with_columns(
                pl.lit("mean over ensembles").alias("who"),
                pl.col("risk_p05").alias("risk_low"),
                pl.col("risk_p95").alias("risk_high"),
            )
        else:
            found = of(table, who, keys, ["coverage", "risk", "risk_low", "risk_high"]).with_columns(
                pl.lit("chosen ensemble").alias("who")
            )
        parts.append(found.select("who", *keys, "coverage", "risk", "risk_low", "risk_high"))
    labels = {c: condition_label(study, c) for c in study.condition_names}
    return pl.concat(parts).with_columns(
        pl.col("condition").replace_strict(labels, default=None).alias("label")
    )


def risk_coverage(study: Study) -> Figure | None:
    """Error among accepted images against the share that is accepted; None where it was not measured."""
    if study.default_size is None or study.table("agreement").is_empty():
        return None
    rows = coverage_rows(study)
    panel_width = 210
    kinds = [k for k in ("chosen ensemble", "mean over ensembles") if k in set(rows["who"])]
    palette = {"chosen ensemble": ACCENT, "mean over ensembles": "#7d8a91"}
    colour = alt.Color(
        "who:N",
        sort=kinds,
        scale=alt.Scale(domain=kinds, range=[palette[k] for k in kinds]),
        legend=key(kinds),
    )
    base = alt.Chart().transform_filter("isValid(datum.risk)")
    x = alt.X("coverage:Q", axis=percent_axis("Coverage", tickCount=3), scale=alt.Scale(zero=False))
    y = alt.Y("risk:Q", axis=percent_axis("Risk", tickCount=4))
    lines = base.mark_line(strokeWidth=1.6).encode(x=x, y=y, color=colour, order="agreeing:Q")
    spans = base.mark_rule(strokeWidth=2, opacity=0.5).encode(
        x="coverage:Q",
        y=alt.Y("risk_low:Q"),
        y2="risk_high:Q",
        color=colour,
        strokeDash=dashed("datum.who === 'mean over ensembles'"),
    )
    dots = base.mark_point(filled=True, size=45, opacity=1).encode(
        x=x,
        y=y,
        color=colour,
        tooltip=[
            alt.Tooltip("who:N", title="Of"),
            alt.Tooltip("agreeing:Q", title="Members that must agree"),
            alt.Tooltip("coverage:Q", title="Coverage", format=".1%"),
            alt.Tooltip("risk:Q", title="Risk", format=".1%"),
            alt.Tooltip("risk_low:Q", title="From", format=".1%"),
            alt.Tooltip("risk_high:Q", title="To", format=".1%"),
        ],
    )
    order = [
        label for c in study.condition_names if (label := condition_label(study, c)) in set(rows["label"])
    ]
    chart = (
        alt.layer(spans, lines, dots, data=ROWS)
        .properties(width=panel_width, height=150)
        .facet(facet=alt.Facet("label:N", title=None, sort=order), columns=4)
        .resolve_scale(x="independent", y="independent")
    )
    return Figure(
        name="risk_coverage",
        title="Risk against coverage",
        caption="From right to left more members must name one class before their answer is taken: fewer "
        "images are answered, and fewer of these wrongly. Solid bars: the 95 % interval over images of the "
        "chosen ensemble. Dashed bars: where 5 to 95 % of the ensembles lie, which is no interval. Scales "
        "differ between conditions.",
        alt="For each condition the error among answered images against the share of answered images, by "
        "the number of members that must agree; the numbers are in the table below.",
        chart=chart,
        data={"rows": rows},
        panel_width=panel_width + 66,
    )
