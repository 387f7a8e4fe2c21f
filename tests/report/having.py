"""Tables of made-up studies with the columns that a study writes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import nan
from typing import Any

import polars as pl

import nversion.study.write  # noqa: F401, registers the tables that need images
from nversion.diversity import CKA, METRICS
from nversion.diversity.attribution import attribution_metric
from nversion.evaluation import TABLES
from nversion.evaluation.tables import metrics_table
from nversion.report.tables import Study
from nversion.selection.front import FRONT
from nversion.selection.select import SELECTION

_ATTRIBUTION = re.compile(r"attribution_(.+)_(predicted|label)_(none|l2)(?:_(all|some|none)_right)?")


def schema_of(name: str) -> dict[str, Any]:
    """The columns of a table of a study."""
    if name in ("front", "selection"):
        return dict(FRONT if name == "front" else SELECTION)
    return dict(TABLES[name].schema)


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


def metrics(names: Iterable[str]) -> pl.DataFrame:
    """The metrics table for metrics of these names, in the order of a study."""
    found = []
    for name in names:
        if match := _ATTRIBUTION.fullmatch(name):
            found.append(attribution_metric(*match.groups()))
        elif name == "cka" or name in METRICS:
            found.append(CKA if name == "cka" else METRICS[name])
    return metrics_table(found)
