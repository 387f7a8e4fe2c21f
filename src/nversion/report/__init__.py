"""A study's tables as figures and as one page that stands alone; it imports no torch."""

from .build import build_report
from .figures import Figure, all_figures
from .tables import Study, read_study

__all__ = ["Figure", "Study", "all_figures", "build_report", "read_study"]
