"""Joint failure by class and by group: all ensembles at once, the worst named with its interval."""

import numpy as np
import polars as pl
import pytest
import torch
from scipy import stats

from nversion.core import LabelSpace
from nversion.data import ClassGroups
from nversion.ensembles import Ensembles
from nversion.evaluation import hazards
from nversion.evaluation.hazards import MIN_IMAGES, hazards_table, joint_failures, worst_strata

SIGNS = LabelSpace("signs", 4, ("stop", "yield", "road work", "limit 50"))


def answers(num_models=6, num_samples=300, num_strata=4, seed=0):
    rng = torch.Generator().manual_seed(seed)
    right_MN = torch.rand(num_models, num_samples, generator=rng) < torch.rand(num_samples, generator=rng)
    return right_MN, torch.randint(0, num_strata, (num_samples,), generator=rng)


def by_hand(right_MN, strata_N, num_strata, ensembles):
    """Count samples one by one."""
    counts = np.zeros((len(ensembles), num_strata))
    for e, members in enumerate(ensembles.members_EK.tolist()):
        for sample, stratum in enumerate(strata_N.tolist()):
            if stratum >= 0 and not right_MN[members, sample].any():
                counts[e, stratum] += 1
    return counts


@pytest.mark.parametrize("size", [1, 2, 3, 6])
@pytest.mark.parametrize("budget", [1, 1 << 20])
def test_joint_failures_are_those_counted_by_hand(size, budget, monkeypatch):
    monkeypatch.setattr(hazards, "BUDGET_BYTES", budget)
    right_MN, strata_N = answers()
    strata_N[:40] = -1
    ensembles = Ensembles.all_of(6, size)
    expected = by_hand(right_MN, strata_N, 4, ensembles)
    assert joint_failures(right_MN, strata_N, 4, ensembles).tolist() == expected.tolist()


@pytest.mark.parametrize("budget", [1, 1 << 20])
def test_the_worst_stratum_has_the_highest_share_of_joint_failures(budget, monkeypatch):
    monkeypatch.setattr(hazards, "BUDGET_BYTES", budget)
    right_MN, strata_N = answers()
    ensembles = Ensembles.all_of(6, 3)
    n_S = np.bincount(strata_N, minlength=4)
    shares = by_hand(right_MN, strata_N, 4, ensembles) / n_S
    worst = worst_strata(right_MN, strata_N, 4, ensembles)
    assert np.array_equal(worst.failures_E / worst.n_E, shares.max(1))
    assert np.array_equal(worst.n_E, n_S[worst.stratum_E])


def test_a_class_of_few_images_is_never_the_worst():
    right_MN = torch.ones(2, 9, dtype=torch.bool)
    right_MN[:, :4] = False  # all four images of class 0
    right_MN[:, 4] = False
    strata_N = torch.tensor([0] * 4 + [1] * 5)
    worst = worst_strata(right_MN, strata_N, 2, Ensembles.all_of(2, 2))
    assert MIN_IMAGES == 5
    assert (worst.stratum_E.tolist(), worst.failures_E.tolist(), worst.n_E.tolist()) == ([1], [1], [5])


def test_of_equal_shares_the_class_of_more_images_is_named():
    right_MN = torch.ones(2, 25, dtype=torch.bool)
    right_MN[:, [0, 5, 6]] = False  # 1 of 5 and 2 of 10; then 0 of 10
    worst = worst_strata(right_MN, torch.tensor([0] * 5 + [1] * 10 + [2] * 10), 3, Ensembles.all_of(2, 2))
    assert worst.stratum_E.tolist() == [1]


def rows(right_MN, labels_N, groups=None, costs=None, size=2):
    ensembles = Ensembles.all_of(len(right_MN), size)
    return hazards_table(
        right_MN,
        labels_N,
        ensembles,
        condition="d/clean",
        model_names=["a", "b", "c"],
        label_space=SIGNS,
        groups=groups,
        failure_E=[0.25, 0.5, 0.75],
        expected_cost_E=costs or [float("nan")] * 3,
    )


def example():
    """Ten images a class; a and b fail on 3 stops, b and c on 2 yields and 2 road works, c on all 50."""
    right_MN = torch.ones(3, 40, dtype=torch.bool)
    right_MN[:2, :3] = False
    right_MN[1:, 10:12] = False
    right_MN[1:, 20:22] = False
    right_MN[2, 30:] = False
    return right_MN, torch.arange(4).repeat_interleave(10)


def test_the_worst_class_and_group_of_each_ensemble_are_rows():
    groups = ClassGroups(("priority", "works"), np.array([0, 0, 1, -1]))
    table = rows(*example(), groups, costs=[1.0, 2.0, 3.0])
    picked = table.select("ensemble", "kind", "name", "n", "joint_failure", "failure", "expected_cost").rows()
    assert picked == [
        ("a + b", "class", "stop", 10, 0.3, 0.25, 1.0),
        ("a + c", "class", "stop", 10, 0.0, 0.5, 2.0),
        ("b + c", "class", "yield", 10, 0.2, 0.75, 3.0),
        ("a + b", "group", "priority", 20, 0.15, 0.25, 1.0),
        ("a + c", "group", "priority", 20, 0.0, 0.5, 2.0),
        ("b + c", "group", "works", 10, 0.2, 0.75, 3.0),
    ]
    assert set(table["size"]) == {2} and set(table["condition"]) == {"d/clean"}


def test_intervals_are_clopper_pearsons():
    first, zero, *_ = rows(*example()).iter_rows(named=True)
    exact = stats.binomtest(3, 10).proportion_ci(0.95, "exact")
    assert (first["low"], first["high"]) == pytest.approx((exact.low, exact.high), abs=1e-12)
    assert (zero["low"], zero["high"]) == (0.0, pytest.approx(0.3085, abs=5e-5))


def test_without_enough_images_nothing_is_named():
    right_MN = torch.zeros(3, 4, dtype=torch.bool)
    table = rows(right_MN, torch.arange(4))
    assert table["name"].to_list() == [None] * 3
    assert table["n"].to_list() == [0] * 3
    assert table.select(pl.col("joint_failure", "low", "high").is_nan().all()).row(0) == (True,) * 3


def test_classes_without_a_name_are_called_by_index():
    right_MN, labels_N = example()
    ensembles = Ensembles.all_of(3, 3)
    table = hazards_table(
        right_MN,
        labels_N,
        ensembles,
        condition="d/clean",
        model_names=["a", "b", "c"],
        label_space=LabelSpace("signs", 4),
        groups=None,
        failure_E=[0.0],
        expected_cost_E=[float("nan")],
    )
    assert table["name"].to_list() == ["0"]  # no joint failure at all: the first of equally large classes
