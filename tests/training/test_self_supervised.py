"""Self-supervised members: the same bytes after a kill, shared and frozen backbones, views by their keys."""

import copy
import re
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from nversion.core import UserError, generator
from nversion.models import load_classifier
from nversion.training import parse_recipe, self_supervised, train_recipe
from nversion.training.members import Members, build_members, classifier_of
from nversion.training.recipe import PretrainingTable
from nversion.training.views import blurred, jittered, multi_crop, solarized

torch.set_num_threads(1)

CONTENT = {
    "train": {
        "name": "try",
        "epochs": 1,
        "batch_size": 32,
        "device": "cpu",
        "seeds": [5],
        "checkpoint_steps": 2,
    },
    "data": {"train": {"source": "digits", "split": "train", "count": 120}},
    "canonical": {"size": 32, "mode": "squash"},
    "augment": {"crop_scale": [0.8, 1.0], "flip": 0.0},
    "members": [
        {
            "arch": "python:nversion.training.small_networks:build",
            "args": {"name": "resnet", "num_classes": 10},
            "name": "net",
            "frozen": ["backbone"],
        }
    ],
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "pretraining": {
        **{
            "epochs": 2,
            "batch_size": 32,
            "seed": 7,
            "num_local": 2,
            "flip": 0.0,
            "schedule": {"name": "cosine"},
        },
        **{"out_dim": 64, "hidden_dim": 32, "bottleneck_dim": 16},
    },
}


def recipe(**changes):
    content = copy.deepcopy(CONTENT)
    for table, value in changes.items():
        content[table] = {**content.get(table, {}), **value} if isinstance(value, dict) else value
    return parse_recipe(content, "a test")["try"]


def backbones(folder):
    return {path.name: path.read_bytes() for path in (folder / "backbones").glob("*.safetensors")}


def member(ensemble):
    return load_classifier({"source": f"file:{ensemble.members[0].path}"})


def test_a_member_is_a_classifier_that_tells_its_descent(tmp_path):
    (ensemble,) = train_recipe(recipe(), tmp_path)
    card = member(ensemble).card
    assert (card.training, card.training_data) == ("self-supervised", ("digits-train[120 of 896, seed 0]",))
    assert re.fullmatch("dino backbone [0-9a-f]{12}, seed 7", card.initial_weights)
    diary = pl.read_parquet(next((tmp_path / "backbones").glob("*.parquet")))
    assert diary.filter(pl.col("metric") == "dino").height == 2
    entropy = diary.filter(pl.col("metric") == "target_entropy")["value"]
    assert entropy.is_between(0, np.log(64)).all()


def test_seeds_of_the_classifier_share_the_backbone(tmp_path):
    first, second = train_recipe(recipe(train={"seeds": [5, 15]}), tmp_path)
    assert len(backbones(tmp_path)) == 1
    a, b = (dict(member(e).module.state_dict()) for e in (first, second))
    differ = {key for key in a if not torch.equal(a[key], b[key])}
    classifier = classifier_of(member(first).module)[0]
    assert differ == {f"{classifier}.weight", f"{classifier}.bias"}


def test_seeds_of_the_backbone_give_others(tmp_path):
    train_recipe(recipe(), tmp_path / "a", backbones=tmp_path / "backbones")
    train_recipe(recipe(pretraining={"seed": 8}), tmp_path / "b", backbones=tmp_path / "backbones")
    assert len(set(backbones(tmp_path).values())) == 2


class Killed(Exception):  # noqa: N818
    pass


@pytest.mark.parametrize("killed_at", [2, 4, 6])
def test_killed_at_any_step_a_backbone_resumes_to_the_same_bytes(tmp_path, monkeypatch, killed_at):
    (whole,) = train_recipe(recipe(), tmp_path / "whole")
    steps, crops = 0, self_supervised.multi_crop

    def dying(*given):
        nonlocal steps
        steps += 1
        if steps == killed_at:
            raise Killed
        return crops(*given)

    monkeypatch.setattr(self_supervised, "multi_crop", dying)
    with pytest.raises(Killed):
        train_recipe(recipe(), tmp_path / "killed")
    monkeypatch.setattr(self_supervised, "multi_crop", crops)
    (resumed,) = train_recipe(recipe(), tmp_path / "killed")
    assert backbones(tmp_path / "killed") == backbones(tmp_path / "whole")
    assert resumed.members[0].path.read_bytes() == whole.members[0].path.read_bytes()


