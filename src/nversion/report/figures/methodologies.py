"""The design-diversity model: covariances of difficulty, predicted against observed failures, beta."""

from __future__ import annotations

import altair as alt
import polars as pl

from nversion.core import generator
from nversion.report.common_failure import GROUPINGS, groupings, prediction_rows
from nversion.report.contenders import chosen
from nversion.report.frames import NORMAL_QUANTILE
from nversion.report.labels import condition_label, listed, plural
from nversion.report.tables import Study

from .figure import ACCENT, CATEGORIES, INK, MUTED, ROWS, Figure, dashed, key, percent_axis, select

MAX_PREDICTED = 80
"""Ensembles that the figure of predictions draws for each condition; the table sums up all."""
SPREAD, SPREAD_IF = "all ensembles: median, 5 to 95 % of them", "the same if members were independent"
CHOSEN = "chosen ensemble: 95 % interval over images"
SYSTEMS = {"all_fail": "All members fail (1-out-of-K)", "majority_fail": "A majority of members fails"}


def covariance_rows(study: Study) -> pl.DataFrame:
    """Both halves of the matrix, of methodologies of several models: covariance, on the diagonal variance."""
    several = pl.min_horizontal("m_a", "m_b") > 1  # of one model nothing is known of others made that way
    table = study.table("methodologies").filter(several, quantity="covariance", subset="all")
    columns = ["condition", "grouping", "value", "low", "high", "note"]
    halves = [
        table.select(*columns, pl.col(a).alias("down"), pl.col(b).alias("across"))
        for a, b in (("methodology_a", "methodology_b"), ("methodology_b", "methodology_a"))
    ]
    labels = {c: condition_label(study, c) for c in study.condition_names}
    unknown = pl.col("value").is_nan()
    return (
        pl.concat(halves)
        .unique(["condition", "grouping", "down", "across"], keep="first", maintain_order=True)
        .with_columns(
            pl.col("condition").replace_strict(labels, default=None).alias("label"),
            pl.when(unknown)
            .then(pl.lit("?"))
            .otherwise((100 * pl.col("value")).round(1).cast(pl.String).str.replace("-", "−"))
            .alias("said"),
            pl.when(pl.col("down") == pl.col("across"))
            .then(pl.lit("variance (Eckhardt–Lee)"))
            .otherwise(pl.lit("covariance (Littlewood–Miller)"))
            .alias("what"),
            pl.col("note").fill_null(""),
        )
    )


def covariances(study: Study) -> Figure | None:
    """Methodologies by methodologies; None where there are none."""
    rows = covariance_rows(study)
    if rows.is_empty():
        return None
    fields = [f for f in groupings(study) if f in set(rows["grouping"])]
    order = rows["down"].unique(maintain_order=True).to_list()
    extent = float(rows["value"].fill_nan(None).abs().max() or 0.01)  # type: ignore[arg-type]
    conditions = [c for c in study.condition_names if c in set(rows["condition"])]
    across = {"labelAngle": -40 if sum(map(len, order)) > 60 else 0, "labelLimit": 260}
    base = (
        alt.Chart(ROWS)
        .transform_filter("datum.condition === condition && datum.grouping === grouping")
        .encode(
            x=alt.X("across:N", sort=order, axis=alt.Axis(title=None, orient="top", **across)),
            y=alt.Y("down:N", sort=order, axis=alt.Axis(title=None, labelLimit=300)),
        )
    )
    cells = base.mark_rect(stroke="white", strokeWidth=2).encode(
        color=alt.when("isValid(datum.value)")
        .then(
            alt.Color(
                "value:Q",
                scale=alt.Scale(range=["#0b5d80", "#f7f7f7", "#b3450b"], domain=[-extent, 0, extent]),
                legend=alt.Legend(
                    title="Covariance, points",
                    orient="bottom",
                    gradientLength=180,
                    labelExpr="datum.value === 0 ? '0' : format(datum.value * 100, '+.1f')",
                ),
            )
        )
        .otherwise(alt.value("#e4e8ea")),
        tooltip=[
            alt.Tooltip("down:N", title="Methodology"),
            alt.Tooltip("across:N", title="Methodology"),
            alt.Tooltip("what:N", title="Shown"),
            alt.Tooltip("value:Q", title="Value", format=".4f"),
            alt.Tooltip("low:Q", title="95 % from", format=".4f"),
            alt.Tooltip("high:Q", title="95 % to", format=".4f"),
            alt.Tooltip("note:N", title="Note"),
        ],
    )
    text = base.mark_text(fontSize=12.5).encode(
        text="said:N",
        color=alt.when(f"abs(datum.value) > {0.55 * extent}")
        .then(alt.value("#ffffff"))
        .otherwise(alt.value(INK)),
    )
    chart = (
        alt.layer(cells, text)
        .add_params(
            select(
                "condition",
                "Condition: ",
                conditions,
                [condition_label(study, c) for c in conditions],
                conditions[0],
            ),
            select("grouping", "Methodology: ", fields, [GROUPINGS.get(f, f) for f in fields], fields[0]),
        )
        .properties(height=alt.Step(46))
    )
    return Figure(
        name="covariances",
        title="How methodologies' difficulties vary together",
        caption="By how many points of probability two models fail together more often than independent ones "
        "would: one of each methodology, and on the diagonal two of one. Orange: common failures; blue: one "
        "succeeds where the other fails. A question mark: not identified. The intervals are in the table.",
        alt=f"Matrix of the covariances of the difficulty of {listed(order)}; "
        "the numbers and their intervals are in the table below.",
        chart=chart,
        data={"rows": rows},
    )


