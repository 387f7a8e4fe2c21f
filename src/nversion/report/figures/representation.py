"""Similarity of layers as heatmaps (Figure 12), and any metric of pairs as a matrix of models."""

from __future__ import annotations

import itertools

import altair as alt
import polars as pl

from nversion.report.contenders import chosen
from nversion.report.labels import condition_label, plural
from nversion.report.names import metric_label
from nversion.report.tables import Study

from .figure import INK, ROWS, Figure, select

MAX_CELLS = 9000
"""Cells of layers that the page holds; the pairs of models beyond are in the table."""
UNKNOWN = "#d5d9db"


def shown_pairs(study: Study) -> list[tuple[str, str]]:
    """Pairs of models whose layers the page shows: those of the chosen ensemble first."""
    layers = _layers(study)
    sizes = layers.group_by("model_a", "model_b", maintain_order=True).len().rows()
    own = chosen(study)
    first = set(itertools.permutations(study.members(own.ensemble), 2)) if own and own.ensemble else set()
    sizes.sort(key=lambda row: (row[:2] not in first, row[0] == row[1]))
    found: list[tuple[str, str]] = []
    cells = 0
    for a, b, num in sizes:
        cells += num
        if found and cells > MAX_CELLS:
            break
        found.append((a, b))
    return found


def _layers(study: Study) -> pl.DataFrame:
    table = study.table("cka").filter(pl.col("depth_a") >= 0, pl.col("depth_b") >= 0)
    return table.filter(condition=table["condition"][0]) if table.height else table


def layer_heatmap(study: Study) -> Figure | None:
    """Layers of one model against those of another, a pair at a time; None where none were compared."""
    pairs = shown_pairs(study)
    if not pairs:
        return None
    names = {pair: f"{pair[0]} (down) and {pair[1]} (across)" for pair in pairs}
    shown = pl.DataFrame(
        [(a, b, name) for (a, b), name in names.items()], schema=["model_a", "model_b", "pair"], orient="row"
    )
    table = _layers(study)
    rows = table.join(shown, on=["model_a", "model_b"], maintain_order="left").select(
        "pair", "layer_a", "depth_a", "layer_b", "depth_b", "value", "stderr", "n_images", "note"
    )
    options = list(names.values())
    axis = {"labelLimit": 240, "labelFontSize": 10.5}
    chart = (
        alt.Chart(ROWS)
        .transform_filter("datum.pair === pair")
        .mark_rect()
        .encode(
            x=alt.X(
                "layer_b:N",
                sort=alt.EncodingSortField(field="depth_b", op="min"),
                axis=alt.Axis(title="Layers across, first to last", labelAngle=-60, **axis),
            ),
            y=alt.Y(
                "layer_a:N",
                sort=alt.EncodingSortField(field="depth_a", op="min"),
                axis=alt.Axis(title="Layers down, first to last", **axis),
            ),
            color=alt.when("isValid(datum.value)")
            .then(
                alt.Color(
                    "value:Q",
                    scale=alt.Scale(scheme="viridis", domain=[0, 1], clamp=True),
                    legend=alt.Legend(title="CKA", orient="bottom", gradientLength=180),
                )
            )
            .otherwise(alt.value(UNKNOWN)),
            tooltip=[
                alt.Tooltip("layer_a:N", title="Down"),
                alt.Tooltip("layer_b:N", title="Across"),
                alt.Tooltip("value:Q", title="CKA", format=".3f"),
                alt.Tooltip("stderr:Q", title="Standard error", format=".3f"),
                alt.Tooltip("n_images:Q", title="Images", format=","),
                alt.Tooltip("note:N", title="Note"),
            ],
        )
        .add_params(select("pair", "Models: ", options, options, options[0]))
        .properties(height=alt.Step(19))
    )
    where = condition_label(study, table["condition"][0])
    images = table["n_images"].max()
    return Figure(
        name="cka",
        title="Similarity of layers",
        caption=f"Layers in the order in which they run, on {plural(int(str(images)), 'image')} of {where}. "
        "Those of the chosen ensemble's members come first in the list; point at a cell for its standard "
        "error. On paper only the first pair is drawn.",
        alt=f"Heatmap of the similarity of layers of {options[0]}; {plural(len(options), 'pair')} of models "
        "can be chosen. The values are in tables/cka.parquet.",
        chart=chart,
        data={"rows": rows},
    )


def pair_matrix(study: Study, name: str, metric: str, title: str, caption: str) -> Figure | None:
    """A metric of pairs as a matrix of models by models; None where it was not measured."""
    measured = study.pairs.filter(pl.col("condition").is_in(study.condition_names), metric=metric)
    if measured.is_empty():
        return None
    order = study.model_names
    both = pl.concat(
        [
            measured.select("condition", pl.col(a).alias("down"), pl.col(b).alias("across"), "value")
            for a, b in (("model_a", "model_b"), ("model_b", "model_a"))
        ]
    )
    rows = both.filter(pl.col("down") != pl.col("across")).unique(maintain_order=True)
    conditions = [c for c in study.condition_names if c in set(rows["condition"])]
    labels = [condition_label(study, c) for c in conditions]
    base = (
        alt.Chart(ROWS)
        .transform_filter("datum.condition === condition")
        .encode(
            x=alt.X("across:N", sort=order, axis=alt.Axis(title=None, labelAngle=-60, labelLimit=260)),
            y=alt.Y("down:N", sort=order, axis=alt.Axis(title=None, labelLimit=300)),
        )
    )
    cells = base.mark_rect().encode(
        color=alt.when("isValid(datum.value)")
        .then(
            alt.Color(
                "value:Q",
                scale=alt.Scale(scheme="viridis", domain=[0, 1], clamp=True),
                legend=alt.Legend(title=metric_label(metric), orient="bottom", gradientLength=180),
            )
        )
        .otherwise(alt.value(UNKNOWN)),
        tooltip=[
            alt.Tooltip("down:N", title="Model"),
            alt.Tooltip("across:N", title="Model"),
            alt.Tooltip("value:Q", title=metric_label(metric), format=".3f"),
        ],
    )
    layers = [cells]
    if len(order) <= 16:
        layers.append(
            base.transform_filter("isValid(datum.value)")
            .mark_text(fontSize=10, style="number")
            .encode(
                text=alt.Text("value:Q", format=".2f"),
                color=alt.when("datum.value > 0.6").then(alt.value(INK)).otherwise(alt.value("#ffffff")),
            )
        )
    chart = (
        alt.layer(*layers)
        .add_params(select("condition", "Condition: ", conditions, labels, conditions[0]))
        .properties(height=alt.Step(22))
    )
    return Figure(
        name=name,
        title=title,
        caption=caption,
        alt=f"Matrix of {metric_label(metric).lower()} between {plural(len(order), 'model')}; "
        "the values are in tables/pairs.parquet.",
        chart=chart,
        data={"rows": rows},
    )
