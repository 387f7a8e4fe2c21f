"""Which devices a recipe names, and what Fabric is asked for."""

import lightning_fabric
import pytest

from nversion.core import UserError
from nversion.training import parse_recipe, train_recipe

MEMBER = {
    "arch": "python:nversion.training.small_networks:build",
    "args": {"name": "resnet", "num_classes": 10},
}


def recipe(**train):
    content = {
        "train": {"name": "try", "epochs": 1, **train},
        "data": {"train": {"source": "digits", "split": "train", "count": 100}},
        "canonical": {"size": 32, "mode": "squash"},
        "members": [MEMBER],
    }
    return parse_recipe(content, "a test")["try"]


class AskedError(Exception):
    pass


@pytest.mark.parametrize(
    ("train", "accelerator", "devices"),
    [
        ({"device": "cuda:1"}, "cuda", [1]),
        ({"device": "cuda:0"}, "cuda", [0]),
        ({"device": "cuda"}, "cuda", 1),
        ({"device": "cuda", "devices": 2}, "cuda", 2),
        ({"device": "cpu"}, "cpu", 1),
        ({}, "auto", 1),
    ],
)
def test_fabric_gets_the_device_that_the_recipe_names(tmp_path, monkeypatch, train, accelerator, devices):
    asked = {}

    def fabric(**settings):
        asked.update(settings)
        raise AskedError

    monkeypatch.setattr(lightning_fabric, "Fabric", fabric)
    with pytest.raises(AskedError):
        train_recipe(recipe(**train), tmp_path)
    assert (asked["accelerator"], asked["devices"]) == (accelerator, devices)


def test_several_devices_have_no_index():
    message = r"train\.devices in a test, found 2 \(cuda:1 is one device; several are counted from the first"
    with pytest.raises(UserError, match=message):
        recipe(device="cuda:1", devices=2)


@pytest.mark.parametrize("device", ["cuda:", "cuda:one", "cpu:0", "the second"])
def test_what_is_no_device_is_refused(device):
    with pytest.raises(UserError, match=r"a sound value of train\.device in a test, found "):
        recipe(device=device)


def test_a_device_that_is_not_there_is_named(tmp_path):
    message = r"a device that this machine has, found device = 'cuda:99', devices = 1; set device = \"auto\""
    with pytest.raises(UserError, match=message):
        train_recipe(recipe(device="cuda:99"), tmp_path)
