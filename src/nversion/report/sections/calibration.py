"""Whether confidences mean what they say: models and ensembles, on every condition."""

from __future__ import annotations

from nversion.report.blocks import Block, Cell, Grid, Row, Section, Tables, Words, half_cell
from nversion.report.contenders import contenders, leaning, of
from nversion.report.frames import NORMAL_QUANTILE
from nversion.report.labels import condition_label
from nversion.report.tables import Study

MEASURES = {
    "nll": ("Negative log likelihood, nats", 2, 1.0),
    "brier": ("Brier score", 3, 1.0),
    "ece_debiased": ("Calibration error, debiased, root mean square, points", 1, 100.0),
    "ece": ("Calibration error, points", 1, 100.0),
}


def section(study: Study) -> Section | None:
    """None where nothing of it was measured."""
    grids = calibration_tables(study)
    if not grids:
        return None
    blocks: list[Block] = [
        Words(
            "The mean negative log likelihood of the label and the Brier score reward honest probabilities; "
            "the expected calibration error is the mean distance between confidence and accuracy of the top "
            "answer, which is too high where images are few. The debiased one is free of that and is a root "
            "mean square: the two do not compare in size. "
            "Ensembles are by averaging. With ± 95 % over images where it is known."
        ),
        Tables(grids),
    ]
    if not study.table("calibration").is_empty() and leaning(study):
        blocks.append(Words(leaning(study), quiet=True))
    return Section("calibration", "Calibration", "Whether confidences mean what they say", blocks)


def calibration_tables(study: Study) -> list[Grid]:
    """One table a measure: ensembles, then models, down; conditions across."""
    table = study.table("calibration")
    of_models = {(r["model"], r["condition"]): r for r in study.models.iter_rows(named=True)}
    grids = []
    for measure, (name, digits, unit) in MEASURES.items():
        rows = []
        with_error = f"{measure}_stderr" in table.columns
        columns = [measure, f"{measure}_stderr"] if with_error else [measure]
        for who in contenders(study) if table.height else []:
            found = of(table, who, ["condition"], columns)
            values = {r["condition"]: r for r in found.iter_rows(named=True)}
            cells = [
                half_cell(row[measure], _half(row.get(f"{measure}_stderr")), digits, unit)
                if (row := values.get(c))
                else Cell("not measured")
                for c in study.condition_names
            ]
            rows.append(Row(who.label, cells, small=who.ensemble or "", group="Ensembles"))
        if study.models[measure].is_nan().all() and not rows:
            continue
        if not study.models[measure].is_nan().all():
            rows += [
                Row(
                    model,
                    [
                        half_cell(row[measure], None, digits, unit)
                        if (row := of_models.get((model, c)))
                        else Cell("not measured")
                        for c in study.condition_names
                    ],
                    group="Models",
                )
                for model in study.model_names
            ]
        grids.append(
            Grid(
                name,
                [condition_label(study, c) for c in study.condition_names],
                rows,
                corner="Ensemble or model" if table.height else "Model",
                source="calibration",
                notes=[] if not table.height or with_error else ["No standard error of it is known."],
            )
        )
    return grids


def _half(stderr: float | None) -> float | None:
    return None if stderr is None else NORMAL_QUANTILE * stderr
