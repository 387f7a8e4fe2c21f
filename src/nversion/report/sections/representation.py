"""Similarity of the layers of two models (Figure 12), and metrics of pairs as matrices of models."""

from __future__ import annotations

import itertools

import altair as alt
import polars as pl

from nversion.report.blocks import (
    Block,
    Drawing,
    Grid,
    Heading,
    Row,
    Tables,
    Words,
    cell_of,
    half_cell,
    quiet,
)
from nversion.report.charts import INK, ROWS, select, tips
from nversion.report.contenders import chosen
from nversion.report.figure import Figure
from nversion.report.frames import NORMAL_QUANTILE, conditions_in
from nversion.report.labels import condition_label, method_label, metric_label, plural
from nversion.report.registry import Blocks, figure, section
from nversion.report.tables import Study

MAX_PAIRS = 12
MAX_CELLS = 9000
"""Cells of layers that the page holds; further pairs of models are in the table."""


@section("representation", order=120, nav="Representation", title="Similarity of the models' layers")
def representation(study: Study) -> Blocks:
    layers, pairs = study.table("cka"), study.table("pairs")
    if layers.is_empty() and (pairs.is_empty() or pairs.filter(metric="cka").is_empty()):
        return None
    blocks: list[Block] = [
        Words(
            "Centered kernel alignment (Eq. 6, unbiased): 1 where two layers represent the images "
            "identically up to a rotation, 0 where they are unrelated. Low values between members mean that "
            "they compute different features, not that they fail on different images."
        ),
        Drawing("cka"),
        Drawing("cka_matrix"),
    ]
    if layers.height:
        left = layers.select("model_a", "model_b").unique().height - len(shown_pairs(study))
        undefined = layers.filter(pl.col("value").is_nan())
        reasons = "; ".join(undefined["note"].unique(maintain_order=True).to_list()[:3])
        blocks += quiet(
            f"{plural(left, 'more pair')} are in tables/cka.parquet." if left > 0 else "",
            f"{undefined.height:,} of {plural(layers.height, 'value')} are undefined ({reasons}); grey in "
            "the figure."
            if undefined.height
            else "",
            "There are too few minibatches for standard errors." if layers["stderr"].is_nan().all() else "",
        )
    maps = map_table(study)
    return (
        [*blocks, Heading("Similarity of attribution maps"), Tables([maps])] if maps is not None else blocks
    )


def _of_chosen(study: Study) -> set[tuple[str, str]]:
    """Pairs of members of the chosen ensemble, both ways round."""
    own = chosen(study)
    return set(itertools.permutations(study.members(own.ensemble), 2)) if own and own.ensemble else set()


def map_table(study: Study) -> Grid | None:
    """CKA between the attribution maps of two models by one method; None where maps were not compared."""
    table = study.table("cka")
    same = pl.col("layer_a") == pl.col("layer_b")
    maps = (
        table
        if table.is_empty()
        else table.filter(pl.col("depth_a") < 0, same, condition=study.first_condition)
    )
    if maps.is_empty():
        return None
    methods = maps["layer_a"].unique(maintain_order=True).to_list()
    first = _of_chosen(study)
    pairs = maps.select("model_a", "model_b").unique(maintain_order=True).rows()
    pairs.sort(key=lambda pair: pair not in first)
    values = {(r["model_a"], r["model_b"], r["layer_a"]): r for r in maps.iter_rows(named=True)}
    rows = [
        Row(
            f"{a} and {b}",
            [
                cell_of(values.get((a, b, m)), lambda r: half_cell(r["value"], NORMAL_QUANTILE * r["stderr"]))
                for m in methods
            ],
        )
        for a, b in pairs[:MAX_PAIRS]
    ]
    more = len(pairs) - len(rows)
    return Grid(
        f"CKA of attribution maps on {condition_label(study, study.first_condition)}",
        [method_label(method.removeprefix("map:")) for method in methods],
        rows,
        corner="Models",
        source="cka",
        notes=[f"{plural(more, 'more pair')} are in tables/cka.parquet."] if more > 0 else [],
    )


