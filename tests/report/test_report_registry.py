"""Sections and figures register themselves: a new one is one file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nversion.report import Figure, Study, all_figures, all_sections, registry, sections
from nversion.report.html import page
from nversion.report.registry import figure_names

MODULE = """
import altair as alt
import polars as pl

from nversion.report.blocks import Drawing, Words
from nversion.report.figure import Figure
from nversion.report.registry import figure, section


@section("near-ties", order=85, nav="Near ties", title="Near ties")
def near_ties(study):
    rows = study.table("near_ties")
    return None if rows.is_empty() else [Words(f"There are {rows.height} near ties."), Drawing("near_ties")]


@figure("near_ties")
def near_ties_figure(study):
    rows = pl.DataFrame({"x": [1.0]})
    chart = alt.Chart(alt.NamedData("rows")).mark_point()
    return Figure("Near ties", "Caption.", "Alt.", chart, {"rows": rows})
"""


@pytest.fixture
def new_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module beside those of `report/sections`, gone after the test."""
    registry.figure_names()  # the other modules are registered
    (tmp_path / "near_ties.py").write_text(MODULE)
    monkeypatch.setattr(sections, "__path__", [*sections.__path__, str(tmp_path)])
    monkeypatch.setattr(registry, "_sections", dict(registry._sections))
    monkeypatch.setattr(registry, "_figures", dict(registry._figures))
    registry._discover.cache_clear()
    yield
    sys.modules.pop("nversion.report.sections.near_ties", None)
    del sections.near_ties  # type: ignore[attr-defined]


def test_one_new_module_makes_a_section_and_a_figure(
    new_module: None, hand_made: Callable[..., Study]
) -> None:
    from having import having

    study = having(hand_made(), near_ties=[{"ensemble": "a + b"}])
    figures = all_figures(study)
    assert figures["near_ties"].name == "near_ties"
    text = page(study, {"near_ties": figures["near_ties"]})
    assert '<a href="#near-ties">Near ties</a>' in text
    assert "<p>There are 1 near ties.</p>" in text
    assert '<figure class="chart" id="figure-near_ties">' in text
    ids = [section.id for section in all_sections(study)]
    assert ids[ids.index("trends") :][:3] == ["trends", "near-ties", "shares"]


def test_a_section_without_its_table_is_not_on_the_page(
    new_module: None, hand_made: Callable[..., Study]
) -> None:
    assert "near-ties" not in [section.id for section in all_sections(hand_made())]


@pytest.mark.parametrize(
    "register", [registry.figure("gains"), registry.section("gains", order=1, nav="", title="")]
)
def test_a_name_is_registered_once(register: Callable[..., object]) -> None:
    figure_names()
    with pytest.raises(AssertionError, match="'gains' is registered twice"):
        register(lambda study: None)


def test_charts_meet_the_schema_of_vega_lite(small_study: Path) -> None:
    """`Figure.spec` does not check, to save time."""
    from nversion.report import read_study

    figures: dict[str, Figure] = all_figures(read_study(small_study))
    for figure in figures.values():
        assert figure.chart.to_dict(validate=True) == figure.chart.to_dict(validate=False)
