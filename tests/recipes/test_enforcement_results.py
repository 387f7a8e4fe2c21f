"""How docs/results/enforcement.md compares ensembles: in pairs, over seeds and tracks."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture(scope="module")
def recipe():
    sys.path.insert(0, str(RECIPES))  # its modules import one another
    yield importlib.import_module("enforcement_results")
    sys.path.remove(str(RECIPES))


def test_one_difference_on_every_image_has_no_width(recipe):
    ours_SN, theirs_SN = np.ones((3, 40), dtype=bool), np.zeros((3, 40), dtype=bool)
    assert recipe.paired_interval(ours_SN, theirs_SN, np.arange(40)) == (1, 1, 1)


def test_frames_of_one_track_are_one_observation(recipe):
    ours_SN = np.repeat(np.random.default_rng(0).random((1, 100)) < 0.6, 10, axis=1)
    theirs_SN = ~ours_SN
    mean, low, high = recipe.paired_interval(ours_SN, theirs_SN, np.repeat(np.arange(100), 10))
    share = ours_SN.mean()
    assert mean == pytest.approx(2 * share - 1)
    assert high - low == pytest.approx(2 * 1.96 * 2 * np.sqrt(share * (1 - share) / 100), rel=0.1)
    _, low_of_frames, high_of_frames = recipe.paired_interval(ours_SN, theirs_SN, np.arange(1000))
    assert high_of_frames - low_of_frames < (high - low) / 2.5


def test_seeds_that_differ_widen_the_interval(recipe):
    theirs_SN = np.zeros((2, 50), dtype=bool)
    ours_SN = np.array([[True] * 50, [False] * 50])
    assert recipe.paired_interval(ours_SN, theirs_SN, np.arange(50)) == (0.5, 0, 1)


def test_accuracies_are_told_as_differences_from_the_independent_members(recipe):
    right = {
        ("evaluate", "clean", "independent"): [np.array([True, False, True, False])] * 2,
        ("evaluate", "clean", "other"): [np.array([True, True, True, True])],
    }
    numbers = {key: [{}] for key in right}
    diverged = {"independent": 0, "other": 1}
    lines = recipe.accuracy_tables(numbers, right, diverged, np.array([0, 0, 1, 1]))
    assert "| independent | 2 | 50.0% (all of it) |" in lines
    assert "| other (1 diverged) | 1 | +50.0 [+50.0, +50.0] ↑ |" in lines
