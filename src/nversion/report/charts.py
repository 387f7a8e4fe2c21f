"""What charts are made of: colours, axes, legends, tooltips and rules that all figures share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

ROWS = alt.NamedData("rows")
EXPORT_WIDTH = 720

INK, MUTED, GRID, ACCENT, WARM = "#1d2a33", "#5b6870", "#e4e8ea", "#0b5d80", "#b3450b"
# Okabe and Ito's colours, distinguishable with every common colour vision; yellow is too pale on white.
CATEGORIES = [
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#8C510A",
    "#7A7A7A",
    "#542788",
]
SHAPES = [
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "cross",
    "triangle-down",
    "triangle-left",
    "triangle-right",
]
MOST_MARKS = len(CATEGORIES) * len(SHAPES)


def marks(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """A colour and a shape for each of at most `MOST_MARKS` names: no two names share both.

    Up to nine names differ in colour and are circles; the tenth begins again with the next shape.

    >>> colours, shapes = marks([str(i) for i in range(12)])
    >>> colours[9] == colours[0], shapes[0], shapes[9], len(set(zip(colours, shapes)))
    (True, 'circle', 'square', 12)
    """
    combinations = [(colour, shape) for shape in SHAPES for colour in CATEGORIES][: len(names)]
    return [colour for colour, _ in combinations], [shape for _, shape in combinations]


# Texts are measured here and set in the reader's fonts: fonts of one width keep them in place.
CONFIG: dict[str, Any] = {
    "font": "Arial, 'Liberation Sans', Helvetica, sans-serif",
    "background": "#ffffff",
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK,
        "titleColor": INK,
        "titleFontWeight": 500,
        "labelFontSize": 12,
        "titleFontSize": 12.5,
        "gridColor": GRID,
        "domainColor": "#9aa5ab",
        "tickColor": "#9aa5ab",
        "titlePadding": 8,
        "labelLimit": 300,
    },
    "header": {
        "labelFontSize": 13,
        "labelFontWeight": 600,
        "labelColor": INK,
        "titleColor": INK,
        "labelExpr": "split(datum.label, ': ')",  # the data set above, what is of it below
    },
    "legend": {
        "labelColor": INK,
        "titleColor": INK,
        "titleFontWeight": 500,
        "labelFontSize": 12,
        "labelLimit": 640,
        "layout": {"top": {"direction": "vertical", "anchor": "start"}},
    },
    "title": {"color": INK, "fontSize": 13.5, "fontWeight": 600, "anchor": "start"},
    "text": {"color": INK},
}


def key(
    labels: Sequence[str], title: str | None = None, width: int = EXPORT_WIDTH, **options: Any
) -> alt.Legend:
    """A legend above the chart, in as many columns as its longest label leaves room for.

    >>> key(["a", "b"]).columns, key(["squeezenet + convmixer_2 + vit_distilled", "b"], width=400).columns
    (2, 1)
    """
    longest = max((len(label) for label in labels), default=1)
    columns = max(1, min(len(labels), width // (7 * longest + 34)))
    return alt.Legend(title=title, orient="top", columns=columns, symbolOpacity=1, **options)


def dashed(test: str) -> Any:
    """Dashed strokes where the test holds: for ranges over ensembles, which are not intervals."""
    return alt.when(test).then(alt.value([3, 3])).otherwise(alt.value([1, 0]))


def percent_axis(title: str, **options: Any) -> alt.Axis:
    """An axis that shows fractions as percent, with enough digits to distinguish its ticks."""
    return alt.Axis(title=title, labelExpr="format(datum.value * 100, '.3~g') + '%'", **options)


def points_axis(title: str | None, **options: Any) -> alt.Axis:
    """An axis that shows differences of fractions as percentage points.

    With a sign, since what matters first is the side of zero.
    """
    sign = "abs(datum.value) < 1e-9 ? '.0f' : '+.3~g'"
    return alt.Axis(title=title, labelExpr=f"format(datum.value * 100, {sign})", **options)


def select(name: str, label: str, options: list[Any], labels: list[str], value: Any) -> alt.Parameter:
    """A drop-down that sets a parameter of the chart."""
    return alt.param(
        name=name, value=value, bind=alt.binding_select(options=options, labels=labels, name=label)
    )


def one_row(chart: alt.Chart) -> alt.Chart:
    """The chart on a single row of its data: a rule at a constant would be drawn once for every row."""
    return chart.transform_aggregate(rows="count()")


def tips(**fields: str | tuple[str, str]) -> list[alt.Tooltip]:
    """Tooltips of fields: a title for names, a title and a number format for numbers.

    >>> [tip.to_dict()["type"] for tip in tips(model="Model", top1=("Top-1", ".1%"))]
    ['nominal', 'quantitative']
    """
    return [
        alt.Tooltip(f"{field}:N", title=said)
        if isinstance(said, str)
        else alt.Tooltip(f"{field}:Q", title=said[0], format=said[1] or alt.Undefined)
        for field, said in fields.items()
    ]


def colour(field: str, palette: Mapping[str, str], legend: alt.Legend | None = None) -> alt.Color:
    """Colours of named kinds, in order, with a legend above the chart."""
    kinds = list(palette)
    scale = alt.Scale(domain=kinds, range=list(palette.values()))
    return alt.Color(f"{field}:N", sort=kinds, scale=scale, legend=legend or key(kinds))


def shape(field: str, shapes: Mapping[str, str], legend: alt.Legend | None = None) -> alt.Shape:
    """Shapes of named kinds, in order; with the legend of their colours, one legend shows both."""
    kinds = list(shapes)
    scale = alt.Scale(domain=kinds, range=list(shapes.values()))
    return alt.Shape(f"{field}:N", sort=kinds, scale=scale, legend=legend or key(kinds))


def labels_down(labels: Sequence[str], field: str = "label", **axis: Any) -> alt.Y:
    """A band for each label, from top to bottom."""
    axis = {"title": None, "labelLimit": 300, "grid": True, "tickBand": "extent"} | axis
    return alt.Y(f"{field}:N", sort=list(labels), axis=alt.Axis(**axis))


def zero_rule(channel: str, **mark: Any) -> alt.Chart:
    """A dashed line at zero across one channel, "x" or "y"."""
    style = {"strokeDash": [5, 4], "color": INK} | mark
    return one_row(alt.Chart()).mark_rule(**style).encode(**{channel: alt.datum(0)})


def panels(
    chart: alt.LayerChart, field: str, order: Sequence[str], columns: int, width: int, height: Any
) -> alt.FacetChart:
    """A panel for each value of a field, in this order, as many in a row as the page has room for."""
    facet = alt.Facet(f"{field}:N", title=None, sort=list(order))
    return chart.properties(width=width, height=height).facet(facet=facet, columns=columns)


def step(pixels: int) -> alt.Step:
    """Height of a band that is divided among offsets."""
    return alt.Step(step=pixels, **{"for": "position"})
