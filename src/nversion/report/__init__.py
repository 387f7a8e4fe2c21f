"""A study's tables as figures and as one HTML page without external files; imports no torch."""

from .build import build_report
from .figure import Figure
from .registry import all_figures, all_sections, figure, section
from .tables import Study, read_study

__all__ = [
    "Figure",
    "Study",
    "all_figures",
    "all_sections",
    "build_report",
    "figure",
    "read_study",
    "section",
]
