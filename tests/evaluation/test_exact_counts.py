"""Improvements come from whole numbers: sums of a vote's shares against exact fractions."""

from fractions import Fraction

import numpy as np
import polars as pl
import pytest
import torch

from nversion.ensembles import CREDITS, Ensembles, evaluate
from nversion.evaluation.compare import _numbers as compared
from nversion.evaluation.compare import credits_of_each
from nversion.evaluation.evidence import comparisons_table
from nversion.evaluation.measure import measure_condition
from nversion.evaluation.tables import ensembles_table
from nversion.models import Card
from nversion.predictions import ConditionPredictions
from nversion.study.spec import EnsemblesTable

N, M, C, B = 120, 6, 9, 7
NAMES = tuple("abcdef")


def predicted(seed=0):
    """Answers of models that are rarely of one mind, so that most votes are tied."""
    rng = np.random.default_rng(seed)
    labels_N = rng.integers(0, C, N)
    right_MN = rng.random((M, N)) < 0.3
    return np.where(right_MN, labels_N, rng.integers(0, C, (M, N))), labels_N


def share(answers_K, label):
    """The label's exact chance to win the vote."""
    votes_C = np.bincount(answers_K, minlength=C)
    return Fraction(int(votes_C[label] == votes_C.max()), int((votes_C == votes_C.max()).sum()))


def view(predicted_MN, labels_N):
    logits_MNC = np.eye(C, dtype=np.float32)[predicted_MN]
    return ConditionPredictions("d/clean", NAMES, tuple(logits_MNC), np.arange(N), labels_N, np.arange(N) % B)


def card(name):
    return Card(
        name=name,
        source="test",
        family="",
        training="",
        label_space="t",
        input_size=8,
        num_parameters=1,
        macs=1,
    )


@pytest.fixture(scope="module")
def tables():
    """Answers, and the tables of ensembles of 2 to 6 by vote, with comparisons."""
    predicted_MN, labels_N = predicted()
    families = [Ensembles.all_of(M, size) for size in range(2, M + 1)]
    asked = EnsemblesTable(sizes=list(range(2, M + 1)), consensus=["vote"], num_blocks=B, diversity=[])
    result = measure_condition(view(predicted_MN, labels_N), families, asked, {})
    cards = [card(name) for name in NAMES]
    return predicted_MN, labels_N, ensembles_table(result, cards), comparisons_table(result, NAMES)


def exact(predicted_MN, labels_N, members):
    models = ["abcdef".index(name) for name in members]
    votes = sum(share(predicted_MN[models, n], labels_N[n]) for n in range(N))
    best = max(int((predicted_MN[m] == labels_N).sum()) for m in models)
    return votes, best


def test_credits_are_exact_shares():
    predicted_MN, labels_N = predicted(1)
    family = Ensembles.all_of(M, 5)
    found = evaluate(view(predicted_MN, labels_N).chunks(), family, ["vote"], B)["vote"]
    for e, members in enumerate(family.members_EK.tolist()):
        votes = sum(share(predicted_MN[members, n], labels_N[n]) for n in range(N))
        assert Fraction(found.credits_BE[:, e].sum().item()) == votes * CREDITS
        assert found.accuracy.full_E[e].item() == float(votes / N)


def test_an_improvement_is_its_exact_fraction(tables):
    predicted_MN, labels_N, ensembles, comparisons = tables
    rows = ensembles.join(comparisons.select("ensemble", "size", "difference"), on=["ensemble", "size"])
    zeros = 0
    for row in rows.iter_rows(named=True):
        votes, best = exact(predicted_MN, labels_N, row["members"])
        assert row["improvement"] == row["difference"] == float((votes - best) / N)
        zeros += votes == best
    assert zeros >= 1  # of exactly nothing, which is 0 and not 1e-17
    assert rows["top1"].eq(rows["best_member_top1"]).sum() == zeros


def test_two_contenders_of_equal_counts_differ_by_nothing(tables):
    predicted_MN, labels_N, ensembles, _ = tables
    rows = ensembles.sort("top1").with_columns(pl.col("top1").shift(-1).alias("next"))
    twin = rows.with_row_index().filter(pl.col("top1") == pl.col("next"))["index"].to_list()
    found = [rows.row(i, named=True)["members"] for i in (twin[0], twin[0] + 1)]
    a, b = ([NAMES.index(name) for name in members] for members in found)
    credits = credits_of_each(view(predicted_MN, labels_N), [a, b], "vote")
    row = compared(*credits, np.random.default_rng(0))
    assert (row["difference"], row["p_value"]) == (0.0, 1.0)
    assert row["a_top1"] == row["b_top1"] == float(exact(predicted_MN, labels_N, found[0])[0] / N)


def test_a_tie_among_more_than_twenty_is_rounded_to_a_credit():
    logits_MNC = torch.eye(23).unsqueeze(1)
    chunk_view = ConditionPredictions(
        "d",
        tuple(map(str, range(23))),
        tuple(logits_MNC.numpy()),
        np.arange(1),
        np.zeros(1, int),
        np.zeros(1, int),
    )
    found = evaluate(chunk_view.chunks(), Ensembles.all_of(23, 23), ["vote"], 1)["vote"]
    assert found.credits_BE.item() == round(CREDITS / 23)
    assert found.accuracy.full_E.item() == pytest.approx(1 / 23, abs=1 / CREDITS)
