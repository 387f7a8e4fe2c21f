"""What a figure is: a chart, exactly the data it draws, and words for those who cannot see it."""

from __future__ import annotations

import io
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
from altair.typing import ChartType

from nversion.core import UserError, write_bytes

ROWS = alt.NamedData("rows")
EXPORT_WIDTH = 720
FORMATS = ("svg", "pdf", "png")

INK, MUTED, GRID, ACCENT, WARM = "#1d2a33", "#5b6870", "#e4e8ea", "#0b5d80", "#b3450b"
# Okabe and Ito's colours, told apart with every common colour vision; yellow is too pale on white.
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


# A drawing's texts are measured here and set where it is read: fonts of one width keep them in place.
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


@dataclass(frozen=True)
class Figure:
    """One figure of the report.

    Attributes:
        name: of its files and of its place in the page.
        title: what is shown, as a heading.
        caption: how to read it, plain text.
        alt: what it shows, for a reader who does not see it.
        chart: drawn from named data only ("rows", and what else `data` names).
        data: the frames of that name; written beside the figure as they are.
        panel_width: of one panel, in pixels, where the figure is made of panels that wrap;
            None where it is one view that follows the page's width.
    """

    name: str
    title: str
    caption: str
    alt: str
    chart: ChartType
    data: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    panel_width: int | None = None

    def spec(self) -> dict[str, Any]:
        """The Vega-Lite definition without its data."""
        return {**self._definition, "config": CONFIG}

    @cached_property
    def _definition(self) -> dict[str, Any]:
        # Altair checks it against its schema, which takes longer than all else but drawing.
        definition: dict[str, Any] = self.chart.to_dict()
        return definition

    def complete_spec(self) -> dict[str, Any]:
        """The Vega-Lite definition with its data, ready to be drawn without a browser."""
        spec = self.spec()
        spec["datasets"] = {name: records(frame) for name, frame in self.data.items()}
        # One alternative text for the image says more than a label on each of a thousand points.
        spec["config"] = {**CONFIG, "aria": False}
        if self.panel_width is None:
            spec["width"] = EXPORT_WIDTH
        return spec


def records(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values; nan becomes None, which no chart may take for 0.

    >>> records(pl.DataFrame({"x": [0.5, float("nan")]}))
    [{'x': 0.5}, {'x': None}]
    """
    rows = frame.to_dicts()
    for row in rows:
        for key, value in row.items():
            if isinstance(value, float) and math.isnan(value):
                row[key] = None
    return rows


def render(spec: dict[str, Any], form: str) -> bytes:
    """Draw a complete Vega-Lite definition as "svg", "pdf" or "png" (two pixels a point)."""
    import vl_convert

    # No address that data may come from: a report never reads from the network.
    options: dict[str, Any] = {"vl_version": vega_lite_version(), "allowed_base_urls": []}
    if form == "svg":
        return str(vl_convert.vegalite_to_svg(spec, **options)).encode()
    if form == "pdf":
        return bytes(vl_convert.vegalite_to_pdf(spec, **options))
    return bytes(vl_convert.vegalite_to_png(spec, scale=2, **options))


def vega_lite_version() -> str:
    """The Vega-Lite that the charts are written for: major and minor."""
    return ".".join(str(alt.SCHEMA_VERSION).lstrip("v").split(".")[:2])


def write_figure(figure: Figure, folder: Path, formats: tuple[str, ...]) -> dict[str, bytes]:
    """Write FOLDER/NAME.FORMAT for every format, and the drawn data as FOLDER/NAME.parquet.

    Data besides "rows" goes to FOLDER/NAME.DATA.parquet. Returns the written images by format.

    Raises:
        UserError: a format is not known.
    """
    check_formats(formats)
    spec = figure.complete_spec()
    drawn = {form: render(spec, form) for form in formats}
    for form, content in drawn.items():
        write_bytes(folder / f"{figure.name}.{form}", content)
    for name, frame in figure.data.items():
        buffer = io.BytesIO()  # polars tells a full disk in its own words, write_bytes in ours
        frame.write_parquet(buffer)
        write_bytes(folder / _data_file(figure, name), buffer.getvalue())
    return drawn


def remove_others(
    folder: Path, known: Collection[str], drawn: Collection[Figure], formats: Collection[str]
) -> None:
    """Remove an earlier report's files of `known` figures: not drawn now, or not in these formats.

    Files of any other name stay.
    """
    written = {f"{figure.name}.{form}" for figure in drawn for form in formats}
    written |= {_data_file(figure, name) for figure in drawn for name in figure.data}
    for path in sorted(folder.glob("*")):
        is_ours = path.name.split(".")[0] in known and path.suffix[1:] in (*FORMATS, "parquet")
        if is_ours and path.name not in written:
            path.unlink()


def _data_file(figure: Figure, data: str) -> str:
    return f"{figure.name}.parquet" if data == "rows" else f"{figure.name}.{data}.parquet"


def check_formats(formats: tuple[str, ...]) -> None:
    """Every format is one of FORMATS, or a UserError names the one that is not."""
    for form in formats:
        if form not in FORMATS:
            raise UserError(
                expected="figure formats out of " + ", ".join(FORMATS),
                found=repr(form),
                next_step="leave it out or name one of these",
            )


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
    """Strokes that are dashed where the test holds: where ensembles lie, which is no interval of anything."""
    return alt.when(test).then(alt.value([3, 3])).otherwise(alt.value([1, 0]))


def percent_axis(title: str, **options: Any) -> alt.Axis:
    """An axis that shows fractions as percent, with the digits that tell its ticks apart."""
    return alt.Axis(title=title, labelExpr="format(datum.value * 100, '.3~g') + '%'", **options)


def points_axis(title: str | None, **options: Any) -> alt.Axis:
    """An axis that shows differences of fractions as percentage points.

    Drawn with a sign: a reader of an improvement asks first on which side of zero it lies.
    """
    sign = "abs(datum.value) < 1e-9 ? '.0f' : '+.3~g'"
    return alt.Axis(title=title, labelExpr=f"format(datum.value * 100, {sign})", **options)


def select(name: str, label: str, options: list[Any], labels: list[str], value: Any) -> alt.Parameter:
    """A drop-down that sets a parameter of the chart."""
    return alt.param(
        name=name, value=value, bind=alt.binding_select(options=options, labels=labels, name=label)
    )


def one_row(chart: alt.Chart) -> alt.Chart:
    """The chart on a single row of its data: a rule at a constant is else drawn once for every row."""
    return chart.transform_aggregate(rows="count()")