def drawn_predictions(study: Study) -> pl.DataFrame:
    """Two rows an ensemble: what the model predicts and what independence would; observed beside both."""
    rows = prediction_rows(study)
    names = rows["ensemble"].unique(maintain_order=True)
    if len(names) > MAX_PREDICTED:
        rng = generator("ensembles drawn in a report", study.default_size or 0, "predictions")
        drawn = set(names.gather(sorted(rng.choice(len(names), MAX_PREDICTED, replace=False).tolist())))
        own = chosen(study)
        drawn |= {own.ensemble} if own else set()
        rows = rows.filter(pl.col("ensemble").is_in(drawn))
    keys = ["condition", "ensemble", "system", "source", "observed", "observed_low", "observed_high"]
    return pl.concat(
        rows.select(*keys, pl.lit(what).alias("by"), pl.col(column).alias("predicted"))
        for what, column in (("predicted", "predicted"), ("if independent", "independent"))
    ).filter(pl.col("predicted").is_not_nan(), pl.col("observed").is_not_nan())


def predictions(study: Study) -> Figure | None:
    """Predicted failure rate across, observed up, with the line where they are equal."""
    rows = drawn_predictions(study) if study.default_size else pl.DataFrame()
    if rows.is_empty():
        return None
    conditions = [c for c in study.condition_names if c in set(rows["condition"])]
    systems = [s for s in SYSTEMS if s in set(rows["system"])]
    sources = rows["source"].unique(maintain_order=True).to_list()
    kinds = ["predicted", "if independent"]
    chosen_rows = "datum.condition === condition && datum.system === system && datum.source === source"
    base = alt.Chart().transform_filter(chosen_rows)
    x = alt.X("predicted:Q", axis=percent_axis("Predicted share of failures", tickCount=6))
    y = alt.Y("observed:Q", axis=percent_axis("Observed share of failures", tickCount=6))
    colour = alt.Color(
        "by:N",
        sort=kinds,
        scale=alt.Scale(domain=kinds, range=[ACCENT, CATEGORIES[1]]),
        legend=key(kinds),
    )
    spans = base.mark_rule(opacity=0.35).encode(
        x="predicted:Q", y=alt.Y("observed_low:Q"), y2="observed_high:Q", color=colour
    )
    dots = base.mark_point(filled=True, size=36, opacity=0.8).encode(
        x=x,
        y=y,
        color=colour,
        shape=alt.Shape("by:N", sort=kinds, scale=alt.Scale(domain=kinds, range=["circle", "diamond"])),
        tooltip=[
            alt.Tooltip("ensemble:N", title="Members"),
            alt.Tooltip("by:N", title="By"),
            alt.Tooltip("predicted:Q", title="Predicted", format=".1%"),
            alt.Tooltip("observed:Q", title="Observed", format=".1%"),
            alt.Tooltip("observed_low:Q", title="95 % from", format=".1%"),
            alt.Tooltip("observed_high:Q", title="95 % to", format=".1%"),
        ],
    )
    diagonal = (
        base.transform_aggregate(low="min(observed)", high="max(observed)")
        .mark_rule(color=INK, strokeDash=[5, 4])
        .encode(x="low:Q", x2="high:Q", y="low:Q", y2="high:Q")
    )
    chart = (
        alt.layer(diagonal, spans, dots, data=ROWS)
        .add_params(
            select(
                "condition",
                "Condition: ",
                conditions,
                [condition_label(study, c) for c in conditions],
                conditions[0],
            ),
            select("system", "Fails when: ", systems, [SYSTEMS[s] for s in systems], systems[0]),
            select("source", "Predicted from: ", sources, sources, sources[0]),
        )
        .properties(height=380)
    )
    total = prediction_rows(study)["ensemble"].n_unique()
    shown = rows["ensemble"].n_unique()
    some = f"{shown} of {total} ensembles" if shown < total else plural(total, "ensemble")
    drawn = ", drawn at random" if shown < total else ""
    return Figure(
        name="predicted_failures",
        title="Predicted against observed failures",
        caption=f"{some} of {study.default_size}{drawn}. On the dashed line the prediction is "
        "what was observed; above it the ensemble fails more often than predicted. Bars: 95 % interval of "
        "the observed share. Predictions that are not identified are not drawn.",
        alt="Scatter plot of observed against predicted shares of failures, by the model and if members "
        "failed independently; the errors are in the table below.",
        chart=chart,
        data={"rows": rows},
    )


