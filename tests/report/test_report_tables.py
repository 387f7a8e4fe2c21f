"""Reading a study's folder: what is accepted, and what is said of one that is not."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import polars as pl
import pytest

from nversion.core import UserError
from nversion.report import read_study


@pytest.fixture
def folder(small_study: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "study"
    shutil.copytree(small_study / "tables", copy / "tables")
    shutil.copy(small_study / "manifest.json", copy)
    return copy


def test_a_folder_that_is_no_study_is_told_how_to_become_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no manifest.json, .*run `nversion study run STUDY.toml`"):
        read_study(tmp_path)


def test_a_folder_that_does_not_exist_is_said_not_to(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"found no such folder; run `nversion study run STUDY\.toml`"):
        read_study(tmp_path / "nowhere")


def test_a_missing_table_is_named(folder: Path) -> None:
    (folder / "tables" / "models.parquet").unlink()
    with pytest.raises(UserError, match=r"found no tables/models\.parquet"):
        read_study(folder)


def test_a_missing_column_is_named(folder: Path) -> None:
    path = folder / "tables" / "models.parquet"
    pl.read_parquet(path).drop("top1_low").write_parquet(path)
    with pytest.raises(UserError, match=r"found no top1_low; run .* again with this version"):
        read_study(folder)


def test_a_file_that_is_no_parquet_is_named(folder: Path) -> None:
    (folder / "tables" / "ensembles.parquet").write_text("no table")
    with pytest.raises(UserError, match=r"a parquet file at .*ensembles\.parquet"):
        read_study(folder)


def test_a_broken_manifest_is_named(folder: Path) -> None:
    (folder / "manifest.json").write_text("{")
    with pytest.raises(UserError, match=r"JSON in .*manifest\.json"):
        read_study(folder)


def test_a_condition_without_its_row_is_named(folder: Path) -> None:
    path = folder / "tables" / "conditions.parquet"
    pl.read_parquet(path).head(1).write_parquet(path)
    with pytest.raises(UserError, match=r"no row for val/lines-1\.6, val/plasma_noise-4"):
        read_study(folder)


def test_optional_tables_may_be_absent(folder: Path) -> None:
    for name in ("diversity", "correlations", "samples", "maps", "metrics", "pairs"):
        (folder / "tables" / f"{name}.parquet").unlink()
    study = read_study(folder)
    assert study.samples.is_empty()
    assert study.metric_names == ["mean_member_accuracy"]


def test_null_and_nan_are_both_undefined(folder: Path) -> None:
    path = folder / "tables" / "models.parquet"
    pl.read_parquet(path).with_columns(pl.lit(None, pl.Float64).alias("top5")).write_parquet(path)
    assert all(math.isnan(value) for value in read_study(folder).models["top5"])


def test_the_clean_condition_comes_first_and_corruptions_know_theirs(folder: Path) -> None:
    study = read_study(folder)
    assert (study.first_condition, study.sizes, study.default_size) == ("val/clean", [2, 3], 3)
    assert study.clean_twin("val/lines-1.6") == "val/clean"
    assert study.name == json.loads((folder / "manifest.json").read_text())["study"]


def test_the_geometric_mean_is_not_told_twice(folder: Path) -> None:
    assert read_study(folder).consensus == ["average", "probability", "median", "vote"]
