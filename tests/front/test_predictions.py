"""`Predictions.from_arrays` takes what people have, and refuses the rest with one sentence."""

import numpy as np
import pytest
import torch

from nversion import Predictions, UserError
from nversion.predictions import block_of_each_sample

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(3, 10, 4)).astype(np.float32)
LABELS = RNG.integers(0, 4, 10)
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)


def logits_of(predictions, condition="clean"):
    return torch.cat([chunk.logits_MNC for chunk in predictions[condition].chunks()], 1).numpy()


@pytest.mark.parametrize(
    "logits",
    [
        LOGITS,
        torch.from_numpy(LOGITS),
        torch.from_numpy(LOGITS).requires_grad_(),
        LOGITS.tolist(),
        list(LOGITS),
        [torch.from_numpy(one) for one in LOGITS],
        LOGITS.transpose(2, 1, 0).copy().transpose(2, 1, 0),
        LOGITS[:, ::-1][:, ::-1],
        LOGITS.astype(">f4"),
        LOGITS.astype(np.float64),
        dict(zip("abc", LOGITS, strict=True)),
        {"clean": LOGITS},
        {"clean": dict(zip("abc", LOGITS, strict=True))},
    ],
)
def test_every_form_of_the_same_logits_gives_the_same_predictions(logits):
    predictions = Predictions.from_arrays(logits, LABELS)
    assert np.array_equal(logits_of(predictions), LOGITS)
    assert predictions.labels_N.tolist() == LABELS.tolist()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_kept_as_it_is(dtype):
    half = torch.from_numpy(LOGITS).to(dtype)
    assert np.array_equal(logits_of(Predictions.from_arrays(half, LABELS)), half.float().numpy())


def test_memory_maps_stay_on_disk(tmp_path):
    stored = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.float32, LOGITS.shape)
    stored[:] = LOGITS
    of_model = Predictions.from_arrays(stored, LABELS)["clean"].logits[1]
    assert np.shares_memory(of_model, stored)


def test_several_conditions_have_one_order_of_models():
    both = {"clean": {"a": LOGITS[0], "b": LOGITS[1]}, "fog-3": {"b": LOGITS[2], "a": LOGITS[1]}}
    predictions = Predictions.from_arrays(both, LABELS)
    assert predictions.models == ("a", "b")
    assert np.array_equal(logits_of(predictions, "fog-3"), LOGITS[[1, 2]])


def test_names_of_conditions_are_read():
    predictions = Predictions.from_arrays({"clean": LOGITS, "fog-2.5": LOGITS, "sketch": LOGITS}, LABELS)
    found = [(c.corruption, c.severity) for c in predictions.conditions]
    assert found == [(None, None), ("fog", 2.5), ("sketch", None)]
    assert list(predictions) == ["data/clean", "data/fog-2.5", "data/sketch"]
    assert len(predictions) == 3 and "sketch" in predictions and "fog" not in predictions


def test_probabilities_become_their_logarithms():
    predictions = Predictions.from_arrays(PROBABILITIES, LABELS, outputs="probabilities")
    assert np.allclose(np.exp(logits_of(predictions)), PROBABILITIES, rtol=1e-6)


def test_probabilities_taken_as_logits_are_said():
    with pytest.warns(UserWarning, match=r"look like probabilities .* pass outputs=\"probabilities\""):
        Predictions.from_arrays(PROBABILITIES, LABELS)


def test_blocks_are_those_of_a_study():
    blocks_N = Predictions.from_arrays(LOGITS, LABELS, num_blocks=4)["clean"].blocks_N
    assert blocks_N.tolist() == block_of_each_sample([str(i) for i in range(10)], 4).tolist()


