"""A figure: a chart, exactly the data that it draws, and an alternative text."""

from __future__ import annotations

import io
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
from altair.typing import ChartType

from nversion.core import UserError, write_bytes

from .charts import CONFIG, EXPORT_WIDTH

FORMATS = ("svg", "pdf", "png")


@dataclass(frozen=True)
class Figure:
    """One figure of the report.

    Attributes:
        title: what is shown, as a heading.
        caption: how to read it, plain text.
        alt: what it shows, for a reader who does not see it.
        chart: drawn from named data only ("rows", and what else `data` names).
        data: the frames of that name; written as they are to FOLDER/figures/NAME.parquet.
        panel_width: of one panel, in pixels, where the figure is made of panels that wrap;
            None where it is one view that follows the page's width.
        name: of its files and of its place in the page; set where the figure is registered.
    """

    title: str
    caption: str
    alt: str
    chart: ChartType
    data: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    panel_width: int | None = None
    name: str = ""

    def spec(self) -> dict[str, Any]:
        """The Vega-Lite definition without its data."""
        return {**self._definition, "config": CONFIG}

    @cached_property
    def _definition(self) -> dict[str, Any]:
        # Checked against Vega-Lite's schema in the tests: it takes longer than all else but drawing.
        definition: dict[str, Any] = self.chart.to_dict(validate=False)
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

    @cached_property
    def _svg(self) -> str:
        import vl_convert

        # No address that data may come from: a report never reads from the network.
        options: dict[str, Any] = {"vl_version": vega_lite_version(), "allowed_base_urls": []}
        return str(vl_convert.vegalite_to_svg(self.complete_spec(), **options))

    @cached_property
    def _png(self) -> bytes:
        import vl_convert

        return bytes(vl_convert.svg_to_png(self._svg, scale=2))

    def render(self, form: str) -> bytes:
        """The figure as "svg", "pdf" or "png" (two pixels a point); Vega lays it out once for all."""
        import vl_convert

        if form == "svg":
            return self._svg.encode()
        return self._png if form == "png" else bytes(vl_convert.svg_to_pdf(self._svg))


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


def vega_lite_version() -> str:
    """The Vega-Lite that the charts are written for: major and minor."""
    return ".".join(str(alt.SCHEMA_VERSION).lstrip("v").split(".")[:2])


def write_figure(figure: Figure, folder: Path, formats: tuple[str, ...]) -> None:
    """Write FOLDER/NAME.FORMAT for every format, and the drawn data as FOLDER/NAME.parquet.

    Data besides "rows" goes to FOLDER/NAME.DATA.parquet.

    Raises:
        UserError: a format is not known.
    """
    check_formats(formats)
    for form in formats:
        write_bytes(folder / f"{figure.name}.{form}", figure.render(form))
    for name, frame in figure.data.items():
        buffer = io.BytesIO()  # write_bytes reports a full disk in our words
        frame.write_parquet(buffer)
        write_bytes(folder / _data_file(figure, name), buffer.getvalue())


def remove_others(
    folder: Path, known: Collection[str], drawn: Collection[Figure], formats: Collection[str]
) -> None:
    """Remove files of `known` figures that an earlier report left and this one does not write."""
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
