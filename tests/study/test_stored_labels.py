"""Stored predictions carry the labels that count as right to where they are counted."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nversion.core import UserError
from nversion.core.study_files import StudyFiles, write_manifest, write_table
from nversion.study.stored import align, open_stored


def test_further_labels_follow_their_samples_past_unreadable_ones():
    logits_NC = np.eye(3, dtype=np.float16)[[0, 1, 2, 0]]
    logits_NC[1] = np.nan
    labels_N = np.array([0, 1, 1, 1])
    views = align(
        {("d/clean", "a"): logits_NC}, ["d/clean"], ["a"], list("wxyz"), labels_N, 2, {1: (0,), 2: (2,)}
    )
    assert views["d/clean"].rows_N.tolist() == [0, 2, 3]
    assert views["d/clean"].accepted == {1: (2,)}
    (chunk,) = views["d/clean"].chunks()
    assert chunk.right_MN.tolist() == [[True, True, False]]


def rewrite_labels(folder, change):
    """The table of labels of a finished study, changed, as a run would have written it."""
    files = StudyFiles.open(folder)
    facts = pl.read_parquet_metadata(folder / "tables" / "labels.parquet")
    facts = {key: value for key, value in facts.items() if key != "ARROW:schema"}
    digest = write_table(folder, "labels", change(files.read("labels")), facts)
    write_manifest(folder, files.manifest, {**files.digests, "labels": digest})


@pytest.fixture
def copied(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "copied"))


def test_a_finished_study_is_opened_with_its_further_labels(copied):
    further = pl.Series("accepted", [[], [], [0, 1], *[[]] * 9], dtype=pl.List(pl.Int64))
    rewrite_labels(copied, lambda labels: labels.with_columns(further))
    views = open_stored(copied).predictions
    assert {name: view.accepted for name, view in views.items()} == {
        "d/clean": {2: (0, 1)},
        "d/lines-1": {2: (0, 1)},
    }


def test_a_study_without_that_column_is_of_another_version(copied):
    rewrite_labels(copied, lambda labels: labels.select("dataset", "sample_id", "label"))
    with pytest.raises(UserError, match=r"columns of this version in .*labels\.parquet, found .*: accepted;"):
        open_stored(copied)
