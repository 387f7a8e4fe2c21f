"""One page with everything in it: styles, script, data and pictures; nothing is loaded."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from importlib.resources import files

import jinja2
from markupsafe import Markup, escape

from nversion.report.figures.figure import vega_lite_version
from nversion.report.sections.paired import comparison_table

from . import pictures, reading, views
from .blocks import PRINTED_COLUMNS, PRINTED_ROWS
from .figures import Figure, render
from .findings import findings, too_few_to_relate
from .frames import can_relate
from .images import data_uri, light_png
from .packing import Store
from .sections import all_sections
from .selection import selection
from .tables import Study

_STILL_WIDTH = 1600  # pixels: more than 200 an inch on A4
_JOINT = re.compile(r"(?<=\w)(_|[/.:](?=[A-Za-z]))(?=\w)")


def page(study: Study, figures: Mapping[str, Figure], drawn: Mapping[str, Mapping[str, bytes]]) -> str:
    """The report of a study as HTML.

    Args:
        study: what is told.
        figures: what is shown, by name.
        drawn: figures that are drawn already, by name and format; the others are drawn here.
    """
    store = Store()
    shown = {
        name: {
            "figure": figure,
            "still": _still(figure, drawn.get(name, {})),
            "live": {
                "spec": figure.spec(),
                "data": {key: store.add(frame) for key, frame in figure.data.items()},
                "panel": figure.panel_width,
            },
        }
        for name, figure in figures.items()
    }
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["script"] = _script
    environment.filters["breakable"] = _breakable
    environment.globals |= {"printed_rows": PRINTED_ROWS, "printed_columns": PRINTED_COLUMNS}
    return environment.get_template("report.html.j2").render(
        study=study,
        question=study.manifest.get("question") or "",
        findings=findings(study),
        resilience=views.resilience(study),
        sections=all_sections(study),
        correlations=views.correlation_tables(study),
        too_few="" if can_relate(study) else too_few_to_relate(study),
        shares=views.share_table(study),
        comparisons=comparison_table(study),
        selection=selection(study),
        samples=pictures.sample_grids(study),
        maps=pictures.map_grids(study),
        notes=reading.notes(study),
        provenance=reading.provenance(study),
        glossary=reading.glossary(study),
        terms=reading.terms(study),
        intervals=reading.interval_words(study),
        figures=shown,
        live=json.dumps({name: entry["live"] for name, entry in shown.items()}, separators=(",", ":")),
        data=store.json(),
        style=_template("report.css"),
        behaviour=_template("report.js"),
        library=_library() if shown else "",
    )


def _still(figure: Figure, drawn: Mapping[str, bytes]) -> str:
    """The figure as an image that stands in the page: for paper, and where no script runs.

    Pixels: an SVG's texts are measured in one font and set in whatever the reader has, and a wider one cuts
    labels at the edge and runs legends into each other.
    """
    png = drawn.get("png") or render(figure.complete_spec(), "png")
    return data_uri(light_png(png, _STILL_WIDTH), "image/png")


def _template(name: str) -> str:
    return (files(__package__) / "templates" / name).read_text(encoding="utf-8")


def _breakable(text: object) -> str:
    """Escaped text that may break after the joints of a name, never within a number.

    >>> str(_breakable("swin_tiny.ms_in1k: 81.5"))
    'swin_<wbr>tiny.<wbr>ms_<wbr>in1k: 81.5'
    """
    return Markup(_JOINT.sub(r"\1<wbr>", str(escape(str(text)))))


def _script(text: str) -> str:
    """Text that may stand inside a script element: nothing in it can end the element."""
    return Markup(text.replace("</", "<\\/").replace("<!--", "<\\!--"))


@functools.cache
def _library() -> str:
    """Vega, Vega-Lite and vega-embed for the page's script, from the installed package."""
    import vl_convert

    bundle: Callable[..., str] = vl_convert.javascript_bundle  # its stub asks for the optional snippet
    return bundle(vl_version=vega_lite_version())
