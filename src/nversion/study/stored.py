"""The finished predictions of a study's folder, opened without its models and its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nversion.core import UserError, inside
from nversion.core.parts import finished_array
from nversion.core.reasons import reason_of
from nversion.core.study_files import MANIFEST, StudyFiles, run_again, table_path
from nversion.data import Condition
from nversion.evaluation import TABLES
from nversion.evaluation.settings import EnsemblesTable
from nversion.evaluation.stored import StoredStudy
from nversion.predictions import ConditionPredictions, StoredLogits, block_of_each_sample, offsets_folder


def align(
    arrays: Mapping[tuple[str, str], StoredLogits | NDArray[Any]],
    conditions: Sequence[str],
    model_names: Sequence[str],
    sample_ids: Sequence[str],
    labels_N: NDArray[np.int64],
    num_blocks: int,
    accepted: Mapping[int, tuple[int, ...]] | None = None,
) -> dict[str, ConditionPredictions]:
    """Predictions of one data set under each of its conditions, without the unreadable samples.

    Args:
        arrays: logits (N, C) by condition and model; only unreadable images are stored as nan.
        sample_ids, labels_N: of all samples of the data set, readable or not.
        accepted: further labels that count as right, by the same index.
    """
    readable_N = np.ones(len(labels_N), bool)
    for array in arrays.values():
        readable_N &= ~np.isnan(array[:, 0])
    rows_N = np.flatnonzero(readable_N)
    ids = tuple(sample_ids[row] for row in rows_N.tolist())
    blocks_N = block_of_each_sample(ids, num_blocks)
    accepted = accepted or {}
    further = {i: accepted[row] for i, row in enumerate(rows_N.tolist()) if row in accepted}
    return {
        condition: ConditionPredictions(
            condition,
            tuple(model_names),
            tuple(arrays[condition, model] for model in model_names),
            rows_N,
            labels_N[rows_N],
            blocks_N,
            further,
            ids,
        )
        for condition in conditions
    }


def open_stored(folder: Path) -> StoredStudy:
    """Open the finished study in `folder`; manifest, tables and logits are checked against their digests.

    Raises:
        UserError: there is no finished study, or a file is not what its manifest says.
    """
    files = StudyFiles.open(folder)
    labels, models = _read(files, "labels"), _read(files, "models")
    try:
        return _opened(files, labels, models, _read(files, "conditions"))
    except (KeyError, TypeError, ValueError, AttributeError, pl.exceptions.PolarsError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            expected=f"manifest and tables in {folder} that fit each other",
            found=f"{type(error).__name__}: {reason_of(error)}",
            next_step=f"{run_again(folder)} writes them again; what is stored is not computed again",
        ) from error


def _read(files: StudyFiles, name: str) -> pl.DataFrame:
    """A table in the types that this version writes; whole numbers that are always known have a value."""
    frame, schema = files.read(name), TABLES[name].schema
    may_lack = ("params", "macs", "changed_top1")
    whole = [column for column, kind in schema.items() if kind == pl.Int64 and column not in may_lack]
    if dict(frame.schema) == dict(pl.Schema(schema)):
        lacking = [column for column in whole if frame[column].null_count()]
        found = f"no value of {', '.join(lacking)} in some row"
    else:
        lacking = [column for column, kind in schema.items() if frame.schema.get(column) != kind]
        found = f"other columns or types: {', '.join(lacking or set(frame.columns) - set(schema))}"
    if lacking or len(frame.columns) != len(schema):
        raise UserError(
            expected=f"the columns of this version in {table_path(files.folder, name)}",
            found=found,
            next_step=f"{run_again(files.folder)} with this version writes them",
        )
    return frame


def _opened(
    files: StudyFiles, labels: pl.DataFrame, models: pl.DataFrame, conditions_table: pl.DataFrame
) -> StoredStudy:
    manifest = files.manifest
    cards = {row["model"]: row for row in models.iter_rows(named=True)}
    conditions = tuple(
        Condition(row["dataset"], row["corruption"], row["severity"], row["seed"], row["stored"])
        for row in conditions_table.iter_rows(named=True)
    )
    names = tuple(entry["name"] for entry in manifest["models"])
    asked = EnsemblesTable.model_validate(files.settings["ensembles"])
    predictions: dict[str, ConditionPredictions] = {}
    for dataset in dict.fromkeys(condition.dataset for condition in conditions):
        samples = labels.filter(pl.col("dataset") == dataset)
        labels_N = samples["label"].to_numpy().copy()
        of_dataset = [condition.name for condition in conditions if condition.dataset == dataset]
        arrays = {
            (condition, model): _read_logits(
                files, condition, manifest["logits"][condition][model], len(labels_N)
            )
            for condition in of_dataset
            for model in names
        }
        ids = samples["sample_id"].to_list()
        accepted = {row: tuple(labels) for row, labels in enumerate(samples["accepted"].to_list()) if labels}
        predictions |= align(arrays, of_dataset, names, ids, labels_N, asked.num_blocks, accepted)
    return StoredStudy(
        name=manifest["study"],
        hash=manifest["study_hash"],
        asked=asked,
        conditions=conditions,
        model_names=names,
        predictions=predictions,
        architectures=tuple(cards[name]["architecture"] for name in names),
        trainings=tuple(cards[name]["training"] for name in names),
        **StoredStudy.costs(*([cards[name][cost] for name in names] for cost in ("params", "macs"))),
    )


def _read_logits(files: StudyFiles, condition: str, place: str, num_samples: int) -> StoredLogits:
    folder = inside(files.folder, *place.split("/"), origin=str(files.folder / MANIFEST))
    array, offsets = finished_array(folder), None
    whole = array is not None and len(array) == num_samples
    if array is not None and array.dtype == np.float16:
        offsets = finished_array(offsets_folder(folder, condition))
        whole = whole and offsets is not None and len(offsets) == num_samples
    if array is None or not whole:
        raise UserError(
            expected=f"the finished logits in {folder}",
            found="none that match their manifest",
            next_step=f"{run_again(files.folder)} computes what is missing and keeps the rest",
        )
    return StoredLogits(array, offsets)
