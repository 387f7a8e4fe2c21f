"""Slips in calls of the front door: one sentence each."""

import numpy as np
import pytest

import nversion as nv
from nversion.core import UserError

M, N, C = 3, 40, 5
RNG = np.random.default_rng(0)
LABELS_N = RNG.integers(0, C, N)
LOGITS_MNC = RNG.normal(size=(M, N, C)) + 2 * np.eye(C)[LABELS_N]
IMAGE_HW3 = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture(scope="module")
def result():
    both = {"clean": LOGITS_MNC, "fog-3": LOGITS_MNC + 1e-3 * RNG.normal(size=(M, N, C))}
    return nv.evaluate(nv.Predictions.from_arrays(both, LABELS_N), sizes=[2])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: nv.Predictions.from_arrays(LOGITS_MNC), "labels"),
        (
            lambda: nv.Predictions.from_arrays({"clean": LOGITS_MNC, "data/clean": LOGITS_MNC}, LABELS_N),
            "each condition once, found 'clean', 'data/clean'",
        ),
        (
            lambda: nv.evaluate(LOGITS_MNC, LABELS_N, cost_CC=np.ones((2, 2))),
            r"shape \(5, 5\), found shape \(2",
        ),
        (lambda: nv.evaluate(LOGITS_MNC, LABELS_N, cost_CC="much"), r"costs of shape \(5, 5\)"),
        (
            lambda: nv.evaluate(LOGITS_MNC, LABELS_N, class_groups={"a": [0, 1], "b": [1]}),
            "each in one group, found 1 in 'b' and in 'a'",
        ),
        (lambda: nv.evaluate(LOGITS_MNC, LABELS_N, class_groups={"a": [7]}), "from 0 to 4, .*found 7 in 'a'"),
        (lambda: nv.select(None), "the result of nversion.evaluate, found NoneType"),
        (lambda: nv.corrupt(IMAGE_HW3, None, 3), "a known corruption, found None"),
        (lambda: nv.corrupt(IMAGE_HW3, 3, 3), "a known corruption, found 3"),
    ],
)
def test_a_slip_is_one_sentence(call, sentence):
    with pytest.raises(UserError, match=sentence):
        call()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"unseen": 3}, "patterns of conditions as `unseen`, found 3"),
        ({"splits": -1}, "splits of at least 0, found -1"),
    ],
)
def test_a_wrong_option_of_select_is_one_sentence(result, options, sentence):
    with pytest.raises(UserError, match=sentence):
        nv.select(result, **options)


def test_costs_and_groups_may_be_plain_arrays_and_mappings():
    costs_CC = 1 - np.eye(C)
    found = nv.evaluate(LOGITS_MNC, LABELS_N, cost_CC=costs_CC, class_groups={"few": [0, 1], "rest": [2, 3]})
    assert {"few", "rest"} & set(found.hazards["name"])
    # A cost of 1 for every mistake is the rate of mistakes.
    assert np.allclose(found.hazards["expected_cost"], found.hazards["failure"])
