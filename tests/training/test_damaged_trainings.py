"""A damaged file of a training is set aside and named, and the same bytes come out in the end.

`FLIPS=60 pytest tests/training/test_damaged_trainings.py --timeout 0` turns 60 bits of each file over, one at
a time, in place of 6.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
from pathlib import Path

import polars as pl
import pytest

from nversion.core import read_record, write_record
from nversion.training import loop, parse_recipe, train_recipe
from nversion.training.finished import SUMMARY, Summary, clear

FLIPS = int(os.environ.get("FLIPS", "6"))
NETWORK = """
from torch import nn

def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 10))
"""


def recipe(folder: Path, **changes):
    content = {
        "train": {"name": "try", "epochs": 2, "batch_size": 32, "device": "cpu", "checkpoint_steps": 1},
        "data": {
            "train": {"source": "digits", "split": "train", "count": 100},
            "validation": {"source": "digits", "split": "test", "count": 40},
        },
        "canonical": {"size": 8, "mode": "squash"},
        "members": [{"arch": f"python:{folder}/net.py:build", "name": "net", "count": 2}],
        "strategy": {"name": "independent"},
        "optimizer": {"name": "adamw", "learning_rate": 0.01},
    }
    return parse_recipe(content | changes, "a test")["try"]


class KilledError(Exception):
    pass


def killed_in_the_second_stage(given, folder: Path, monkeypatch) -> None:
    steps, backward = 0, loop.total

    def dying(terms):
        nonlocal steps
        steps += 1
        if steps == 10:  # of 6 a stage
            raise KilledError
        return backward(terms)

    monkeypatch.setattr(loop, "total", dying)
    with pytest.raises(KilledError):
        train_recipe(given, folder)
    monkeypatch.undo()


def weights(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.safetensors")}


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NETWORK)
    train_recipe(recipe(tmp_path), tmp_path / "whole")
    return tmp_path / "whole"


def bits(path: Path, count: int) -> list[int]:
    rng = random.Random(path.name)
    return [rng.randrange(8 * path.stat().st_size) for _ in range(count)]


@pytest.mark.parametrize("name", ["stage-0.pt", "checkpoint.pt"])
def test_a_damaged_checkpoint_is_set_aside_and_its_stage_trained_again(
    mutations, whole, tmp_path, monkeypatch, name
):
    killed_in_the_second_stage(recipe(tmp_path), tmp_path / "killed", monkeypatch)
    for number, bit in enumerate(bits(tmp_path / "killed/seed-0" / name, FLIPS)):
        shutil.copytree(tmp_path / "killed", folder := tmp_path / f"damaged-{number}")
        path = folder / "seed-0" / name
        path.write_bytes(mutations.flipped(path.read_bytes(), bit))
        set_aside: list[str] = []
        train_recipe(recipe(tmp_path), folder, set_aside=set_aside)
        assert set_aside == [f"{path}.set-aside-0"], bit
        assert weights(folder) == weights(whole)
        assert not list(folder.rglob("*.pt"))


@pytest.mark.parametrize("name", ["training.json", "net-0.safetensors", "net-1.safetensors"])
def test_damaged_results_are_set_aside_and_trained_again(mutations, whole, tmp_path, name):
    good, changed_nothing = weights(whole), 0
    for number, bit in enumerate(bits(whole / "seed-0" / name, FLIPS)):
        shutil.copytree(whole, folder := tmp_path / f"damaged-{number}")
        path = folder / "seed-0" / name
        path.write_bytes(damaged := mutations.flipped(path.read_bytes(), bit))
        set_aside: list[str] = []
        train_recipe(recipe(tmp_path), folder, set_aside=set_aside)
        changed_nothing += not set_aside  # white space of JSON
        if set_aside:
            assert set_aside[0] == f"{path}.set-aside-0", bit
            assert Path(set_aside[0]).read_bytes() == damaged
        assert weights(folder) == good
    assert changed_nothing <= (FLIPS / 6) * (name == "training.json")


def test_a_damaged_or_missing_diary_is_written_again_without_training(whole, tmp_path, monkeypatch):
    diary = whole / "seed-0" / "metrics.parquet"
    good = diary.read_bytes()
    monkeypatch.setattr(loop, "total", lambda terms: (_ for _ in ()).throw(KilledError))
    diary.write_bytes(good[:50] + b"x" + good[51:])
    set_aside: list[str] = []
    train_recipe(recipe(tmp_path), whole, set_aside=set_aside)
    assert diary.read_bytes() == good and set_aside == [f"{diary}.set-aside-0"]
    diary.unlink()
    train_recipe(recipe(tmp_path), whole, set_aside=set_aside)
    assert diary.read_bytes() == good and len(set_aside) == 1
    assert pl.read_parquet(diary).height > 10


@pytest.mark.parametrize("file", ["../../precious.safetensors", "/precious", "..", "a/b", "", "link"])
def test_a_summary_that_names_files_elsewhere_reaches_none_of_them(whole, tmp_path, file):
    precious = tmp_path / "precious.safetensors"
    precious.write_bytes(b"precious")
    place = whole / "seed-0"
    (place / "link").symlink_to(precious)
    summary = read_record(place / SUMMARY)
    summary["members"][0]["file"] = file
    write_record(place / SUMMARY, summary)
    good, set_aside = weights(whole), []
    train_recipe(recipe(tmp_path), whole, set_aside=set_aside)
    assert precious.read_bytes() == b"precious"
    assert set_aside[0] == f"{place / SUMMARY}.set-aside-0"
    assert weights(whole) == good


def test_a_summary_of_any_shape_is_set_aside(mutations, whole, tmp_path):
    place = whole / "seed-0"
    summary = read_record(place / SUMMARY)
    good = weights(whole)
    for what, mutant in mutations.mutations_of(summary, seed=2, count=12, nulls=True):
        write_record(place / SUMMARY, json.loads(json.dumps(mutant, default=str)))
        mutations.outcome(lambda _: train_recipe(recipe(tmp_path), whole), None, what)
        if (found := read_record(place / SUMMARY)) and found["identity"] == summary["identity"]:
            assert weights(whole) == good, what
        write_record(place / SUMMARY, summary)


def test_a_diary_may_hold_values_that_are_not_finite(whole):
    path = whole / "seed-0" / SUMMARY
    found = Summary(**read_record(path)).model_copy(
        update={"diary": [(0, 1.0, 2, "train", "loss", "", math.nan)]}
    )
    write_record(path, found.model_dump(mode="json"))
    assert math.isnan(Summary(**read_record(path)).diary[0][-1])


def test_stages_that_a_kill_after_the_summary_left_are_removed(whole, tmp_path):
    place = whole / "seed-0"
    for name in ("stage-0.pt", "stage-1.pt", "checkpoint.pt"):
        (place / name).write_bytes(b"left")
    before = weights(whole)
    train_recipe(recipe(tmp_path), whole)
    assert weights(whole) == before and not list(place.glob("*.pt"))


def test_clearing_keeps_what_was_set_aside(tmp_path):
    (tmp_path / "stage-0.pt.set-aside-0").write_bytes(b"damaged")
    (tmp_path / "stage-0.pt").write_bytes(b"left")
    clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["stage-0.pt.set-aside-0"]
