"""The report as one HTML page that contains its styles, script, data and pictures."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from importlib.resources import files

import jinja2
from markupsafe import Markup, escape

from .blocks import PRINTED_COLUMNS, PRINTED_ROWS
from .figure import Figure, vega_lite_version
from .images import data_uri, light_png
from .labels import NO_BREAK
from .packing import Store
from .registry import all_sections
from .tables import Study

_STILL_WIDTH = 1600  # pixels: more than 200 an inch on A4
_JOINT = re.compile(r"(?<=\w)(_|[/.:](?=[A-Za-z]))(?=\w)")


def page(study: Study, figures: Mapping[str, Figure]) -> str:
    """The report of a study as HTML.

    Args:
        study: the study.
        figures: by name; sections place them.
    """
    store = Store()
    shown = {name: {"figure": figure, "still": _still(figure)} for name, figure in figures.items()}
    live = {
        name: {
            "spec": figure.spec(),
            "data": {key: store.add(frame) for key, frame in figure.data.items()},
            "panel": figure.panel_width,
        }
        for name, figure in figures.items()
    }
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"script": _script, "breakable": _breakable, "together": _together}
    environment.globals |= {"printed_rows": PRINTED_ROWS, "printed_columns": PRINTED_COLUMNS}
    return environment.get_template("report.html.j2").render(
        study=study,
        question=study.manifest.get("question") or "",
        sections=all_sections(study),
        figures=shown,
        live=json.dumps(live, separators=(",", ":")),
        data=store.json(),
        style=_template("report.css"),
        behaviour=_template("report.js"),
        library=_library() if shown else "",
    )


def _still(figure: Figure) -> str:
    """The figure as an image in the page: for paper, and where no script runs.

    Pixels: an SVG's texts are measured in one font and set in whatever the reader has, and a wider one cuts
    labels at the edge and runs legends into each other.
    """
    return data_uri(light_png(figure.render("png"), _STILL_WIDTH), "image/png")


def _template(name: str) -> str:
    return (files(__package__) / "templates" / name).read_text(encoding="utf-8")


def _breakable(text: object) -> str:
    """Escaped text that may break after the joints of a name, never within a number.

    >>> str(_breakable("swin_tiny.ms_in1k: 81.5"))
    'swin_<wbr>tiny.<wbr>ms_<wbr>in1k: 81.5'
    """
    return Markup(_JOINT.sub(r"\1<wbr>", str(escape(str(text)))))


def _together(text: str) -> str:
    """Breakable text in which numbers stay with their signs and units."""
    return _breakable(text.replace(" %", f"{NO_BREAK}%").replace("± ", f"±{NO_BREAK}"))


def _script(text: str) -> str:
    """Text for the inside of a script element: nothing in it can end the element."""
    return Markup(text.replace("</", "<\\/").replace("<!--", "<\\!--"))


@functools.cache
def _library() -> str:
    """Vega, Vega-Lite and vega-embed for the page's script, from the installed package."""
    import vl_convert

    bundle: Callable[..., str] = vl_convert.javascript_bundle  # its stub asks for the optional snippet
    return bundle(vl_version=vega_lite_version())
