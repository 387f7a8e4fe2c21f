"""Reading a study's folder: what is accepted, and what is said of one that is not."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from nversion.core import UserError
from nversion.report import read_study
from nversion.report.reading import notes

RUN = {"study_hash": "0f3c9a7d51"}  # the one of the made-up manifest


@pytest.fixture
def folder(small_study: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "study"
    shutil.copytree(small_study / "tables", copy / "tables")
    shutil.copy(small_study / "manifest.json", copy)
    return copy


def rewrite(folder: Path, name: str, study_hash: str) -> Path:
    """Let a table say that it is of the run with this hash; returns `folder`."""
    path = folder / "tables" / f"{name}.parquet"
    facts = {k: v for k, v in pl.read_parquet_metadata(path).items() if k != "ARROW:schema"}
    pl.read_parquet(path).write_parquet(path, metadata=facts | {"study_hash": study_hash})
    return folder


def chosen(synthetic: ModuleType, folder: Path) -> Path:
    """A small study that `nversion select` has been run on."""
    shape = synthetic.Shape(num_models=3, num_images=50, datasets=("d",), num_corruptions=1, selection=True)
    written: Path = synthetic.write_study(folder, shape)
    return written


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
    pl.read_parquet(path).drop("top1_low").write_parquet(path, metadata=RUN)
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
    pl.read_parquet(path).head(1).write_parquet(path, metadata=RUN)
    with pytest.raises(UserError, match=r"no row for val/lines-1\.6, val/plasma_noise-4"):
        read_study(folder)


def test_optional_tables_may_be_absent(folder: Path) -> None:
    for name in ("diversity", "correlations", "samples", "maps", "metrics", "pairs"):
        (folder / "tables" / f"{name}.parquet").unlink()
    study = read_study(folder)
    assert study.samples.is_empty()
    assert study.metric_names == ["mean_member_accuracy"]


@pytest.mark.parametrize("name", ["ensembles", "correlations", "pairs"])
def test_a_table_of_another_run_is_refused_by_name(folder: Path, name: str) -> None:
    rewrite(folder, name, "another")
    with pytest.raises(
        UserError,
        match=rf"\(study 0f3c9a7d51\), found tables/{name}\.parquet of study another; "
        r"run the study again: nversion study run STUDY\.toml",
    ):
        read_study(folder)


def test_a_table_that_does_not_say_its_run_is_refused(folder: Path) -> None:
    path = folder / "tables" / "models.parquet"
    pl.read_parquet(path).write_parquet(path)
    with pytest.raises(UserError, match=r"found tables/models\.parquet of an unnamed study"):
        read_study(folder)


@pytest.mark.parametrize("name", ["samples", "maps"])
def test_pictures_of_another_run_are_left_out_and_that_is_said(folder: Path, name: str) -> None:
    rewrite(folder, name, "another")
    study = read_study(folder)
    assert study.left_out == (name,)
    assert getattr(study, name).is_empty()
    assert f"tables/{name}.parquet was made from another run of this study and is left out." in notes(study)


def test_a_selection_of_another_run_is_left_out(synthetic: ModuleType, tmp_path: Path) -> None:
    study = read_study(rewrite(chosen(synthetic, tmp_path), "selection", "another"))
    assert (study.selection, study.left_out) == (None, ("selection",))
    assert f"is left out; `nversion select {tmp_path}` makes it anew." in " ".join(notes(study))


def test_a_selection_is_read_with_its_settings(synthetic: ModuleType, tmp_path: Path) -> None:
    choice = read_study(chosen(synthetic, tmp_path)).selection
    assert choice is not None
    assert (choice.facts["seen"], choice.facts["candidates"]) == (["d/clean"], 10)
    row = choice.row("chosen", "held_out", "unseen")
    assert row is not None
    assert row["difference"] == pytest.approx(0.01)
    assert choice.row("best_in_hindsight", "selection", "seen") is None


def test_a_selection_without_its_settings_is_told_how_to_get_them(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    path = chosen(synthetic, tmp_path) / "tables" / "selection.parquet"
    pl.read_parquet(path).write_parquet(path, metadata={"study_hash": "0f3c9a7d51"})
    with pytest.raises(UserError, match=r"settings of the selection .*; make it again: nversion select "):
        read_study(tmp_path)


def test_null_and_nan_are_both_undefined(folder: Path) -> None:
    path = folder / "tables" / "models.parquet"
    undefined = pl.read_parquet(path).with_columns(pl.lit(None, pl.Float64).alias("top5"))
    undefined.write_parquet(path, metadata=RUN)
    assert all(math.isnan(value) for value in read_study(folder).models["top5"])


def test_the_clean_condition_comes_first_and_corruptions_know_theirs(folder: Path) -> None:
    study = read_study(folder)
    assert (study.first_condition, study.sizes, study.default_size) == ("val/clean", [2, 3], 3)
    assert study.clean_twin("val/lines-1.6") == "val/clean"
    assert study.name == json.loads((folder / "manifest.json").read_text())["study"]


def test_the_geometric_mean_is_not_told_twice(folder: Path) -> None:
    assert read_study(folder).consensus == ["average", "probability", "median", "vote"]
