"""Registry of the report's sections and figures; modules of `report/sections` are found, not listed.

@section("votes", order=145, nav="Votes", title="Votes of the members")
def votes(study: Study) -> Blocks:
    rows = study.table("votes")
    return None if rows.is_empty() else [Words("…"), Drawing("votes"), Tables([…])]


@figure("votes")
def votes_figure(study: Study) -> Figure | None: ...
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, wraps

from .blocks import Block, Section
from .figure import Figure
from .tables import Study

Blocks = Sequence[Block] | None
"""What a section returns: its blocks in order; None, or none, where the study lacks its tables."""
MakeBlocks = Callable[[Study], Blocks]
MakeFigure = Callable[[Study], Figure | None]

_sections: dict[str, tuple[int, str, str, MakeBlocks]] = {}
_figures: dict[str, MakeFigure] = {}


def section(id: str, *, order: int, nav: str, title: str) -> Callable[[MakeBlocks], MakeBlocks]:
    """Register a function as a section of the page.

    Args:
        id: the section's anchor, unique.
        order: its position; sections are sorted by it.
        nav: its name in the contents.
        title: its heading.
    """

    def register(make: MakeBlocks) -> MakeBlocks:
        assert id not in _sections, f"section {id!r} is registered twice"
        _sections[id] = (order, nav, title, make)
        return make

    return register


def figure(name: str) -> Callable[[MakeFigure], MakeFigure]:
    """Register a function as the figure that `Drawing(name)` places and FOLDER/figures/NAME.* holds."""

    def register(make: MakeFigure) -> MakeFigure:
        assert name not in _figures, f"figure {name!r} is registered twice"

        @wraps(make)
        def named(study: Study) -> Figure | None:
            found = make(study)
            return None if found is None else replace(found, name=name)

        _figures[name] = named
        return named

    return register


def all_sections(study: Study) -> list[Section]:
    """Every section that the study has tables for, in the order of the page."""
    _discover()
    made = [
        Section(id, nav, title, make(study) or ())
        for id, (_, nav, title, make) in sorted(_sections.items(), key=lambda entry: entry[1][0])
    ]
    return [section for section in made if section.blocks]


def all_figures(study: Study) -> dict[str, Figure]:
    """Every figure that the study has data for, by name."""
    _discover()
    made = {name: make(study) for name, make in _figures.items()}
    return {name: figure for name, figure in made.items() if figure is not None}


def figure_names() -> set[str]:
    """The names of all figures, of those too that a study has no data for."""
    _discover()
    return set(_figures)


@cache
def _discover() -> None:
    sections = importlib.import_module(f"{__package__}.sections")
    for module in pkgutil.iter_modules(sections.__path__):
        importlib.import_module(f"{sections.__name__}.{module.name}")
