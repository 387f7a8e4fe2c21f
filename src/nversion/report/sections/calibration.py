"""Calibration of models and ensembles under each condition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nversion.report.blocks import Cell, Grid, Row, Tables, Words, cell_of, half_cell, quiet
from nversion.report.contenders import contenders, leaning, of
from nversion.report.frames import NORMAL_QUANTILE
from nversion.report.labels import condition_label
from nversion.report.registry import Blocks, section
from nversion.report.tables import Study

MEASURES = {
    "nll": ("Negative log likelihood, nats", 2, 1.0),
    "brier": ("Brier score", 3, 1.0),
    "ece_debiased": ("Calibration error, debiased, root mean square, points", 1, 100.0),
    "ece": ("Calibration error, points", 1, 100.0),
}


@section("calibration", order=50, nav="Calibration", title="Calibration")
def calibration(study: Study) -> Blocks:
    grids = calibration_tables(study)
    if not grids:
        return None
    return [
        Words(
            "The mean negative log likelihood of the label and the Brier score are proper scoring rules; the "
            "expected calibration error is the mean distance between confidence and accuracy of the top "
            "answer, which is biased upwards on few images. The debiased one is corrected for that and is a "
            "root mean square, so do not compare the sizes of the two. "
            "Ensembles are by averaging. With ± 95 % over images where it is known."
        ),
        Tables(grids),
        *quiet("" if study.table("calibration").is_empty() else leaning(study)),
    ]


def calibration_tables(study: Study) -> list[Grid]:
    """One table a measure: ensembles, then models, down; conditions across."""
    table = study.table("calibration")
    of_models = {(r["model"], r["condition"]): r for r in study.models.iter_rows(named=True)}
    names = study.condition_names
    grids = []
    for measure, (name, digits, unit) in MEASURES.items():
        stderr = f"{measure}_stderr"
        columns = [column for column in (measure, stderr) if column in table.columns]

        def cell(
            row: Mapping[str, Any], value: str = measure, form: tuple[int, float] = (digits, unit)
        ) -> Cell:
            return half_cell(row[value], NORMAL_QUANTILE * row.get(f"{value}_stderr", float("nan")), *form)

        rows = []
        for who in contenders(study) if table.height else []:
            values = {r["condition"]: r for r in of(table, who, ["condition"], columns).iter_rows(named=True)}
            cells = [cell_of(values.get(c), cell) for c in names]
            rows.append(Row(who.label, cells, small=who.ensemble or "", group="Ensembles"))
        if measure in study.models.columns and not study.models[measure].is_nan().all():
            rows += [
                Row(model, [cell_of(of_models.get((model, c)), cell) for c in names], group="Models")
                for model in study.model_names
            ]
        if rows:
            grids.append(
                Grid(
                    name,
                    [condition_label(study, c) for c in names],
                    rows,
                    corner="Ensemble or model" if table.height else "Model",
                    source="calibration",
                    notes=["Standard errors are not available."] if columns == [measure] else [],
                )
            )
    return grids
