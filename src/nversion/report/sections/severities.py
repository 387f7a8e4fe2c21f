"""How accuracy falls as severity grows: curves, their area, and where half of the clean accuracy is left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from nversion.report.benchmark_sets import models_and_contenders, percent_cell, values_of
from nversion.report.blocks import SMALL_PRINT, Block, Cell, Drawing, Grid, Heading, Row, Tables, Words
from nversion.report.contenders import Contender
from nversion.report.labels import is_undefined, source_label
from nversion.report.tables import Study

_CAPTIONS = {"area": "Area under accuracy against severity, %", "half_severity": "Half severity"}


def severity_blocks(study: Study) -> list[Block]:
    """Words, figure and tables; one sentence where no corruption has several severities."""
    if study.table("severities").is_empty():
        return [
            Words(
                "Each corruption was studied at one severity, so how accuracy, and the gain of ensembles, "
                "changes with severity is not told: a list of severities in the study file adds it.",
                quiet=True,
            )
        ]
    has_half = not study.table("severities").filter(quantity="half_severity").is_empty()
    half = (
        "The half severity is where accuracy first falls to half of the clean one: the larger, the more a "
        "classifier bears."
        if has_half
        else "The half severity, where half of the clean accuracy is left, needs clean images, which were "
        "not studied."
    )
    return [
        Heading("As severity grows"),
        Words(
            "The area under accuracy against severity is the mean accuracy over the range studied, with "
            f"straight lines between levels. {half} Both follow from the corruption’s scale and from the "
            "levels that were chosen, so they compare within a column."
        ),
        Drawing("accuracy_by_severity"),
        Drawing("gain_by_severity"),
        Tables(severity_tables(study)),
    ]


def severity_tables(study: Study) -> list[Grid]:
    """Area, and half severity where clean images were studied: corruptions across."""
    table = study.table("severities")
    scales = table.unique(["dataset", "corruption", "stored"], maintain_order=True)
    grids = []
    for quantity, caption in _CAPTIONS.items():
        of_quantity = table.filter(quantity=quantity)
        if of_quantity.is_empty():
            continue
        rows = []
        for label, small, who in models_and_contenders(study):
            cells = []
            for scale in scales.iter_rows(named=True):
                where = {key: scale[key] for key in ("dataset", "corruption", "stored")}
                found = of_quantity.filter(**where)
                row = next(iter(values_of(found, who).iter_rows(named=True)), None)
                cells.append(percent_cell(row) if quantity == "area" else _severity_cell(row, who, found))
            rows.append(Row(label, cells, small=small))
        notes = [SMALL_PRINT]
        if quantity == "half_severity":
            notes.append(
                "“Above” the last severity: accuracy stays over half of the clean one. There is no interval "
                "where leaving some images out takes the crossing out of the range. The mean over ensembles "
                "is of those that cross."
            )
        heads = [
            f"{source_label(study, scale)}, {scale['first']:g} to {scale['last']:g}"
            for scale in scales.iter_rows(named=True)
        ]
        grids.append(Grid(caption, heads, rows, corner="Model or ensemble", notes=notes, source="severities"))
    return grids


def _severity_cell(row: Mapping[str, Any] | None, who: Contender, found: pl.DataFrame) -> Cell:
    if row is None:
        return Cell("not measured")
    if is_undefined(row["value"]):
        notes = [row["note"]] if row["note"] else found.filter(size=who.size)["note"].mode().to_list()
        return Cell(notes[0] if notes else "undefined")
    small = "" if is_undefined(row["low"]) else f"{row['low']:.2f}–{row['high']:.2f}"
    return Cell(f"{row['value']:.2f}", small or "no interval", note=row["note"])
