"""Plain data of manifests and metrics as text and tables."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from .blocks import Cell, Grid, Only, Row


def plain_table(name: str, entries: Sequence[Mapping[str, Any]], only: Only = "") -> Grid:
    """Entries down, their keys across; the first key names the rows."""
    columns = list(dict.fromkeys(key for entry in entries for key in entry))
    rows = [[plain_text(entry.get(column)) for column in columns] for entry in entries]
    corner, *heads = (column.replace("_", " ") for column in columns)
    return Grid(
        name.replace("_", " ").capitalize(),
        heads,
        [Row(first, [Cell(text) for text in rest]) for first, *rest in rows],
        corner=corner,
        style="text",
        only=only,
        tail=len(heads),
    )


def pairs_of(value: Any) -> list[tuple[str, str]]:
    """A mapping, list or single value as pairs of a name, "" without one, and text."""
    if isinstance(value, Mapping):
        return [(str(name), plain_text(entry)) for name, entry in value.items()]
    if isinstance(value, list | tuple):
        return [("", plain_text(entry)) for entry in value]
    return [] if value is None else [("", plain_text(value))]


def plain_text(value: Any) -> str:
    """Plain data as words.

    >>> plain_text({"mean": [0.485, 0.456], "size": 224})
    'mean 0.485, 0.456; size 224'
    """
    if value is None or (isinstance(value, str | Mapping | Sequence) and not value):
        return "—"
    if isinstance(value, float) and math.isnan(value):
        return "—"
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {plain_text(entry)}" for name, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain_text(entry) for entry in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, default=str)
