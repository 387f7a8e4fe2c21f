"""The finished predictions of a study's folder, opened without its models and its images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nversion.core import PartedArray, UserError
from nversion.data import Condition
from nversion.ensembles import Ensembles
from nversion.predictions import Predictions, block_of_each_sample

from .plan import ensembles_of
from .spec import EnsemblesTable
from .tables import read_table


@dataclass(frozen=True)
class StoredStudy:
    """What a finished study leaves behind, as far as choosing among its ensembles needs it.

    Attributes:
        asked: its table of ensembles: sizes, sample, blocks.
        conditions: in the order of the study.
        params_M, macs_M: of each model, in the order of the predictions.
        predictions: by the name of the condition; samples of one data set are the same under all.
        architectures, trainings: of each model; "" where unknown, empty where nothing is known.
    """

    name: str
    hash: str
    asked: EnsemblesTable
    conditions: tuple[Condition, ...]
    model_names: tuple[str, ...]
    params_M: NDArray[np.int64]
    macs_M: NDArray[np.int64]
    predictions: Mapping[str, Predictions]
    architectures: tuple[str, ...] = ()
    trainings: tuple[str, ...] = ()

    def ensembles(self) -> list[Ensembles]:
        """The study's ensembles, one family for each of its sizes."""
        return ensembles_of(self.asked, len(self.model_names))


def align(
    arrays: Mapping[tuple[str, str], NDArray[Any]],
    conditions: Sequence[str],
    model_names: Sequence[str],
    sample_ids: Sequence[str],
    labels_N: NDArray[np.int64],
    num_blocks: int,
    accepted: Mapping[int, tuple[int, ...]] | None = None,
) -> dict[str, Predictions]:
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
    blocks_N = block_of_each_sample([sample_ids[row] for row in rows_N.tolist()], num_blocks)
    accepted = accepted or {}
    further = {i: accepted[row] for i, row in enumerate(rows_N.tolist()) if row in accepted}
    return {
        condition: Predictions(
            condition,
            tuple(model_names),
            tuple(arrays[condition, model] for model in model_names),
            rows_N,
            labels_N[rows_N],
            blocks_N,
            further,
        )
        for condition in conditions
    }


def open_stored(folder: Path) -> StoredStudy:
    """Open the finished study in `folder`; every file of logits is checked against its manifest.

    Raises:
        UserError: there is no finished study, or its logits are not what its manifest says.
    """
    manifest = _read_manifest(folder)
    labels = read_table(folder, "labels")
    cards = {row["model"]: row for row in read_table(folder, "models").iter_rows(named=True)}
    conditions = tuple(
        # A study of before there were stored images has no such column.
        Condition(row["dataset"], row["corruption"], row["severity"], row["seed"], row.get("stored"))
        for row in read_table(folder, "conditions").iter_rows(named=True)
    )
    _check_same_run(folder, manifest)
    names = tuple(entry["name"] for entry in manifest["models"])
    asked = EnsemblesTable.model_validate(manifest["settings"]["ensembles"])
    predictions: dict[str, Predictions] = {}
    for dataset in dict.fromkeys(condition.dataset for condition in conditions):
        samples = labels.filter(pl.col("dataset") == dataset)
        labels_N = samples["label"].to_numpy().copy()
        of_dataset = [condition.name for condition in conditions if condition.dataset == dataset]
        arrays = {
            (condition, model): _read_logits(folder / manifest["logits"][condition][model], len(labels_N))
            for condition in of_dataset
            for model in names
        }
        ids = samples["sample_id"].to_list()
        # A study of before there were further labels has no such column.
        further = samples["accepted"].to_list() if "accepted" in samples.columns else []
        accepted = {row: tuple(labels) for row, labels in enumerate(further) if labels}
        predictions |= align(arrays, of_dataset, names, ids, labels_N, asked.num_blocks, accepted)
    return StoredStudy(
        manifest["study"],
        manifest["study_hash"],
        asked,
        conditions,
        names,
        np.array([cards[name]["params"] for name in names]),
        np.array([cards[name]["macs"] for name in names]),
        predictions,
        tuple(cards[name].get("architecture") or "" for name in names),
        tuple(cards[name]["training"] for name in names),
    )


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(
            expected=f"a finished study in {folder}",
            found="no manifest.json" if not path.exists() else "a manifest.json that cannot be read",
            next_step="run it first with: nversion study run STUDY.toml",
        ) from error
    if not isinstance(manifest, dict) or "logits" not in manifest:
        raise UserError(
            expected=f"a manifest.json in {folder} that says where the logits are",
            found="one without them",
            next_step="run the study again; what is cached is not computed again",
        )
    return manifest


def _check_same_run(folder: Path, manifest: Mapping[str, Any]) -> None:
    # A run that was killed between its tables and its manifest leaves them of two makes.
    for name in ("models", "conditions", "labels"):
        path = folder / "tables" / f"{name}.parquet"
        if pl.read_parquet_metadata(path).get("study_hash") != manifest["study_hash"]:
            raise UserError(
                expected=f"tables and manifest.json of one run in {folder}",
                found=f"a {name}.parquet of another",
                next_step="run the study again; what is cached is not computed again",
            )


def _read_logits(folder: Path, num_samples: int) -> NDArray[Any]:
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        what = manifest["what"]
        shape, dtype = (what["num_classes"],), what["inference"]["storage"]
        made_with, guard = manifest["made_with"], manifest["guard"]
        array = PartedArray(folder, what, made_with, [(0, num_samples)], shape, dtype, guard)
        whole = manifest["complete"] is not None and what["num_samples"] == num_samples
    except (OSError, ValueError, KeyError, TypeError):
        whole = False
    if not whole or not array.open().complete:
        raise UserError(
            expected=f"the finished logits in {folder}",
            found="none that match their manifest",
            next_step="run the study again: what is missing is computed, the rest is kept",
        )
    return array.read()
