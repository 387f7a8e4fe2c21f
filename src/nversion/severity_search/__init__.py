"""Severities at which corruptions cost a reference classifier the same accuracy."""

from .file import SearchTable, SeveritiesSpec, read_severities, severities_toml
from .search import FoundSeverity, Reference, grid_of, search_severities

__all__ = [
    "FoundSeverity",
    "Reference",
    "SearchTable",
    "SeveritiesSpec",
    "grid_of",
    "read_severities",
    "search_severities",
    "severities_toml",
]
