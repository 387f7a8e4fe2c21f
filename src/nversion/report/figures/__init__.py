"""One pure function a figure: a study in, a chart with exactly its data out."""

from __future__ import annotations

from nversion.report.tables import Study

from .accuracy import accuracy_by_condition
from .deploy import deployment
from .figure import FORMATS, Figure, check_formats, records, remove_others, render, write_figure
from .improvement import explorer, paper_scatter
from .selection import held_out
from .shares import shares
from .trends import forest, trend_grid

NAMES = (
    "accuracy_by_condition",
    "improvement_average",
    "improvement_vote",
    "improvement_explorer",
    "trend_grid",
    "correlations",
    "share_above_zero",
    "deployment",
    "selection",
)
"""Every figure that there may be, in the order of the report."""


def all_figures(study: Study) -> dict[str, Figure]:
    """Every figure that the study has data for, by name, in the order of the report."""
    drawn = [
        accuracy_by_condition(study),
        paper_scatter(study, "improvement_average", "average"),
        paper_scatter(study, "improvement_vote", "vote"),
        explorer(study),
        trend_grid(study),
        forest(study),
        shares(study),
        deployment(study),
        held_out(study),
    ]
    return {figure.name: figure for figure in drawn if figure is not None}


__all__ = [
    "FORMATS",
    "NAMES",
    "Figure",
    "all_figures",
    "check_formats",
    "records",
    "remove_others",
    "render",
    "write_figure",
]
