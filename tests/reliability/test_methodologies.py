"""Eckhardt-Lee and Littlewood-Miller estimates are the defining sums, and unbiased for known difficulty."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nversion.core import UserError
from nversion.diversity import PairCounts
from nversion.reliability import (
    Methodologies,
    SimulatedMethodologies,
    correlation_of,
    methodology_estimates,
    methodology_tables,
)
from nversion.reliability.littlewood_miller import AllEstimates
from nversion.reliability.methodology_intervals import ModelsAndImages

PAIR = Methodologies.of_labels(["a", "a", "a", "b", "b"])


def some_failures(num_models=5, num_images=12, seed=0, rate=0.4):
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(num_models, num_images, generator=rng) < rate


def tables_of(fails_MN, methodologies=PAIR):
    fails_MN = fails_MN.double()
    count = torch.tensor(float(fails_MN.shape[1]))
    return methodology_tables(fails_MN @ fails_MN.T, count, methodologies.membership_GM)


def counts_of(fails_MN, num_blocks=10):
    blocks_N = torch.arange(fails_MN.shape[1]) % num_blocks
    counts = PairCounts.from_right(~fails_MN, blocks_N, num_blocks)
    return counts.both_wrong_BMM, counts.count_B


def rows_of(fails_MN, methodologies=PAIR, **settings_):
    rows = methodology_estimates(*counts_of(fails_MN), methodologies, **settings_)
    return {(row.quantity, row.methodology_a, row.methodology_b): row for row in rows}


def test_two_of_one_methodology_fail_together_as_k_of_k_minus_1():
    fails_MN = some_failures()
    k_N = fails_MN[:3].sum(0).double()
    assert tables_of(fails_MN).joint_GG[0, 0].item() == pytest.approx(
        (k_N * (k_N - 1) / (3 * 2)).mean().item()
    )


@pytest.mark.parametrize(("a", "b"), [(0, 0), (0, 1), (1, 1)])
def test_the_independent_product_is_the_mean_over_different_models_and_different_images(a, b):
    fails_MN = some_failures()
    groups = ([0, 1, 2], [3, 4])
    o = fails_MN.double().tolist()
    products = [
        o[i][x] * o[k][y]
        for i, k in itertools.product(groups[a], groups[b])
        if i != k
        for x, y in itertools.permutations(range(12), 2)
    ]
    assert tables_of(fails_MN).independent_GG[a, b].item() == pytest.approx(np.mean(products))


def test_covariances_are_means_of_numpys_between_models():
    fails_MN = some_failures()
    covariance_MM = np.cov(fails_MN.numpy().astype(float))
    covariance_GG = tables_of(fails_MN).covariance_GG.numpy()
    assert covariance_GG[0, 1] == pytest.approx(covariance_MM[:3, 3:].mean())
    off_diagonal = covariance_MM[:3, :3][~np.eye(3, dtype=bool)]
    assert covariance_GG[0, 0] == pytest.approx(off_diagonal.mean())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_failing_together_is_the_square_and_the_variance_or_the_product_and_the_covariance(seed):
    tables = tables_of(some_failures(seed=seed))
    torch.testing.assert_close(
        tables.joint_GG, tables.independent_GG + tables.covariance_GG, rtol=0, atol=1e-15
    )
    torch.testing.assert_close(tables.joint_GG, tables.joint_GG.mT)


def test_models_that_fail_alike_have_the_variance_of_a_coin_and_correlation_one():
    fails_MN = some_failures(1, 40).repeat(5, 1)
    p = fails_MN[0].double().mean().item()
    covariance_GG = tables_of(fails_MN).covariance_GG
    assert covariance_GG[0, 0].item() == pytest.approx(p * (1 - p) * 40 / 39)
    assert correlation_of(covariance_GG)[0, 1].item() == pytest.approx(1.0)


@pytest.mark.parametrize("loadings", [(0.8, 0.8), (0.0, 0.5), (0.9, -0.9)])
@pytest.mark.parametrize("shares", [(0.0, 0.0), (0.2, 0.3)])
def test_estimates_are_unbiased_for_known_difficulty(loadings, shares):
    simulated = SimulatedMethodologies((4.0, 1.5), loadings, *shares)
    rng = torch.Generator().manual_seed(3)
    fails_SMN = torch.stack([simulated.draw((3, 2), 50, rng) for _ in range(1500)]).double()
    tables = methodology_tables(fails_SMN @ fails_SMN.mT, torch.full((1500,), 50.0), PAIR.membership_GM)
    mean_G = [simulated.moment((1, 0)), simulated.moment((0, 1))]
    cases = [
        (tables.mean_G[:, 0], mean_G[0]),
        (tables.joint_GG[:, 0, 0], simulated.moment((2, 0))),
        (tables.joint_GG[:, 1, 1], simulated.moment((0, 2))),
        (tables.joint_GG[:, 0, 1], simulated.moment((1, 1))),
        (tables.independent_GG[:, 0, 0], mean_G[0] ** 2),
        (tables.independent_GG[:, 0, 1], mean_G[0] * mean_G[1]),
        (tables.covariance_GG[:, 0, 0], simulated.covariance(0, 0)),
        (tables.covariance_GG[:, 0, 1], simulated.covariance(0, 1)),
    ]
    for estimates_S, truth in cases:
        stderr = estimates_S.std().item() / math.sqrt(1500)
        assert abs(estimates_S.mean().item() - truth) < 4 * stderr


def test_the_mean_share_squared_would_be_too_high():
    simulated = SimulatedMethodologies((4.0, 1.5), (0.5, 0.5))
    rng = torch.Generator().manual_seed(3)
    fails_MN = simulated.draw((3, 2), 200_000, rng)[:3].double()
    # E[θ(1 − θ)]/m = (1/5 − 2/30)/3
    plug_in = (fails_MN.mean(0) ** 2).mean().item()
    assert plug_in - simulated.moment((2, 0)) == pytest.approx((1 / 5 - 2 / 30) / 3, abs=0.002)


def test_rows_are_each_methodology_and_then_its_pairs():
    rows = methodology_estimates(*counts_of(some_failures(6, 200)), Methodologies.of_labels(list("aabbcc")))
    pairs = list(dict.fromkeys(row.methodology_a + row.methodology_b for row in rows))
    assert pairs == ["aa", "ab", "ac", "bb", "bc", "cc"]
    own, paired = [row.quantity for row in rows[:4]], [row.quantity for row in rows[4:10]]
    assert own == ["mean_failure", "joint_failure", "independent", "covariance"]
    assert paired[:4] == ["joint_failure", "independent", "covariance", "correlation"]
    assert paired[4:] == ["joint_less_two_of_a", "joint_less_two_of_b"]
    assert {(row.m_a, row.m_b) for row in rows} == {(2, 2)}


def test_rows_carry_the_tables_values_within_their_intervals():
    simulated = SimulatedMethodologies((4.0, 1.5), (0.8, 0.3))
    fails_MN = simulated.draw((3, 2), 300, torch.Generator().manual_seed(0))
    tables, rows = tables_of(fails_MN), rows_of(fails_MN)
    assert rows["mean_failure", "b", "b"].value == pytest.approx(tables.mean_G[1].item())
    assert rows["covariance", "a", "b"].value == pytest.approx(tables.covariance_GG[0, 1].item())
    assert all(row.low <= row.value <= row.high for row in rows.values() if not math.isnan(row.low))


def test_a_mixed_pair_less_two_of_either_is_the_difference_of_the_joint_failures():
    simulated = SimulatedMethodologies((4.0, 1.5), (0.8, 0.3))
    rows = rows_of(simulated.draw((3, 2), 300, torch.Generator().manual_seed(0)))
    mixed = rows["joint_failure", "a", "b"].value
    for name, own in (("joint_less_two_of_a", "a"), ("joint_less_two_of_b", "b")):
        assert rows[name, "a", "b"].value == pytest.approx(mixed - rows["joint_failure", own, own].value)


def test_the_interval_of_a_difference_takes_out_what_both_sides_share():
    rng = torch.Generator().manual_seed(0)
    hard_for_all_N, own_MN = torch.rand(1000, generator=rng) < 0.3, torch.rand(5, 1000, generator=rng) < 0.02
    rows = rows_of(hard_for_all_N | own_MN)
    row, joint = rows["joint_less_two_of_a", "a", "b"], rows["joint_failure", "a", "b"]
    assert row.high - row.low < (joint.high - joint.low) / 5


def test_one_model_identifies_neither_variance_nor_covariance_with_itself():
    rows = rows_of(some_failures(2, 200), Methodologies.of_labels(["a", "b"]))
    for quantity in ("joint_failure", "independent", "covariance"):
        assert math.isnan(rows[quantity, "a", "a"].value)
        assert rows[quantity, "a", "a"].note == "not identified: one model"
    assert math.isnan(rows["correlation", "a", "b"].value)
    assert rows["correlation", "a", "b"].note.startswith("not identified: one model of a methodology")
    assert rows["joint_less_two_of_a", "a", "b"].note == "not identified: one model"


def test_below_three_models_the_interval_covers_other_images_only_and_says_so():
    rows = rows_of(some_failures(5, 300))
    assert rows["mean_failure", "a", "a"].note == ""
    assert rows["mean_failure", "b", "b"].note == "fewer than 3 models: the interval covers other images only"
    assert "3 models of b: the interval does not cover other ones there" in rows["covariance", "a", "b"].note


def test_without_joint_failures_the_interval_is_clopper_pearsons():
    fails_MN = torch.zeros(5, 400, dtype=torch.bool)
    fails_MN[:3, :100], fails_MN[3:, 100:300] = True, True
    row = rows_of(fails_MN, target_rate=1e-4)["joint_failure", "a", "b"]
    assert (row.value, row.low) == (0.0, 0.0)
    assert row.high == pytest.approx(stats.binomtest(0, 400).proportion_ci(method="exact").high)
    assert row.note.endswith("no failure in 400 images; a rate below 0.0001 needs 29956 without one")


def test_methodologies_of_opposite_difficulty_are_negatively_correlated():
    simulated = SimulatedMethodologies((1.0, 1.0), (1.0, -1.0))
    fails_MN = simulated.draw((3, 2), 2000, torch.Generator().manual_seed(0))
    row = rows_of(fails_MN)["correlation", "a", "b"]
    assert -1.0 <= row.low <= row.high < -0.8


def test_a_correlation_estimated_beyond_one_is_shown_as_one_and_the_estimate_is_noted():
    fails_MN = some_failures(5, 300)  # independent failures: variance near 0
    raw = correlation_of(tables_of(fails_MN).covariance_GG)[0, 1].item()
    assert abs(raw) > 1
    row = rows_of(fails_MN)["correlation", "a", "b"]
    assert row.value == math.copysign(1.0, raw)
    assert f"estimated at {raw:.2f} and shown as {row.value:.0f}: a variance of difficulty is" in row.note


@pytest.mark.parametrize("seed", range(40))
def test_every_estimate_lies_within_its_own_interval(seed):
    rows = rows_of(some_failures(5, 120, seed=seed)).values()
    assert all(math.isnan(row.low) or row.low <= row.value <= row.high for row in rows)
    assert all(math.isnan(row.value) or abs(row.value) <= 1 for row in rows)


def test_an_interval_that_lies_wholly_beyond_one_is_none():
    quantities = torch.full((7, 2, 2), 1.4).double()
    beyond = ModelsAndImages(quantities, quantities - 0.1, quantities + 0.1, torch.zeros(7, 2, 2).long())
    all_of = AllEstimates(beyond, Methodologies.of_labels(["a"] * 3 + ["b"] * 3))
    value, low, high, notes = all_of.entry("correlation", 0, 1)
    assert (value, math.isnan(low), math.isnan(high)) == (1.0, True, True)
    assert notes[-1] == "no interval: the whole of it lies beyond what the number can be"


def test_a_variance_estimated_below_zero_leaves_the_correlation_undefined():
    fails_MN = torch.zeros(5, 40, dtype=torch.bool)
    fails_MN[0, ::3], fails_MN[1, 1::3], fails_MN[2, 2::3], fails_MN[3:, :9] = True, True, True, True
    row = rows_of(fails_MN)["correlation", "a", "b"]
    assert math.isnan(row.value)
    assert row.note == "undefined: a variance of difficulty is estimated at 0 or below"


def test_a_model_in_two_methodologies_is_refused():
    with pytest.raises(UserError, match="found model 1 in 'cnn' and 'supervised'; give the model one"):
        Methodologies.of_groups({"cnn": [0, 1], "supervised": [1, 2]}, num_models=3)


def test_a_methodology_without_models_is_refused():
    with pytest.raises(UserError, match="expected at least one model of each methodology, found none of 'b'"):
        Methodologies.of_groups({"a": [0], "b": []}, num_models=1)


def test_a_model_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="expected models from 0 to 2, found 3"):
        Methodologies.of_groups({"a": [3]}, num_models=3)


def test_without_any_label_there_are_no_methodologies():
    with pytest.raises(UserError, match="expected a non-empty bool table of methodologies"):
        Methodologies.of_labels(["", ""])


def test_counts_of_other_models_are_refused():
    both_wrong_BMM, count_B = counts_of(some_failures(4, 100))
    with pytest.raises(UserError, match="expected pair counts of 10 blocks and 5 models"):
        methodology_estimates(both_wrong_BMM, count_B, PAIR)
