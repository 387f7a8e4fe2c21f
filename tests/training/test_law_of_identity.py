"""For every field of a recipe: another value is another training, or the field is named here."""

from __future__ import annotations

import pytest

from nversion.core import UserError, fingerprint
from nversion.training import TrainingRecipe, open_data
from nversion.training.identity import WITHOUT_EFFECT, what_weights_depend_on
from nversion.training.members import build_members
from nversion.training.self_supervised import backbone_identity

NETWORK = """
from torch import nn

def build(width=4):
    return nn.Sequential(nn.Flatten(), nn.Linear(192, width), nn.Linear(width, 10))

def other():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 5), nn.Linear(5, 10))
"""
DIGITS = {"source": "digits", "split": "train", "count": 100}
CONTENT = {
    "train": {"name": "try", "epochs": 4, "batch_size": 32, "device": "cpu"},
    "data": {"train": DIGITS},
    "canonical": {"size": 8, "mode": "squash"},
    "members": [{"arch": "python:net.py:build", "name": "net"}],
    "preprocessing": {},
    "pretraining": {"epochs": 2},
}
UNCHANGED = {
    "train.device": "where it runs: rounding alone",
    "train.threads": "where it runs: rounding alone",
    "train.workers": "who decodes; each sample has its own generator",
    "train.tensorboard": "a copy of the diary",
    "train.checkpoint_steps": "a killed run resumes to the same bytes; with when_diverged = keep it counts",
}
"""Fields on which no weight depends, and why."""

PROBES = {
    "data": [{"train": DIGITS | {"count": 101}}],
    "train.seeds": [[1]],
    "loss": [{"name": "independent", "label_smoothing": 0.1}],
    "optimizer": [{"name": "adamw", "learning_rate": 0.1}],
    "schedule": [{"name": "cosine"}],
    "maps.method": ["input_x_gradient"],
    "strategy.name": ["independent"],
    "members.arch": ["python:net.py:other"],
    "members.args": [{"width": 5}],
    "pretraining.optimizer": [{"name": "adamw", "learning_rate": 0.1}],
    "pretraining.schedule": [{"name": "constant"}],
    "teacher": [[{"source": "python:net.py:build", "name": "t"}]],
}
BACKBONE = {"canonical", "members.arch", "members.args", "members.weights", "preprocessing", "pretraining"}
"""Fields and tables on which the bytes of a pretrained backbone depend (and the training data)."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("law")
    (folder / "net.py").write_text(NETWORK)
    return folder


def training(recipe, folder) -> str:
    fixed = what_weights_depend_on(recipe, open_data(recipe, folder), [], folder)
    return fingerprint([fixed, recipe.train.seeds[0]])  # as `train_recipe` does for each seed


def backbone(recipe, folder) -> str:
    (network, *_), (facts, *_) = build_members(recipe, 10, recipe.pretraining.seed, folder)
    return backbone_identity(recipe, network, facts, open_data(recipe, folder).train.fingerprint)


def all_changed(fields, without=()):
    for path, annotation in fields.fields_of(TrainingRecipe):
        if path not in without:
            yield path, fields.changed(TrainingRecipe, CONTENT, path, annotation, PROBES.get(path, ()))


def test_changing_any_field_but_the_named_ones_is_another_training(fields, folder):
    before = training(TrainingRecipe.model_validate(CONTENT), folder)
    same = {path for path, recipe in all_changed(fields) if training(recipe, folder) == before}
    assert same == set(UNCHANGED)


def test_named_fields_exist_and_are_those_of_the_code(fields):
    paths = [path for path, _ in fields.fields_of(TrainingRecipe)]
    assert set(UNCHANGED) | set(PROBES) <= set(paths)
    assert {f"train.{name}" for name in WITHOUT_EFFECT} == set(UNCHANGED) - {"train.checkpoint_steps"}
    assert len(paths) > 70


def test_a_checkpoint_counts_where_it_may_become_the_result(fields, folder):
    keep = CONTENT | {"train": {**CONTENT["train"], "when_diverged": "keep"}}
    other = fields.changed(TrainingRecipe, keep, "train.checkpoint_steps", int)
    assert training(other, folder) != training(TrainingRecipe.model_validate(keep), folder)


def test_a_backbone_depends_on_its_tables_and_on_nothing_else(fields, folder):
    before = backbone(TrainingRecipe.model_validate(CONTENT), folder)
    found = set()
    for path, recipe in all_changed(fields):
        try:
            same = backbone(recipe, folder) == before
        except UserError:  # such as starting weights that are no file
            same = path != "members.weights"
        if not same:
            found.add(path)
    expected = {
        path
        for path, _ in fields.fields_of(TrainingRecipe)
        if path in BACKBONE or path.partition(".")[0] in BACKBONE
    }
    assert found == expected | {"data", "train.precision"}
