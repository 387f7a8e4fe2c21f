"""Recipes say what a study knows, and name models that exist."""

import importlib.util
import re
from pathlib import Path

import pytest
import torch

from nversion.core import LabelSpace
from nversion.data import read_costs, read_groups
from nversion.models import expand_pool, list_models
from nversion.study import read_spec

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes"
FILES = sorted(path.name for path in RECIPES.iterdir() if path.is_file())


PAPER = {"plasma_noise": [4.0], "checkerboard_cutout": [4.0], "water_drop": [7.0], "lines": [1.6]}


def named_recipes(text):
    """Paths below recipes/ in a text."""
    return set(re.findall(r"(?<![\w/])recipes/([\w-]+(?:\.\w+)+)", text))


@pytest.mark.parametrize("folder", ["src/nversion", "docs", "recipes", "."])
def test_every_recipe_that_help_or_documentation_names_is_there(folder):
    texts = (ROOT / folder).glob("*.md" if folder == "." else "**/*.*")
    named = {
        (path.name, recipe)
        for path in texts
        if path.suffix in (".md", ".py", ".toml")
        for recipe in named_recipes(path.read_text(encoding="utf-8"))
    }
    assert named, "the search finds no recipe at all"
    assert {pair for pair in named if pair[1] not in {*FILES, "NAME.toml", "index.md"}} == set()


def test_the_list_of_recipes_has_each_of_them_and_no_others():
    listed = set(re.findall(r"`([\w-]+\.(?:toml|py|csv))`", (RECIPES / "README.md").read_text()))
    assert {name for name in FILES if name.endswith((".toml", ".csv"))} <= listed <= set(FILES)


@pytest.mark.parametrize(
    ("name", "corruptions"), [("imagenet", PAPER), ("imagenet-small", PAPER), ("attribution-methods", {})]
)
def test_a_recipe_is_a_sound_study(name, corruptions):
    spec = read_spec(RECIPES / f"{name}.toml")
    assert spec.study.name == name
    assert spec.conditions.corruptions == corruptions


def test_the_hazard_files_name_classes_of_imagenet():
    space = LabelSpace("imagenet-1k", 1000)
    groups = read_groups(RECIPES / "imagenet-groups.toml", space)
    costs_CC = read_costs(RECIPES / "imagenet-costs.csv", space, groups)
    school_bus, trolleybus, traffic_light, tench = 779, 874, 920, 0
    assert groups.names[groups.group_C[school_bus]] == "road vehicle"
    assert groups.group_C[tench] == -1
    assert costs_CC[school_bus, trolleybus] == 0.2
    assert costs_CC[school_bus, traffic_light] == 5
    assert costs_CC[tench, school_bus] == 1
    assert costs_CC[tench, tench] == 0


def test_the_paper_s_models_have_pretrained_weights():
    sources = [model["source"] for model in expand_pool(read_spec(RECIPES / "imagenet.toml").models)]
    known = {listing.source: listing.pretrained for listing in list_models("*")}
    hub = [source for source in sources if not source.startswith("python:")]
    assert len(sources) == 12
    for source in hub:
        architecture, _, tag = source.partition(".")
        assert known[architecture], source
        assert not tag or tag in {weights.partition(".")[2] or weights for weights in known[architecture]}


@pytest.mark.parametrize(("name", "parameters"), [("dino_resnet50", 25.6e6), ("dino_vitb8", 87.3e6)])
def test_dino_rows_have_the_paper_s_number_of_parameters(name, parameters):
    spec = importlib.util.spec_from_file_location("dino_recipe", RECIPES / "dino.py")
    dino = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(dino)
    model, preprocessing = dino.build(name, pretrained=False)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == pytest.approx(parameters, rel=0.005)
    with torch.inference_mode():
        assert model(torch.zeros(1, 3, 224, 224)).shape == (1, 1000)
    assert preprocessing["input_size"] == 224
