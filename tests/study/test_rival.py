"""One model with a confidence threshold against a voter, recomputed image by image."""

import io

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from scipy import stats

from nversion.core.study_files import read_table
from nversion.data import Condition
from nversion.evaluation.halves import halves
from nversion.predictions import ConditionPredictions
from nversion.selection.rival import LEVELS, most_confident, rival_table
from nversion.study.stored import open_stored

N, C, SEED = 60, 4, 3
NAMES = ("a", "b", "c", "single")
CLEAN = Condition("d", None, None, 0)


@pytest.fixture(scope="module")
def logits_MNC():
    rng = np.random.default_rng(0)
    labels_N = rng.integers(0, C, N)
    logits_MNC = rng.normal(size=(4, N, C)).astype(np.float32)
    logits_MNC[:, np.arange(N), labels_N] += 0.9
    return logits_MNC, labels_N


@pytest.fixture(scope="module")
def table(logits_MNC):
    logits_MNC, labels_N = logits_MNC
    view = ConditionPredictions(
        CLEAN.name, NAMES, tuple(logits_MNC), np.arange(N), labels_N, np.arange(N) % 5
    )
    return rival_table({CLEAN.name: view}, [CLEAN], ["a", "b", "c"], "single", SEED)


def on_held_out(logits_MNC):
    logits_MNC, labels_N = logits_MNC
    held_out_N = halves("d", torch.arange(N) % 5, SEED).numpy()
    return logits_MNC[:, held_out_N].astype(float), labels_N[held_out_N]


@pytest.mark.parametrize("agreeing", [2, 3])
def test_voter_and_model_are_compared_at_the_same_coverage(table, logits_MNC, agreeing):
    logits_MNC, labels_N = on_held_out(logits_MNC)
    voter_wrong, accepted = [], 0
    for n, label in enumerate(labels_N):
        said, counts = np.unique(logits_MNC[:3, n].argmax(-1), return_counts=True)
        answers = counts.max() >= agreeing
        accepted += answers
        voter_wrong.append(answers and said[counts.argmax()] != label)
    shares_NC = np.exp(logits_MNC[3]) / np.exp(logits_MNC[3]).sum(-1, keepdims=True)
    answered = np.argsort(-shares_NC.max(-1))[:accepted]
    model_wrong = np.zeros(len(labels_N), bool)
    model_wrong[answered] = logits_MNC[3].argmax(-1)[answered] != labels_N[answered]

    row = table.filter(system="voter", agreeing=agreeing).row(0, named=True)
    assert (row["n"], row["accepted"]) == (len(labels_N), accepted)
    assert row["silent_wrong"] == pytest.approx(np.mean(voter_wrong))
    assert row["difference"] == pytest.approx(np.mean(voter_wrong) - model_wrong.mean())
    assert row["confidence"] == pytest.approx(shares_NC.max(-1)[answered].min())
    exact = stats.binomtest(sum(voter_wrong), len(labels_N)).proportion_ci(0.95, "exact")
    assert (row["low"], row["high"]) == pytest.approx((exact.low, exact.high))
    assert row["difference_low"] < row["difference"] < row["difference_high"]


def test_the_curve_of_the_model_ends_at_its_error(table, logits_MNC):
    logits_MNC, labels_N = on_held_out(logits_MNC)
    curve = table.filter(system="model")
    assert curve["coverage"].to_list() == pytest.approx([k / LEVELS for k in range(1, LEVELS + 1)], abs=0.02)
    assert curve["silent_wrong"].is_sorted()
    assert curve["silent_wrong"][-1] == pytest.approx((logits_MNC[3].argmax(-1) != labels_N).mean())


def test_equal_confidences_share_the_places_that_are_left():
    share_N, threshold = most_confident(torch.tensor([0.5, 0.9, 0.5, 0.2]).log(), 2)
    assert share_N.tolist() == [0.5, 1.0, 0.5, 0.0]
    assert threshold == pytest.approx(0.5)


def test_a_voter_that_accepts_nothing_has_a_rival_that_accepts_nothing():
    share_N, threshold = most_confident(torch.zeros(3), 0)
    assert share_N.tolist() == [0, 0, 0]
    assert np.isnan(threshold)


def test_two_members_vote_by_agreement_alone(logits_MNC):
    logits_MNC, labels_N = logits_MNC
    view = ConditionPredictions(
        CLEAN.name, NAMES, tuple(logits_MNC), np.arange(N), labels_N, np.arange(N) % 5
    )
    table = rival_table({CLEAN.name: view}, [CLEAN], ["a", "b"], "single", SEED)
    assert table.filter(system="voter")["agreeing"].to_list() == [2]


def test_images_on_which_all_fail_are_those_of_the_stored_logits(finished):
    study, found = open_stored(finished), read_table(finished, "all_fail")
    roles = read_table(finished, "selection")
    ensemble = roles.filter(pl.col("role").is_in(["best_ensemble", "chosen"]), pl.col("size") > 1)
    chosen = ensemble["members"][0].to_list()
    ids = read_table(finished, "labels")["sample_id"].to_list()
    assert found.height > 0
    for group, members in (("all models", list(study.model_names)), ("chosen ensemble", chosen)):
        of_group = found.filter(group=group)
        said = {
            name: np.stack([np.argmax(view.logits[view.model_names.index(m)], -1) for m in members])
            for name, view in study.predictions.items()
        }
        fail = {name: (said[name] != view.labels_N).all(0) for name, view in study.predictions.items()}
        assert of_group["num_conditions"].sum() == sum(int(fail_N.sum()) for fail_N in fail.values())
        assert of_group["num_conditions"].is_sorted(descending=True)
        for row in of_group.iter_rows(named=True):
            n = ids.index(row["sample_id"])
            failing = [name for name in fail if fail[name][n]]
            assert (row["condition"], row["num_conditions"]) == (failing[0], len(failing))
            most = np.bincount(said[failing[0]][:, n]).max()
            assert f"({most} of {len(members)})" in row["answers"].split(", ")[0]
            with Image.open(io.BytesIO(row["png"])) as picture:
                assert picture.size == (16, 16)
