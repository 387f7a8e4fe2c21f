"""The paper's section 4.3 at three scales: its parameters, and real steps of every variant."""

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from nversion.losses import TrainingBatch, make_loss, total
from nversion.models import load_classifier
from nversion.training import open_data, parse_recipe, read_recipe, train_recipe
from nversion.training.members import Members, build_members
from nversion.training.optimizers import make_optimizer, make_schedule

RECIPES = Path(__file__).parents[2] / "recipes"
DIGITS = read_recipe(RECIPES / "enforcement-digits.toml")
CIFAR10 = read_recipe(RECIPES / "enforcement-cifar10.toml")
IMAGENET = read_recipe(RECIPES / "enforcement-imagenet.toml")

SEVEN = {
    "independent": {"name": "independent"},
    "gncl-average": {"name": "gncl", "consensus": "average", "weight": 0.2},
    "gncl-median": {"name": "gncl", "consensus": "median", "weight": 0.2},
    "gncl-geometric": {
        **{"name": "gncl", "consensus": "geometric_mean", "space": "probabilities", "weight": 0.2},
    },
    "gncl-vote": {"name": "gncl", "consensus": "vote", "space": "probabilities", "weight": 0.2},
    "gncl-masked": {"name": "gncl", "consensus": "average", "mask_wrong": True, "weight": 0.2},
    "balanced": {"name": "balanced", "weight": 0.2},
}
COSINE = {"name": "attribution_cosine", "weight": 0.5}


def eq8(*weights):
    return {f"eq8-{weight:g}": {"name": "attribution_variance", "weight": weight} for weight in weights}


def changed(recipe, **tables):
    content = recipe.model_dump(mode="json", exclude_none=True)
    for table, value in tables.items():
        content[table] = {**content[table], **value} if table == "train" else value
    return parse_recipe(content, "a test")[recipe.train.name]


def noise(path, num_classes, size):
    """A file of two generated images, and its table."""
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    np.savez(path, x=images, y=np.array([0, num_classes - 1]))
    return {"source": "npz", "path": str(path), "label_space": "noise", "num_classes": num_classes}


@pytest.mark.parametrize(
    ("variants", "weights"),
    [(DIGITS, [0.001]), *((v, [10, 1, 0.1, 0.01, 0.001]) for v in (CIFAR10, IMAGENET))],
)
def test_the_variants_are_the_seven_heuristics_eq_8_and_its_successor(variants, weights):
    expected = {**SEVEN, **eq8(*weights), "cosine": COSINE}
    assert {name: recipe.loss for name, recipe in variants.items()} == expected
    assert all(recipe.num_members == 3 and recipe.strategy.name == "joint" for recipe in variants.values())


@pytest.mark.parametrize("recipe", [*CIFAR10.values(), *IMAGENET.values()])
def test_at_full_size_the_parameters_are_those_of_section_4_3(recipe):
    assert (recipe.train.epochs, recipe.train.batch_size) == (100, 64)
    (group,) = make_optimizer(recipe.optimizer, [torch.nn.Parameter(torch.zeros(1))]).param_groups
    assert (group["lr"], tuple(group["betas"]), group["eps"]) == (1e-3, (0.9, 0.999), 1e-8)
    assert (group["rectify"], group["weight_decay"]) == (False, 0.0)
    factors = [make_schedule(recipe.schedule)(epoch, 100) for epoch in (0, 29.9, 30, 60, 99.9)]
    assert factors == pytest.approx([1, 1, 0.1, 0.01, 0.001])
    assert (recipe.maps.method, recipe.maps.images) == ("saliency", None)


def test_on_imagenet_transforms_are_those_of_table_iii():
    recipe = IMAGENET["independent"]
    assert (recipe.canonical.size, recipe.augment.crop_scale, recipe.augment.flip) == (224, (0.08, 1.0), 0.5)
    assert recipe.augment.crop_ratio == pytest.approx((3 / 4, 4 / 3))
    assert recipe.preprocessing.mean == (0.485, 0.456, 0.406)
    assert recipe.preprocessing.std == (0.229, 0.224, 0.225)


