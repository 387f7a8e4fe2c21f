"""Calibration of models and ensembles under each condition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nversion.report.blocks import Cell, Grid, Tables, Words, by_condition, half_cell, quiet
from nversion.report.contenders import contenders, leaning, of
from nversion.report.frames import NORMAL_QUANTILE, keyed
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
    grids = []
    for measure, (name, digits, unit) in MEASURES.items():
        stderr = f"{measure}_stderr"
        columns = [column for column in (measure, stderr) if column in table.columns]

        def cell(row: Mapping[str, Any], of: str = measure, form: tuple[int, float] = (digits, unit)) -> Cell:
            return half_cell(row[of], NORMAL_QUANTILE * row.get(f"{of}_stderr", float("nan")), *form)

        rows = [
            (
                who.label,
                who.ensemble or "",
                "Ensembles",
                keyed(of(table, who, ["condition"], columns), "condition"),
            )
            for who in (contenders(study) if table.height else [])
        ]
        if measure in study.models.columns and not study.models[measure].is_nan().all():
            rows += [
                (model, "", "Models", keyed(study.models.filter(model=model), "condition"))
                for model in study.model_names
            ]
        if rows:
            grids.append(
                by_condition(
                    study,
                    name,
                    rows,
                    cell,
                    corner="Ensemble or model" if table.height else "Model",
                    source="calibration",
                    notes=["Standard errors are not available."] if columns == [measure] else [],
                )
            )
    return grids
