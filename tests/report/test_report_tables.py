"""Reading a study's folder: what is accepted, and the errors of what is not."""

from __future__ import annotations

import json
import math
import random
import shutil
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from nversion.core import UserError, write_record
from nversion.core.sealed import append_record
from nversion.report import read_study


@pytest.fixture
def folder(small_study: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "study"
    shutil.copytree(small_study / "tables", copy / "tables")
    shutil.copy(small_study / "manifest.json", copy)
    return copy


def table(folder: Path, name: str) -> Path:
    return folder / "tables" / f"{name}.parquet"


def chosen(synthetic: ModuleType, folder: Path) -> Path:
    """A small study with a selection."""
    shape = synthetic.Shape(num_models=3, num_images=50, datasets=("d",), num_corruptions=1, selection=True)
    written: Path = synthetic.write_study(folder, shape)
    return written


def test_a_folder_that_is_no_study_is_refused_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no manifest.json; run `nversion study run STUDY.toml`"):
        read_study(tmp_path)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"found no such folder; run `nversion study run STUDY\.toml`"):
        read_study(tmp_path / "nowhere")


AGAIN = r"`nversion study run STUDY\.toml --folder .*` computes it again from the stored predictions"


def test_a_missing_table_is_named(folder: Path) -> None:
    table(folder, "models").unlink()
    with pytest.raises(UserError, match=rf"models\.parquet as the run .*, found no such file; {AGAIN}"):
        read_study(folder)


@pytest.mark.parametrize("name", ["ensembles", "samples", "correlations"])
def test_a_table_of_another_study_is_refused_by_name(folder: Path, name: str) -> None:
    pl.read_parquet(table(folder, name)).write_parquet(table(folder, name), metadata={"study_hash": "other"})
    with pytest.raises(UserError, match=rf"{name}\.parquet as the run .*, found other bytes: .*; {AGAIN}"):
        read_study(folder)


def test_what_is_no_table_is_refused_by_name(folder: Path, synthetic: ModuleType) -> None:
    table(folder, "ensembles").write_text("no table")
    with pytest.raises(UserError, match=r"ensembles\.parquet as the run .*, found .*12 bytes"):
        read_study(synthetic.seal(folder))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"seal": 1}', "[" * 100_000, '"' + "9" * 5000]
)
def test_a_broken_manifest_is_named(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest\.json as it was written, found other bytes"):
        read_study(folder)


def test_a_manifest_of_another_version_is_named(folder: Path) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    content = {key: value for key, value in content.items() if key != "seal"}
    write_record(folder / "manifest.json", content | {"format": 1})
    with pytest.raises(UserError, match=r"a manifest of format 3 in .*, found format: Input should be 3"):
        read_study(folder)


def test_optional_tables_may_be_absent(folder: Path, synthetic: ModuleType) -> None:
    for name in ("diversity", "correlations", "samples", "maps", "metrics", "pairs"):
        table(folder, name).unlink()
    study = read_study(synthetic.seal(folder))
    assert study.table("samples").is_empty()
    assert study.metric_names == ["mean_member_accuracy"]


def test_a_table_that_is_not_in_the_manifest_is_not_read(folder: Path, synthetic: ModuleType) -> None:
    votes = table(folder, "votes").read_bytes()
    table(folder, "votes").unlink()
    synthetic.seal(folder)
    table(folder, "votes").write_bytes(votes)
    assert read_study(folder).table("votes").is_empty()


def test_every_flipped_bit_of_a_table_is_found(folder: Path) -> None:
    rng = random.Random(0)
    for path in sorted((folder / "tables").iterdir()):
        whole = path.read_bytes()
        for _ in range(4):
            damaged = bytearray(whole)
            damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
            path.write_bytes(damaged)
            with pytest.raises(UserError, match=rf"{path.name} as the run .* left it, found other bytes"):
                read_study(folder)
        path.write_bytes(whole)
    read_study(folder)


def test_a_selection_is_read_with_its_settings(synthetic: ModuleType, tmp_path: Path) -> None:
    choice = read_study(chosen(synthetic, tmp_path)).selection
    assert choice is not None
    assert (choice.facts["seen"], choice.facts["candidates"]) == (["d/clean"], 10)
    row = choice.row("chosen", "held_out", "unseen")
    assert row is not None
    assert row["difference"] == pytest.approx(0.01)
    assert choice.row("best_in_hindsight", "selection", "seen") is None


def test_the_log_of_selections_is_read_with_the_number_of_damaged_lines(folder: Path) -> None:
    log = folder / "selection-log.jsonl"
    for number in range(3):
        append_record(log, {"number": number})
    log.write_text(log.read_text().replace('"number": 1', '"number": 7') + "cut o")
    study = read_study(folder)
    assert [line["number"] for line in study.selections] == [0, 2]
    assert study.damaged_selections == 2


def test_null_and_nan_are_both_undefined(folder: Path, synthetic: ModuleType) -> None:
    path = table(folder, "models")
    pl.read_parquet(path).with_columns(pl.lit(None, pl.Float64).alias("top5")).write_parquet(path)
    assert all(math.isnan(value) for value in read_study(synthetic.seal(folder)).models["top5"])


def test_the_clean_condition_comes_first_and_corruptions_know_theirs(folder: Path) -> None:
    study = read_study(folder)
    assert (study.first_condition, study.sizes, study.default_size) == ("val/clean", [2, 3], 3)
    assert study.clean_twin("val/lines-1.6") == "val/clean"
    assert study.name == json.loads((folder / "manifest.json").read_text())["study"]


def test_the_geometric_mean_is_left_out_where_averaging_is_there(folder: Path) -> None:
    assert read_study(folder).consensus == ["average", "probability", "median", "vote"]