@pytest.mark.parametrize("name", list(DIGITS))
def test_on_digits_every_variant_takes_steps_that_are_finite_or_told_as_diverged(tmp_path, name):
    few = {"train": {"source": "digits", "split": "train", "count": 160}}
    recipe = changed(DIGITS[name], train={"epochs": 2}, data=few)
    (ensemble,) = train_recipe(recipe, tmp_path, base=RECIPES)
    diary = pl.read_parquet(ensemble.folder / "metrics.parquet")
    losses = diary.filter(pl.col("metric") == "loss")["value"]
    assert ensemble.diverged or (len(losses) == 2 and losses.is_finite().all())
    start = build_members(recipe, 10, 0, RECIPES)[0]
    for member, before in zip(ensemble.members, start, strict=True):
        after = load_classifier({"source": f"file:{member.path}"}).module.state_dict()
        moved = [not torch.equal(after[key], value) for key, value in before.named_parameters()]
        assert ensemble.diverged or all(moved)


@pytest.mark.parametrize("variants", [DIGITS, CIFAR10, IMAGENET])
def test_all_variants_of_a_seed_start_from_the_same_weights_and_see_the_same_batches(variants):
    # Weights follow from the seed, the position and the members' tables; batches from the rest.
    same = ("train", "data", "members", "canonical", "augment", "preprocessing", "strategy", "pretraining")
    first, *others = (
        recipe.model_dump(include=set(same), exclude={"train": {"name"}}) for recipe in variants.values()
    )
    assert all(other == first for other in others)


def test_on_digits_the_first_weights_of_two_variants_are_equal_bytes():
    first, second = (build_members(DIGITS[name], 10, 0, RECIPES)[0] for name in ("gncl-vote", "cosine"))
    for one, other in zip(first, second, strict=True):
        assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())
    assert not torch.equal(first[0][0].weight, first[1][0].weight)


@pytest.fixture(scope="module")
def cifar10_members():
    """Three ResNet50 of the recipe, and their first weights."""
    recipe = CIFAR10["independent"]
    modules, facts = build_members(recipe, 10, 0, RECIPES)
    members = Members(modules, [fact.preprocessing for fact in facts], recipe.maps).train()
    return members, {key: value.clone() for key, value in members.state_dict().items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CIFAR10))
def test_on_cifar10_every_variant_takes_a_step_at_full_architecture(cifar10_members, name):
    members, start = cifar10_members
    members.load_state_dict(start)
    recipe, labels = CIFAR10[name], torch.tensor([0, 9])
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    optimizer, loss = make_optimizer(recipe.optimizer, members.parameters()), make_loss(recipe.loss)
    outputs = members(images, labels, loss.needs)
    assert outputs.logits_MNC.shape == (3, 2, 10)
    value = total(loss(TrainingBatch(outputs.logits_MNC, labels, outputs.maps_MNP, epoch=0.0)))
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    assert math.isfinite(value.item())
    for key, parameter in members.named_parameters():
        assert parameter.isfinite().all() and not torch.equal(parameter, start[key]), key


@pytest.mark.slow
def test_the_cifar10_recipe_trains_to_members_that_a_study_can_load(tmp_path):
    recipe = changed(
        CIFAR10["balanced"],
        train={"epochs": 1, "batch_size": 2, "device": "cpu", "empty_classes": True},
        data={"train": noise(tmp_path / "two.npz", 10, 32)},
    )
    (ensemble,) = train_recipe(recipe, tmp_path)
    for member in ensemble.members:
        card = load_classifier({"source": f"file:{member.path}"}).card
        assert (card.input_size, card.macs, card.training) == (32, 1297829888, "balanced")
        member.path.unlink()


@pytest.mark.slow
def test_the_imagenet_recipe_trains_three_resnet50(tmp_path):
    recipe = changed(
        IMAGENET["balanced"],
        train={"epochs": 1, "batch_size": 2, "device": "cpu", "empty_classes": True, "label_space": "noise"},
        data={"train": noise(tmp_path / "two.npz", 1000, 64)},
        canonical={"size": 64, "mode": "squash"},  # for the test's time: everything else is the recipe's
    )
    (ensemble,) = train_recipe(recipe, tmp_path)
    assert [member.name for member in ensemble.members] == ["resnet50-0", "resnet50-1", "resnet50-2"]
    for member in ensemble.members:
        card = load_classifier({"source": f"file:{member.path}"}).card
        assert (card.num_parameters, card.architecture) == (25_557_032, "resnet50")
        member.path.unlink()


def test_data_that_is_not_there_is_named_with_the_next_step(tmp_path):
    from nversion.core import UserError

    with pytest.raises(UserError, match=r"the files of torchvision's CIFAR10 in .*cifar10.*download = true"):
        open_data(CIFAR10["balanced"], tmp_path)