def test_the_student_comes_to_tell_what_the_teacher_does(tmp_path):
    optimizer = {"name": "adamw", "learning_rate": 2e-3}
    train_recipe(recipe(pretraining={"epochs": 5, "optimizer": optimizer}), tmp_path)
    diary = pl.read_parquet(next((tmp_path / "backbones").glob("*.parquet")))
    loss, entropy = (
        diary.filter(pl.col("metric") == metric)["value"] for metric in ("dino", "target_entropy")
    )
    divergence = loss - entropy  # of the student from the teacher: 1.8 nats in the first epoch
    assert divergence[4] < divergence[0] / 2


def test_a_frozen_backbone_keeps_weights_and_batch_statistics_in_training():
    (module,), (facts,) = build_members(recipe(), 10, 0, Path())
    members = Members([module], [facts.preprocessing], recipe().maps).train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    members(torch.rand(8, 3, 32, 32), torch.zeros(8, dtype=torch.int64))
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    classifier, layer = classifier_of(module)
    learned = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    assert learned == {f"{classifier}.weight", f"{classifier}.bias"} and layer.training


IMAGES = torch.from_numpy(np.random.default_rng(0).uniform(size=(6, 3, 28, 28)).astype(np.float32))


def test_views_follow_from_their_keys_and_have_their_sizes():
    table = PretrainingTable(epochs=1, num_local=3)
    (globals_, locals_), (again, _), (other, _) = (multi_crop(IMAGES, table, (k,)) for k in "aab")
    assert globals_.shape == (2, 6, 3, 28, 28) and locals_.shape == (3, 6, 3, 12, 12)
    assert torch.equal(globals_, again) and not torch.equal(globals_, other)
    assert globals_.min() >= 0 and globals_.max() <= 1


def test_views_without_any_change_are_the_image():
    none = {"flip": 0, "color": 0, "grey": 0, "blur": 0, "solarize": 0, "num_local": 0}
    whole, local = multi_crop(IMAGES, PretrainingTable(epochs=1, global_crops=(1, 1), **none), ("a",))
    assert torch.allclose(whole, IMAGES.expand(2, -1, -1, -1, -1), atol=1e-5) and len(local) == 0


def test_grey_keeps_the_luma_and_no_strength_keeps_the_colours():
    luma = torch.einsum("nchw,c->nhw", IMAGES, torch.tensor([0.299, 0.587, 0.114]))
    grey = jittered(IMAGES, 0.0, 1.0, generator("a"))
    assert torch.allclose(grey, luma[:, None].expand_as(grey), atol=1e-3)  # YIQ's published digits
    assert torch.allclose(jittered(IMAGES, 0.0, 0.0, generator("a")), IMAGES, atol=1e-5)


def test_blur_keeps_flat_images_and_solarizing_inverts_the_bright_half():
    flat = torch.full((3, 3, 28, 28), 0.25)
    assert torch.allclose(blurred(flat, 1.0, generator("a")), flat, atol=1e-6)
    assert torch.allclose(blurred(IMAGES, 0.0, generator("a")), IMAGES)
    assert blurred(IMAGES, 1.0, generator("a")).std() < IMAGES.std()
    solar = solarized(IMAGES, 1.0, generator("a"))
    assert torch.equal(solar, torch.where(IMAGES >= 0.5, 1 - IMAGES, IMAGES))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pretraining": {"local_crops": [0.5, 0.1]}}, r"pretraining in a test, found .*shares of the area"),
        (
            {"pretraining": {"method": "dinno"}},
            "value of pretraining.method in a test, found 'dinno'",
        ),
        ({"members": CONTENT["members"] * 2}, r"a pretrained backbone is that of one \[\[members\]\] table"),
        (
            {"members": [{**CONTENT["members"][0], "args": {"name": "squeezenet", "num_classes": 10}}]},
            "a network that ends in a linear classifier to pretrain its backbone, found Conv2d",
        ),
        (
            {"pretraining": {"optimizer": {"name": "sgd", "learning_rate": 1e6}, "clip": None}},
            "a finite loss",
        ),
    ],
)
def test_wrong_recipes_are_told(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        train_recipe(recipe(**changes), tmp_path)


def test_without_lightly_the_cure_is_told(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "lightly"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lightly", None)
    with pytest.raises(UserError, match=r'package lightly for .*, found none; .*"nversion\[train\]"'):
        train_recipe(recipe(), tmp_path)