@pytest.mark.parametrize("accepted", [{0: [1, 2]}, [[1, 2], *[[]] * 9]])
def test_further_labels_count_as_right(accepted):
    labels = np.zeros(10, int)
    of_condition = Predictions.from_arrays(LOGITS, labels, accepted=accepted)["clean"]
    assert of_condition.accepted == {0: (1, 2)}


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (LOGITS.swapaxes(0, 1), LABELS, "np.swapaxes(logits, 0, 1)"),
        (LOGITS[:, :8], LABELS, "for 10 labels, found float32 of shape (3, 8, 4)"),
        (LOGITS.astype(int), LABELS, "network's outputs before softmax"),
        (LOGITS > 0, LABELS, "found bool of shape (10, 4)"),
        (LOGITS.argmax(-1), LABELS, "as predicted classes are"),
        (LOGITS[0], LABELS, "of one model alone: logits[None]"),
        (LOGITS[:, :, :0], LABELS, "at least one model and one sample"),
        (None, LABELS, "expected logits as an array of numbers, found none"),
        ("logits.npy", LABELS, "found an array of text"),
        (LOGITS.astype(object), LABELS, "found an array of objects"),
        ([[[0.0, 1.0], [1.0]]], [0, 1], "expected logits as an array of numbers, found setting an array"),
        (torch.from_numpy(LOGITS).to_sparse(), LABELS, "sparse"),
        (np.ma.masked_less(LOGITS, 0), LABELS, "masked values"),
        ({}, LABELS, "at least one condition"),
        ({"a": LOGITS[0], "b": LOGITS[1, :, :3]}, LABELS, "4 of 'a' under 'clean' and 3 of 'b'"),
        ({"clean": {"a": LOGITS[0]}, "fog-1": {"b": LOGITS[0]}}, LABELS, "the same models under every"),
        ({"clean": LOGITS, "fog-1": LOGITS[:2]}, LABELS, "found logits of 2 models"),
        ({"clean": LOGITS, "fog": LOGITS}, LABELS, "a corruption with its severity"),
        ({"clean": LOGITS, "a/b": LOGITS}, LABELS, "without a slash"),
        ({"clean": LOGITS, 3: LOGITS}, LABELS, "names of conditions as texts"),
        (LOGITS, None, "expected labels of shape (N,) as whole numbers from 0 to C - 1, found none"),
        (LOGITS, LABELS > 1, "bool says which answers are right"),
        (LOGITS, LABELS + 1, "found 4 at sample"),
        (LOGITS, LABELS - 1, "found -1 at sample"),
        (LOGITS, LABELS.astype(float), "np.asarray(labels).astype(int)"),
        (LOGITS, np.eye(4)[LABELS], "one-hot; pass class indices"),
        (LOGITS, LABELS[:, None], "labels.squeeze()"),
        (LOGITS, list("0123456789"), "found an array of text"),
        (LOGITS, [], "at least one sample"),
        (LABELS, LOGITS, "expected labels of shape (N,)"),
    ],
)
def test_what_does_not_fit_is_one_sentence(logits, labels, message):
    with pytest.raises(UserError) as error:
        Predictions.from_arrays(logits, labels)
    assert message in str(error.value)


@pytest.mark.parametrize(("value", "kind"), [(np.nan, "nan"), (np.inf, "inf")])
def test_a_row_without_finite_logits_is_named(value, kind):
    logits = LOGITS.copy()
    logits[1, 4, 2] = value
    with pytest.raises(UserError, match=f"finite logits of 'b', found {kind} in 1 of 10 rows, .* sample 4"):
        Predictions.from_arrays(logits, LABELS, ["a", "b", "c"])


def test_an_excluded_class_may_be_minus_infinity():
    logits = LOGITS.copy()
    logits[..., 0] = -np.inf
    assert np.array_equal(logits_of(Predictions.from_arrays(logits, LABELS)), logits)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"models": ["a", "b"]}, "found 2 names"),
        ({"models": ["a", "b", "b"]}, "found 'b' twice"),
        ({"models": ["a", "b", ""]}, "found the name ''"),
        ({"models": "a"}, "found 1 names"),
        ({"sample_ids": ["x"] * 10}, "found 10 ids, 1 of them different"),
        ({"dataset": "a/b"}, "a data set name without slashes"),
        ({"outputs": "probs"}, "did you mean 'probabilities'"),
        ({"outputs": "probabilities"}, "none below 0, and 1 in sum"),
        ({"num_blocks": 1}, "at least 2 blocks"),
        ({"accepted": {10: [1]}}, "of sample 10"),
        ({"accepted": {1: [4]}}, "accepted labels from 0 to 3"),
        ({"accepted": [[1]]}, "found those of 1"),
    ],
)
def test_settings_that_do_not_fit_are_one_sentence(settings, message):
    with pytest.raises(UserError) as error:
        Predictions.from_arrays(LOGITS, LABELS, **settings)
    assert message in str(error.value)


def test_an_unknown_condition_is_named_and_is_a_key_error():
    predictions = Predictions.from_arrays({"clean": LOGITS, "fog-3": LOGITS}, LABELS)
    with pytest.raises(KeyError, match="did you mean 'data/fog-3'"):
        predictions["fog3"]
    assert predictions.get("snow-1") is None


def test_the_repr_counts():
    shown = repr(Predictions.from_arrays({"clean": LOGITS, "fog-3": LOGITS}, LABELS, list("abc")))
    assert shown == ("Predictions(3 models: a, b, c; 10 samples of 4 classes; 2 conditions: clean, fog-3)")