def beta_rows(study: Study) -> pl.DataFrame:
    """Median with 5 and 95 % quantiles over ensembles, and the chosen one with its interval."""
    table = study.table("joint_failures").filter(subset="all")
    of_size = table.filter(size=study.default_size or 0)
    labels = {c: condition_label(study, c) for c in study.condition_names}
    parts = [
        of_size.group_by("condition", maintain_order=True).agg(
            pl.lit(what).alias("what"),
            pl.col(column).fill_nan(None).median().alias("value"),
            pl.col(column).fill_nan(None).quantile(0.05).alias("low"),
            pl.col(column).fill_nan(None).quantile(0.95).alias("high"),
        )
        for what, column in ((SPREAD, "beta"), (SPREAD_IF, "beta_independent"))
    ]
    own = chosen(study)
    if own is not None:
        half = NORMAL_QUANTILE * pl.col("beta_stderr")
        parts.append(
            table.filter(ensemble=own.ensemble, size=own.size).select(
                "condition",
                pl.lit(CHOSEN).alias("what"),
                pl.col("beta").alias("value"),
                (pl.col("beta") - half).clip(0, 1).alias("low"),
                (pl.col("beta") + half).clip(0, 1).alias("high"),
            )
        )
    rows = pl.concat(parts).with_columns(
        pl.col("condition").replace_strict(labels, default=None).alias("label")
    )
    return rows.filter(pl.col("value").is_not_null() & pl.col("value").is_not_nan())


def beta(study: Study) -> Figure | None:
    """The common-cause factor of the ensembles beside its value under independence; None without any."""
    rows = beta_rows(study) if study.default_size else pl.DataFrame()
    if rows.is_empty():
        return None
    kinds = [SPREAD, SPREAD_IF, CHOSEN]
    kinds = [k for k in kinds if k in set(rows["what"])]
    colours = dict(zip(kinds, (MUTED, CATEGORIES[1], ACCENT), strict=False))
    labels = [condition_label(study, c) for c in study.condition_names]
    scale = alt.Scale(domain=kinds, range=[colours[k] for k in kinds])
    legend = key(kinds)
    colour = alt.Color("what:N", sort=kinds, scale=scale, legend=legend)
    y = alt.Y("label:N", sort=labels, axis=alt.Axis(title=None, labelLimit=300, grid=True, tickBand="extent"))
    offset = alt.YOffset("what:N", sort=kinds)
    spans = (
        alt.Chart()
        .mark_rule(strokeWidth=2, opacity=0.8)
        .encode(
            x=alt.X("low:Q", scale=alt.Scale(domain=[0, 1])),
            x2="high:Q",
            y=y,
            yOffset=offset,
            color=colour,
            strokeDash=dashed(f"datum.what !== '{CHOSEN}'"),
        )
    )
    dots = (
        alt.Chart()
        .mark_point(filled=True, size=55, opacity=1)
        .encode(
            x=alt.X(
                "value:Q",
                scale=alt.Scale(domain=[0, 1]),
                axis=percent_axis("Common-cause factor β", tickCount=6),
            ),
            y=y,
            yOffset=offset,
            color=colour,
            shape=alt.Shape(
                "what:N",
                sort=kinds,
                scale=alt.Scale(domain=kinds, range=["circle", "triangle-up", "diamond"][: len(kinds)]),
                legend=legend,
            ),
            tooltip=[
                alt.Tooltip("label:N", title="Condition"),
                alt.Tooltip("what:N", title="Of"),
                alt.Tooltip("value:Q", title="β (median)", format=".1%"),
                alt.Tooltip("low:Q", title="From", format=".1%"),
                alt.Tooltip("high:Q", title="To", format=".1%"),
            ],
        )
    )
    chart = alt.layer(spans, dots, data=ROWS).properties(height=alt.Step(step=40, **{"for": "position"}))
    return Figure(
        name="beta",
        title="The share of failures that are common",
        caption="β: of the failures of one member, the share in which another fails with it. It is averaged "
        f"over members and pairs of an ensemble of {study.default_size}; independent members would have "
        "their own failure rate as β. Dashed: where 5 to 95 % of the ensembles lie, which is no interval.",
        alt="Common-cause factor over all ensembles and if members were independent, for each condition; "
        "the numbers are in tables/joint_failures.parquet.",
        chart=chart,
        data={"rows": rows},
    )