def shown_pairs(study: Study) -> list[tuple[str, str]]:
    """Pairs of models whose layers the page shows: those of the chosen ensemble first."""
    layers = _layers(study)
    if layers.is_empty():
        return []
    sizes = layers.group_by("model_a", "model_b", maintain_order=True).len().rows()
    first = _of_chosen(study)
    sizes.sort(key=lambda row: (row[:2] not in first, row[0] == row[1]))
    cells = itertools.accumulate(num for _, _, num in sizes)
    fitting = [(a, b) for (a, b, _), total in zip(sizes, cells, strict=True) if total <= MAX_CELLS]
    return fitting or [sizes[0][:2]]


def _layers(study: Study) -> pl.DataFrame:
    table = study.table("cka")
    if table.height:
        table = table.filter(pl.col("depth_a") >= 0, pl.col("depth_b") >= 0)
    return table.filter(condition=table["condition"][0]) if table.height else table


def _similarity(title: str) -> alt.Color:
    """Colours of values from 0 to 1; grey where undefined."""
    return (
        alt.when("isValid(datum.value)")
        .then(
            alt.Color(
                "value:Q",
                scale=alt.Scale(scheme="viridis", domain=[0, 1], clamp=True),
                legend=alt.Legend(title=title, orient="bottom", gradientLength=180),
            )
        )
        .otherwise(alt.value("#d5d9db"))
    )


@figure("cka")
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
            color=_similarity("CKA"),
            tooltip=tips(
                layer_a="Down",
                layer_b="Across",
                value=("CKA", ".3f"),
                stderr=("Standard error", ".3f"),
                n_images=("Images", ","),
                note="Note",
            ),
        )
        .add_params(select("pair", "Models: ", options, options, options[0]))
        .properties(height=alt.Step(19))
    )
    where = condition_label(study, table["condition"][0])
    return Figure(
        title="Similarity of layers",
        caption="Layers in the order in which they run, on "
        f"{plural(int(str(table['n_images'].max())), 'image')} of {where}. "
        "Pairs of members of the chosen ensemble come first in the list; point at a cell for its standard "
        "error. On paper only the first pair is drawn.",
        alt=f"Heatmap of the similarity of layers of {options[0]}; {plural(len(options), 'pair')} of models "
        "can be chosen. The values are in tables/cka.parquet.",
        chart=chart,
        data={"rows": rows},
    )


@figure("cka_matrix")
def cka_matrix(study: Study) -> Figure | None:
    """The similarity of every pair of models; None where no layers were compared."""
    caption = "The mean similarity of layers at matched depth, for every pair of models."
    return pair_matrix(study, "cka", "Similarity of models", caption)


def pair_matrix(study: Study, metric: str, title: str, caption: str) -> Figure | None:
    """A metric of pairs as a matrix of models by models; None where it was not measured."""
    pairs = study.table("pairs")
    measured = pairs if pairs.is_empty() else pairs.filter(metric=metric)
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
    conditions = conditions_in(study, rows)
    labels = [condition_label(study, c) for c in conditions]
    label = metric_label(study, metric)
    base = (
        alt.Chart(ROWS)
        .transform_filter("datum.condition === condition")
        .encode(
            x=alt.X("across:N", sort=order, axis=alt.Axis(title=None, labelAngle=-60, labelLimit=260)),
            y=alt.Y("down:N", sort=order, axis=alt.Axis(title=None, labelLimit=300)),
        )
    )
    layers = [
        base.mark_rect().encode(
            color=_similarity(label), tooltip=tips(down="Model", across="Model", value=(label, ".3f"))
        )
    ]
    if len(order) <= 16:
        layers.append(
            base.transform_filter("isValid(datum.value)")
            .mark_text(fontSize=10, style="number")
            .encode(
                text=alt.Text("value:Q", format=".2f"),
                color=alt.when("datum.value > 0.6").then(alt.value(INK)).otherwise(alt.value("#ffffff")),
            )
        )
    return Figure(
        title=title,
        caption=caption,
        alt=f"Matrix of {label.lower()} between {plural(len(order), 'model')}; "
        "the values are in tables/pairs.parquet.",
        chart=alt.layer(*layers)
        .add_params(select("condition", "Condition: ", conditions, labels, conditions[0]))
        .properties(height=alt.Step(22)),
        data={"rows": rows},
    )
