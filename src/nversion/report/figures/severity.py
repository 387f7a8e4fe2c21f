"""Accuracy against severity: a panel a corruption, a line a model or ensemble."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from nversion.report.contenders import chosen, mean_of_all, of
from nversion.report.frames import wilson
from nversion.report.labels import plural, source_label
from nversion.report.tables import Study

from .accuracy import baseline
from .figure import ACCENT, INK, ROWS, WARM, Figure, key, percent_axis, select

OTHERS, FOREGROUND, CHOSEN, MEAN = (
    "other models",
    "model in the foreground",
    "chosen ensemble",
    "mean over ensembles",
)
PALETTE = {OTHERS: "#b9c3c8", FOREGROUND: ACCENT, CHOSEN: WARM, MEAN: INK}


def severity_rows(study: Study) -> pl.DataFrame:
    """A row a corruption of several severities, severity, and model or contender: top1, low, high.

    Severity 0 is the clean condition where the scale begins with it. For the mean over ensembles `low`
    and `high` are the range of 5 to 95 % of the ensembles.
    """
    scales = study.table("severities").unique(["dataset", "corruption", "stored"], maintain_order=True)
    parts = [
        accuracies.join(points_of(study, scale), on="condition", maintain_order="right").with_columns(
            pl.lit(source_label(study, scale)).alias("panel")
        )
        for scale in scales.iter_rows(named=True)
        for accuracies in _accuracies(study)
    ]
    columns = ["panel", "severity", "kind", "who", "top1", "low", "high"]
    return pl.concat(parts).select(columns) if parts else pl.DataFrame(schema=dict.fromkeys(columns))


def points_of(study: Study, scale: Mapping[str, Any]) -> pl.DataFrame:
    """Columns condition, severity: the conditions of one scale, severities growing."""
    points = []
    for condition in study.condition_names:
        fact = study.fact(condition)
        stored = condition.rsplit("/", 1)[-1].partition("@")[2]
        if (fact["dataset"], fact["corruption"], stored) == tuple(
            scale[key] for key in ("dataset", "corruption", "stored")
        ):
            points.append((condition, float(fact["severity"])))
        elif fact["dataset"] == scale["dataset"] and fact["corruption"] is None and scale["first"] == 0:
            points.append((condition, 0.0))
    schema = {"condition": pl.String, "severity": pl.Float64}
    return pl.DataFrame(points, schema=schema, orient="row").sort("severity")


def _accuracies(study: Study) -> list[pl.DataFrame]:
    """Columns condition, kind, who, top1, low, high: of the models, then of the contenders."""
    columns = ["condition", "kind", "who", "top1", "low", "high"]
    frames = [
        study.models.select(
            "condition",
            pl.lit(OTHERS).alias("kind"),
            pl.col("model").alias("who"),
            "top1",
            pl.col("top1_low").alias("low"),
            pl.col("top1_high").alias("high"),
        )
    ]
    rule = study.default_consensus
    if rule is None or study.default_size is None:
        return frames
    by_rule = study.ensembles.filter(consensus=rule)
    mean = of(by_rule, mean_of_all(study), ["condition"], ["top1"])
    frames.append(
        mean.with_columns(
            pl.lit(MEAN).alias("kind"),
            pl.lit(mean_of_all(study).label).alias("who"),
            pl.col("top1_p05").alias("low"),
            pl.col("top1_p95").alias("high"),
        ).select(columns)
    )
    if (best := chosen(study)) is not None:
        own = of(by_rule, best, ["condition"], ["top1"])
        ends = [wilson(row["top1"], study.fact(row["condition"])["n"]) for row in own.iter_rows(named=True)]
        frames.append(
            own.with_columns(
                pl.lit(CHOSEN).alias("kind"),
                pl.lit(best.ensemble).alias("who"),
                pl.Series("low", [low for low, _ in ends], pl.Float64),
                pl.Series("high", [high for _, high in ends], pl.Float64),
            ).select(columns)
        )
    return frames


def accuracy_by_severity(study: Study) -> Figure | None:
    """None where no corruption has several severities."""
    rows = severity_rows(study)
    if rows.is_empty():
        return None
    names = study.model_names
    panels = rows["panel"].unique(maintain_order=True).to_list()
    kinds = [k for k in PALETTE if k == FOREGROUND or k in set(rows["kind"])]
    panel_width = 210
    role = f"datum.kind !== '{OTHERS}' ? datum.kind : datum.who === foreground ? '{FOREGROUND}' : '{OTHERS}'"
    base = alt.Chart().transform_filter("isValid(datum.top1)").transform_calculate(role=role)
    front = base.transform_filter(f"datum.role !== '{OTHERS}'")
    x = alt.X("severity:Q", axis=alt.Axis(title="Severity", tickCount=5), scale=alt.Scale(nice=False))
    y = alt.Y("top1:Q", axis=percent_axis("Top-1", tickCount=5), scale=alt.Scale(zero=False))
    colour = alt.Color(
        "role:N",
        sort=kinds,
        scale=alt.Scale(domain=kinds, range=[PALETTE[k] for k in kinds]),
        legend=key(kinds),
    )
    tooltip = [
        alt.Tooltip("who:N", title="Of"),
        alt.Tooltip("panel:N", title="Corruption"),
        alt.Tooltip("severity:Q", title="Severity", format="~g"),
        alt.Tooltip("top1:Q", title="Top-1", format=".1%"),
        alt.Tooltip("low:Q", title="From", format=".1%"),
        alt.Tooltip("high:Q", title="To", format=".1%"),
    ]
    others = (
        base.transform_filter(f"datum.role === '{OTHERS}'")
        .mark_line(strokeWidth=1)
        .encode(x=x, y=y, color=colour, detail="who:N")
    )
    known = front.transform_filter("isValid(datum.low)")
    bands = (
        known.transform_filter(f"datum.role !== '{MEAN}'")
        .mark_area(opacity=0.16)
        .encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour, detail="who:N")
    )
    edges = [
        known.transform_filter(f"datum.role === '{MEAN}'")
        .mark_line(strokeWidth=1, strokeDash=[3, 3])
        .encode(x=x, y=alt.Y(f"{end}:Q"), color=colour)
        for end in ("low", "high")
    ]
    lines = front.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, detail="who:N")
    dots = base.mark_point(filled=True, opacity=1).encode(
        x=x,
        y=y,
        color=colour,
        size=alt.condition(f"datum.role === '{OTHERS}'", alt.value(10), alt.value(36)),
        tooltip=tooltip,
    )
    chart = (
        alt.layer(others, bands, *edges, lines, dots, data=ROWS)
        .properties(width=panel_width, height=180)
        .facet(facet=alt.Facet("panel:N", title=None, sort=panels), columns=3)
        .resolve_scale(x="independent")
        .add_params(select("foreground", "Model in blue: ", names, names, baseline(study)))
    )
    return Figure(
        name="accuracy_by_severity",
        title="Accuracy against severity",
        caption="A line is a model or ensemble. Bands: the 95 % interval over images of the model in the "
        "foreground and of the chosen ensemble. Dashed: where 5 to 95 % of the ensembles lie, which is no "
        "interval. Severity 0 is the clean images, where the scale begins with them. Scales of severity "
        "differ between corruptions, so slopes compare within a panel only.",
        alt=f"Top-1 accuracy against severity for {plural(len(panels), 'corruption')}: "
        f"{plural(len(names), 'model')} and ensembles; area and half severity are in the table below.",
        chart=chart,
        data={"rows": rows},
        panel_width=panel_width + 76,
    )
