"""The paper's Table i at full size: its rows, their published sizes, one real training step of each."""

import copy
import tomllib
from pathlib import Path

import numpy as np
import pytest

from nversion.models import load_classifier
from nversion.training import member_facts, parse_recipe, read_recipe, train_recipe

RECIPE = Path(__file__).parents[2] / "recipes" / "table-i.toml"
VARIANTS = read_recipe(RECIPE)

# (optimizer, learning rate, decay of weights, schedule, epochs, batch size), as the paper's table has them.
ROWS = {
    **dict.fromkeys(
        ["resnext50_32_2", "resnext50_32_4l", "resnext50_16_4", "mnasnet_1"],
        ("sgd", 0.1, 1e-4, "step", 100, 32),
    ),
    "mnasnet_1p": ("rmsprop", 0.256, None, "step", 100, 32),
    "squeezenet_512": ("sgd", 0.01, 2e-4, "step", 100, 512),
    "squeezenet": ("sgd", 0.01, 2e-4, "step", 100, 128),
    "deit_tiny_p16_224": ("adamw", 5e-4, 0.05, "cosine", 300, 256),
    **dict.fromkeys(["dino_deit_tiny1", "dino_deit_tiny2"], ("adamw", 5e-4, 0.04, "cosine", 300, 256)),
    **dict.fromkeys(["dino_resnet1", "dino_resnet2"], ("sgd", 0.03, 1e-4, "cosine", 300, 256)),
}

# Parameters in 10^6 and MACs in 10^9 as published: torchvision's model pages; DeiT's paper for DeiT-tiny.
PUBLISHED = {
    "mnasnet_1": (4.38, 0.31),
    "mnasnet_1p": (4.38, 0.31),
    "squeezenet_512": (1.24, 0.35),
    "squeezenet": (1.24, 0.35),
    "deit_tiny_p16_224": (5.7, 1.26),
    "dino_deit_tiny1": (5.7, 1.26),
    "dino_resnet1": (25.6, 4.09),
}


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_rows_are_trained_as_the_paper_s_table_says(name):
    recipe = VARIANTS[name]
    part = recipe.pretraining or recipe.train  # the optimizer of a DINO row is that of its backbone
    optimizer, schedule = (
        (recipe.pretraining.optimizer, recipe.pretraining.schedule)
        if recipe.pretraining
        else (recipe.optimizer, recipe.schedule)
    )
    said = (optimizer["name"], optimizer["learning_rate"], optimizer.get("weight_decay"), schedule["name"])
    assert (*said, part.epochs, part.batch_size) == ROWS[name]
    assert (recipe.augment.crop_scale, recipe.augment.flip) == ((0.08, 1.0), 0.5)


def test_every_row_but_those_of_the_super_network_is_a_variant():
    assert sorted(VARIANTS) == sorted(ROWS) and len(ROWS) == 14 - 2


def test_dino_rows_have_their_crops_and_seeds():
    found = {
        name: (*recipe.pretraining.local_crops, *recipe.pretraining.global_crops, recipe.pretraining.seed)
        for name, recipe in VARIANTS.items()
        if recipe.pretraining
    }
    assert found["dino_deit_tiny1"] == (0.05, 0.2, 0.4, 1.0, 0)
    assert found["dino_deit_tiny2"] == (0.05, 0.2, 0.4, 1.0, 7)
    assert found["dino_resnet1"] == found["dino_resnet2"] == (0.05, 0.14, 0.14, 1.0, 7)
    seeds = [VARIANTS[name].train.seeds for name in ("dino_resnet1", "dino_resnet2")]
    assert seeds == [[5], [15]]


def test_the_two_resnets_of_dino_share_one_backbone():
    first, second = VARIANTS["dino_resnet1"], VARIANTS["dino_resnet2"]
    assert first.pretraining == second.pretraining
    assert first.members[0].arch == second.members[0].arch


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_sizes_and_costs_are_the_published_ones(name):
    (facts,) = member_facts(VARIANTS[name], 1000, RECIPE.parent)
    parameters, macs = PUBLISHED[name]
    assert facts.num_parameters / 1e6 == pytest.approx(parameters, rel=0.005)
    assert facts.macs / 1e9 == pytest.approx(macs, rel=0.02)


def test_with_the_published_cardinality_and_layers_it_is_the_published_resnext():
    recipe = copy.deepcopy(tomllib.loads(RECIPE.read_text()))
    del recipe["variants"]
    (facts,) = member_facts(parse_recipe(recipe, "a test")["table-i"], 1000, RECIPE.parent)
    assert facts.num_parameters == 25_028_904  # torchvision's page of resnext50_32x4d
    assert facts.macs / 1e9 == pytest.approx(4.23, abs=0.005)


@pytest.fixture(scope="module")
def two_images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    np.savez(folder / "two.npz", x=images, y=np.array([0, 999]))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", list(VARIANTS))
def test_every_row_takes_a_training_step_and_becomes_a_classifier(two_images, name):
    content = VARIANTS[name].model_dump(mode="json", exclude_none=True)
    content["data"] = {
        "train": {
            **{"source": "npz", "path": str(two_images / "two.npz"), "label_space": "imagenet-1k"},
            **{"num_classes": 1000},
        }
    }
    content["train"] |= {"epochs": 1, "batch_size": 2, "empty_classes": True, "device": "cpu"}
    if "pretraining" in content:
        content["pretraining"] |= {"epochs": 1, "batch_size": 2, "num_local": 1}
    recipe = parse_recipe(content, "a test")[name]
    (ensemble,) = train_recipe(recipe, two_images / name, backbones=two_images / "backbones")
    (member,) = ensemble.members
    card = load_classifier({"source": f"file:{member.path}"}).card
    assert card.label_space.num_classes == 1000 and card.input_size == 224
    assert card.training == ("self-supervised" if name.startswith("dino") else "independent")
    member.path.unlink()
