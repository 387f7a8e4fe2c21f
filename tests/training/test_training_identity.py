"""Whatever can change a weight makes another training: its folder is refused, never taken for this one."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest

from nversion.core import UserError
from nversion.losses import LOSSES
from nversion.training import open_data, parse_recipe, train_recipe
from nversion.training.identity import what_weights_depend_on
from nversion.training.optimizers import OPTIMIZERS, SCHEDULES
from nversion.training.strategies import STRATEGIES

NETWORK = """
from torch import nn

def build(scale=1.0):
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 10))
"""
PLUG_IN = """
from dataclasses import dataclass
import torch
from nversion.losses.base import LOSSES, Loss
from nversion.losses.independent import Independent
from nversion.training.optimizers import OPTIMIZERS, SCHEDULES
from nversion.training.strategies import STRATEGIES, Stage

@LOSSES.register("own")
@dataclass(frozen=True, kw_only=True)
class Own(Loss):
    def __call__(self, batch):
        return Independent()(batch)

@OPTIMIZERS.register("own")
def own_optimizer(*, parameters: list):
    return torch.optim.SGD(parameters, 0.1)

@SCHEDULES.register("own")
def own_schedule():
    return lambda epoch, epochs: 1.0

@STRATEGIES.register("own")
def own_strategy(*, context):
    return iter_stages(context)

def iter_stages(context):
    yield Stage((0,), "shared")
"""

CONTENT = {
    "train": {"name": "try", "epochs": 1, "batch_size": 32, "device": "cpu"},
    "data": {"train": {"source": "digits", "split": "train", "count": 100}},
    "canonical": {"size": 8, "mode": "squash"},
    "members": [{"arch": "python:net.py:build", "name": "net"}],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch):
    (tmp_path / "net.py").write_text(NETWORK)
    for registry in (LOSSES, OPTIMIZERS, SCHEDULES, STRATEGIES):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    return tmp_path


def plug_in(folder: Path, text: str, monkeypatch) -> None:
    """As an installed package is imported: from a file, under its name."""
    import importlib.util

    for registry in (LOSSES, OPTIMIZERS, SCHEDULES, STRATEGIES):
        registry._entries.pop("own", None)
    (path := folder / "some_plug_in.py").write_text(text)
    spec = importlib.util.spec_from_file_location("some_plug_in", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "some_plug_in", module)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before


def identity(folder: Path, **changes) -> str:
    (recipe,) = parse_recipe(copy.deepcopy(CONTENT) | changes, "a test").values()
    return what_weights_depend_on(recipe, open_data(recipe, folder), [], folder)


@pytest.mark.parametrize("part", ["loss", "optimizer", "schedule", "strategy"])
def test_code_of_plug_ins_is_part_of_a_training(folder, monkeypatch, part):
    plug_in(folder, PLUG_IN, monkeypatch)
    before, other = identity(folder, **{part: {"name": "own"}}), identity(folder)
    plug_in(folder, PLUG_IN.replace("0.1", "0.2") + "\nEDITED = True\n", monkeypatch)
    assert identity(folder, **{part: {"name": "own"}}) != before
    assert identity(folder) == other


def test_an_edited_architecture_is_another_training(folder):
    (recipe,) = parse_recipe(copy.deepcopy(CONTENT), "a test").values()
    train_recipe(recipe, folder / "out", base=folder)
    (folder / "net.py").write_text(NETWORK.replace("nn.Flatten(),", "nn.Flatten(), nn.Tanh(),"))
    with pytest.raises(
        UserError, match=r"results of this recipe, seed and data in .*, found those of another"
    ):
        train_recipe(recipe, folder / "out", base=folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"members": [{**CONTENT["members"][0], "args": {"scale": 2.0}}]},
        {"train": {**CONTENT["train"], "batch_size": 16}},
        {"train": {**CONTENT["train"], "devices": 2}},
        {"train": {**CONTENT["train"], "precision": "bf16-mixed"}},
        {"augment": {"flip": 0.0}},
        {"preprocessing": {"mean": [0.0, 0.0, 0.0]}},
        {"data": {"train": {"source": "digits", "split": "train", "count": 101}}},
        {"data": CONTENT["data"] | {"validation": {"source": "digits", "split": "test"}}},
    ],
    ids=str,
)
def test_settings_that_change_weights_make_another_training(folder, changes):
    assert identity(folder, **changes) != identity(folder)


def test_a_checkpoint_step_counts_where_a_checkpoint_may_become_the_result(folder):
    def stepped(**more):
        return [
            identity(folder, train={**CONTENT["train"], **more, "checkpoint_steps": steps})
            for steps in (2, 3)
        ]

    assert len(set(stepped())) == 1
    assert len(set(stepped(when_diverged="keep"))) == 2


def test_where_and_with_what_it_runs_is_no_part_of_a_training(folder):
    there = {"device": "cuda", "workers": 0, "tensorboard": True, "seeds": [0, 1]}
    assert identity(folder, train={**CONTENT["train"], **there}) == identity(folder)


def test_bytes_of_starting_weights_are_part_of_a_training(folder):
    found = []
    for content in (b"a", b"b"):
        (folder / "start.safetensors").write_bytes(content)
        found.append(identity(folder, members=[{**CONTENT["members"][0], "weights": "start.safetensors"}]))
    assert found[0] != found[1]
