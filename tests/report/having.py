"""Tables of made-up studies with the columns that a study writes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import nan
from typing import Any

import polars as pl

from nversion.evaluation import schemas
from nversion.report.tables import Study
from nversion.selection.front import FRONT
from nversion.selection.select import SELECTION

_ATTRIBUTION = re.compile(r"attribution_(.+)_(predicted|label)_(none|l2)(?:_(all|some|none)_right)?")
_WORDS = {"predicted": "predicted class", "label": "true class", "none": "raw", "l2": "unit length"}
_LABELS = {"q": "Q statistic", "rho": "Failure correlation ρ"}
_PAIRS = ("disagreement", "q", "rho", "double_fault")


def schema_of(name: str) -> dict[str, Any]:
    """The columns of a table of a study."""
    if name in ("front", "selection"):
        return dict(FRONT if name == "front" else SELECTION)
    schema: dict[str, Any] = dict(getattr(schemas, name.upper()))
    return schema | (dict.fromkeys(METRIC_COLUMNS, pl.String) if name == "metrics" else {})


def table(name: str, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows with all columns of a table; what a row does not say is nan or null."""
    schema = schema_of(name)
    unknown = {column: nan for column, kind in schema.items() if kind == pl.Float64 and column != "severity"}
    return pl.DataFrame([unknown | dict(row) for row in rows], schema=schema)


def whole(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    """A frame with the columns that it lacks; names of ensembles say their members."""
    schema = schema_of(name)
    if "members" in schema and "members" not in frame.columns:
        frame = frame.with_columns(pl.col("ensemble").str.split(" + ").alias("members"))
    lacking = {column: kind for column, kind in schema.items() if column not in frame.columns}
    empty = [pl.lit(nan if kind == pl.Float64 else None, kind).alias(c) for c, kind in lacking.items()]
    return frame.with_columns(empty).with_columns(pl.col(c).cast(kind) for c, kind in schema.items())


def having(study: Study, **tables: Sequence[Mapping[str, Any]] | pl.DataFrame) -> Study:
    """The study with these tables."""
    frames = {
        name: rows if isinstance(rows, pl.DataFrame) else table(name, rows) for name, rows in tables.items()
    }
    return replace(study, tables={**study.tables, **frames})


METRIC_COLUMNS = ("label", "group", "of", "method", "target", "normalise", "subset")


def metrics(names: Iterable[str]) -> pl.DataFrame:
    """The metrics table for metrics of these names."""
    return pl.DataFrame(list(map(_metric, names)), schema=schema_of("metrics"))


def _metric(name: str) -> dict[str, Any]:
    bounds = {"low_bound": 0.0, "high_bound": None, "higher_is_more_diverse": True, "formula": "…"}
    row = {"metric": name, "undefined_when": "never", **bounds}
    if (match := _ATTRIBUTION.fullmatch(name)) is None:
        label = _LABELS.get(name, name.replace("_", " ").capitalize())
        group = "Right or wrong, in pairs" if name in _PAIRS else "Others"
        return row | {"label": label, "group": group, "of": "pairs"}
    method, target, normalise, subset = match.groups()
    words = "Grad-CAM" if method == "grad_cam" else method
    which = {"all": ", all members right", "none": ", no member right"}.get(subset, "")
    label = f"Attribution ({words}, {_WORDS[target]}, {_WORDS[normalise]}{which})"
    parts = {"method": method, "target": target, "normalise": normalise, "subset": subset}
    return row | {"label": label, "group": f"Attribution, {_WORDS[target]}", "of": "maps"} | parts
