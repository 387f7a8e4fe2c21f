"""Every model's accuracy on every condition, one model in the foreground (Figure 4)."""

from __future__ import annotations

import altair as alt
import polars as pl

from nversion.report.labels import condition_label, plural
from nversion.report.tables import Study

from .figure import ACCENT, ROWS, Figure, percent_axis, select


def baseline(study: Study) -> str:
    """The model in the foreground at first: the study's own, a ResNet-50 as in the paper, or the first."""
    if study.manifest.get("baseline") in study.model_names:
        return str(study.manifest["baseline"])
    return min(study.model_names, key=lambda m: (m.lower() != "resnet50", "resnet50" not in m.lower()))


def accuracy_by_condition(study: Study) -> Figure:
    """Top-1 accuracy with its interval: a row a condition, a line a model."""
    names = study.model_names
    labels = {c: condition_label(study, c) for c in study.condition_names}
    rows = (
        study.models.select(
            "model", "family", "params", "condition", "n", "top1", "top1_low", "top1_high", "top5"
        )
        .with_columns(
            pl.col("condition").replace_strict(labels, default=None).alias("label"),
            pl.col("model").replace_strict({m: i for i, m in enumerate(names)}, default=None).alias("order"),
        )
        .filter(pl.col("label").is_not_null(), pl.col("top1").is_not_nan())
    )
    band = max(34, min(84, 5 * len(names)))
    y = alt.Y(
        "label:N",
        sort=list(labels.values()),
        axis=alt.Axis(title=None, grid=True, tickBand="extent", labelLimit=300),
    )
    offset = alt.YOffset("order:O")
    tooltip = [
        alt.Tooltip("model:N", title="Model"),
        alt.Tooltip("family:N", title="Family"),
        alt.Tooltip("label:N", title="Condition"),
        alt.Tooltip("top1:Q", title="Top-1", format=".1%"),
        alt.Tooltip("top1_low:Q", title="95 % from", format=".1%"),
        alt.Tooltip("top1_high:Q", title="95 % to", format=".1%"),
        alt.Tooltip("top5:Q", title="Top-5", format=".1%"),
        alt.Tooltip("n:Q", title="Images", format=","),
    ]
    chosen = "datum.model === baseline"
    x = alt.X("top1:Q", scale=alt.Scale(domain=[0, 1]), axis=percent_axis("Top-1 accuracy", tickCount=6))
    spans = (
        alt.Chart()
        .mark_rule()
        .encode(
            x=alt.X("top1_low:Q", scale=alt.Scale(domain=[0, 1])),
            x2="top1_high:Q",
            y=y,
            yOffset=offset,
            color=alt.when(chosen).then(alt.value(ACCENT)).otherwise(alt.value("#b9c3c8")),
            size=alt.when(chosen).then(alt.value(3)).otherwise(alt.value(1)),
        )
    )
    dots = (
        alt.Chart()
        .mark_point(filled=True, opacity=1)
        .encode(
            x=x,
            y=y,
            yOffset=offset,
            color=alt.when(chosen).then(alt.value(ACCENT)).otherwise(alt.value("#8b979d")),
            size=alt.when(chosen).then(alt.value(70)).otherwise(alt.value(18)),
            tooltip=tooltip,
        )
    )
    chart = (
        alt.layer(spans, dots, data=ROWS)
        .add_params(select("baseline", "Model in blue: ", names, names, baseline(study)))
        .properties(height=alt.Step(step=band, **{"for": "position"}))
    )
    return Figure(
        name="accuracy_by_condition",
        title="Accuracy on each condition",
        caption="Each line is a model, in the table's order, with its 95 % interval; the chosen one is blue.",
        alt=f"Top-1 accuracy of {plural(len(names), 'model')} on {plural(len(labels), 'condition')}, "
        f"{baseline(study)} in the foreground; the numbers are in the table above.",
        chart=chart,
        data={"rows": rows},
    )
