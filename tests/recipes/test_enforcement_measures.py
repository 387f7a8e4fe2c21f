"""What docs/results/enforcement.md measures of answers, maps and activations."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from nversion.ensembles import Ensembles
from nversion.models import load_classifier

RECIPE = Path(__file__).parents[2] / "recipes" / "enforcement_measures.py"
RESNET = {"name": "resnet", "num_classes": 43}


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location("enforcement_measures", RECIPE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["enforcement_measures"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def inside(recipe):
    """Two equal networks and one of other weights, on 64 images."""
    source = {
        "source": "python:nversion.training.small_networks:build",
        "args": RESNET,
        "label_space": "gtsrb",
    }
    seeds = {"a": 0, "b": 0, "c": 1}
    models = [load_classifier({**source, "name": name, "seed": seed}) for name, seed in seeds.items()]
    return recipe.look_inside(models, torch.rand(64, 3, 32, 32, generator=torch.Generator().manual_seed(0)))


def test_equitability_is_0_for_one_answer_and_1_for_as_many_as_members(recipe):
    predicted_KN = torch.tensor([[4, 1, 1], [4, 2, 1], [4, 3, 2]])
    found_N = recipe.shannon_equitability(predicted_KN)
    two_to_one = 0.5793801642856950  # −(2/3 ln 2/3 + 1/3 ln 1/3)/ln 3
    assert found_N.tolist() == pytest.approx([0, 1, two_to_one])


def test_answers_by_hand(recipe):
    # Two images, classes 0 and 1; two members are right on the first, one on the second.
    logits_MNC = torch.tensor([[[2.0, 0], [0, 1]], [[2.0, 0], [3, 0]], [[0, 1.0], [3, 0]]])
    numbers, right_EN = recipe.of_answers(logits_MNC, torch.tensor([0, 1]), Ensembles.all_of(3, 3))
    assert right_EN.tolist() == [[True, False]]
    assert {name: round(value.item(), 4) for name, value in numbers.items()} == {
        "accuracy": 0.5,
        "gain": -0.5,
        "mean member": 0.5,
        "disagreement": 0.6667,
        "equitability where right": 0.5794,
        "equitability where wrong": 0.5794,
    }


def test_equal_members_have_equal_maps_and_activations(recipe, inside):
    found = recipe.of_inside(inside, Ensembles.of([[0, 1]], 3))
    assert [round(value.item(), 6) for value in found.values()] == [0, 0, 1]


def test_other_weights_give_other_maps_and_activations(recipe, inside):
    raw, unit, cka = (value.item() for value in recipe.of_inside(inside, Ensembles.of([[0, 2]], 3)).values())
    assert raw > 0
    assert 0.05 < unit < 0.5
    assert cka < 0.99
