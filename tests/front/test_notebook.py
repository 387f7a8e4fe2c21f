"""The calls of a notebook fit together, and slips between them are one sentence."""

import numpy as np
import pytest
import torch
from torch import nn

import nversion as nv

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, 60)
LOGITS = RNG.normal(size=(3, 60, 4)) + 2 * np.eye(4)[LABELS]


def test_logits_and_labels_are_evaluated_in_one_call():
    found = nv.evaluate(LOGITS, LABELS, sizes=[2])
    assert found.ensembles.equals(
        nv.evaluate(nv.Predictions.from_arrays(LOGITS, LABELS), sizes=[2]).ensembles
    )


def test_functions_are_the_values_of_the_tables():
    frame = nv.evaluate(LOGITS, LABELS, sizes=[3]).diversity
    for name in ("disagreement", "kappa", "entropy", "js"):
        (value,) = frame.filter(metric=name)["value"].to_list()
        assert getattr(nv.metrics, name)(LOGITS, labels=LABELS) == pytest.approx(value, rel=1e-6)


def test_own_modules_and_images_take_four_lines():
    images = RNG.integers(0, 256, (60, 3, 8, 8), np.uint8)
    nets = {name: nn.Sequential(nn.Flatten(), nn.Linear(192, 4)) for name in "abc"}
    predictions = nv.predict(nets, (torch.from_numpy(images), LABELS), corruptions={"fog": [1, 3]})
    found = nv.evaluate(predictions, sizes=[2])
    assert set(found.ensembles["condition"]) == {"data/clean", "data/fog-1", "data/fog-3"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((LOGITS.swapaxes(0, 1), LABELS), "np.swapaxes(logits, 0, 1)"),
        ((LOGITS,), "expected labels of shape (N,)"),
        ((LOGITS[:1], LABELS), "at least two models"),
        ((nv.Predictions.from_arrays(LOGITS, LABELS), LABELS), "no labels with Predictions"),
        ((LABELS, LOGITS), "expected labels of shape (N,)"),
    ],
)
def test_slips_of_evaluate_are_one_sentence(arguments, message):
    with pytest.raises(nv.UserError) as error:
        nv.evaluate(*arguments)
    assert message in str(error.value)
