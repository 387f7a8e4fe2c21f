"""Rows for the page's script: by column, what repeats by number, five figures, each frame once."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import polars as pl
import polars.selectors as cs

from nversion.core import fingerprint

_FIGURES = 5
_REPEATS = 4  # of a value, on average, from which on naming it is shorter


def pack(frame: pl.DataFrame) -> dict[str, Any]:
    """A frame as plain JSON: `{"n": rows, "columns": {name: values | {"words": …, "at": …}}}`.

    Undefined numbers are None. Lists, such as the members of an ensemble, are left out: the page shows names.

    >>> pack(pl.DataFrame({"x": [0.123456789, float("nan")], "name": ["a", "a"]}))["columns"]
    {'x': [0.12346, None], 'name': {'words': ['a'], 'at': [0, 0]}}
    """
    columns: dict[str, Any] = {}
    for series in frame.select(~cs.list()):
        values = [_short(v) for v in series] if series.dtype.is_float() else series.to_list()
        number = {word: i for i, word in enumerate(dict.fromkeys(values))}
        if series.dtype == pl.String or len(number) * _REPEATS < len(values):
            columns[series.name] = {"words": list(number), "at": [number[word] for word in values]}
        else:
            columns[series.name] = values
    return {"n": frame.height, "columns": columns}


def unpack(packed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows again, as the page's script makes them."""
    columns = {
        name: [values["words"][i] for i in values["at"]] if isinstance(values, Mapping) else values
        for name, values in packed["columns"].items()
    }
    return [{name: values[i] for name, values in columns.items()} for i in range(packed["n"])]


class Store:
    """Packed frames as JSON texts under short names; the same frame is kept once."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def add(self, frame: pl.DataFrame) -> str:
        """Keep a frame; returns the name to find it under."""
        text = json.dumps(pack(frame), separators=(",", ":"), ensure_ascii=False)
        name = fingerprint(text)[:12]
        self.texts[name] = text
        return name

    def json(self) -> str:
        """All frames as one JSON object by name."""
        return "{" + ",".join(f'"{name}":{text}' for name, text in self.texts.items()) + "}"


def _short(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{_FIGURES}g}")
