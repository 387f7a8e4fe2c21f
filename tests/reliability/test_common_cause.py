"""The common-cause factor is 1 − generalised diversity, and joint failures are the counts."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from nversion.core import UserError
from nversion.ensembles import Ensembles
from nversion.reliability import common_cause_factor, common_cause_if_independent, joint_failures

NUM_BLOCKS = 5


def blocks_of(num_images):
    return torch.arange(num_images) % NUM_BLOCKS


def counted(fails_MN, ensembles):
    """Counts of failing members and failures of each model, by block, the slow way."""
    counts_BEK = torch.zeros(NUM_BLOCKS, len(ensembles), ensembles.size + 1)
    for row, members in enumerate(ensembles.members_EK):
        for block, failing in zip(
            blocks_of(fails_MN.shape[1]).tolist(), fails_MN[members].sum(0).tolist(), strict=True
        ):
            counts_BEK[block, row, failing] += 1
    failures_BM = torch.stack(
        [fails_MN[:, blocks_of(fails_MN.shape[1]) == b].sum(1) for b in range(NUM_BLOCKS)]
    )
    return counts_BEK, failures_BM


def some_failures(num_models=4, num_images=200, seed=0):
    return torch.rand(num_models, num_images, generator=torch.Generator().manual_seed(seed)) < 0.3


def test_beta_is_the_mean_pairwise_double_fault_over_the_mean_failure():
    fails_MN = some_failures()
    counts_BEK, _ = counted(fails_MN, Ensembles.all_of(4, 4))
    o = fails_MN.double().numpy()
    double_fault = np.mean([(o[i] * o[k]).mean() for i in range(4) for k in range(4) if i != k])
    assert common_cause_factor(counts_BEK.sum(0))[0].item() == pytest.approx(double_fault / o.mean())


def test_members_that_fail_alike_have_beta_one_and_those_that_never_meet_zero():
    assert common_cause_factor(torch.tensor([5.0, 0.0, 0.0, 2.0])).item() == 1.0
    assert common_cause_factor(torch.tensor([5.0, 7.0, 0.0, 0.0])).item() == 0.0


def test_without_failures_beta_is_undefined():
    assert math.isnan(common_cause_factor(torch.tensor([5.0, 0.0, 0.0])).item())
    assert math.isnan(common_cause_if_independent(torch.tensor([0.0, 0.0])).item())


def test_independent_members_have_the_beta_of_independence():
    rates_K = torch.tensor([0.1, 0.3, 0.5], dtype=torch.float64)
    pairs = 2 * (0.1 * 0.3 + 0.1 * 0.5 + 0.3 * 0.5) / 6
    assert common_cause_if_independent(rates_K).item() == pytest.approx(pairs / 0.3)


def test_joint_failures_are_shares_of_images():
    fails_MN, ensembles = some_failures(), Ensembles.all_of(4, 3)
    found = joint_failures(*counted(fails_MN, ensembles), ensembles.members_EK)
    failing_EN = torch.stack([fails_MN[members].sum(0) for members in ensembles.members_EK])
    torch.testing.assert_close(found.all_fail_E, (failing_EN == 3).double().mean(1))
    torch.testing.assert_close(found.majority_fail_E, (failing_EN >= 2).double().mean(1))
    assert found.n == 200


def test_two_of_four_are_no_majority():
    fails_MN = torch.tensor([[1, 1], [1, 1], [0, 1], [0, 0]], dtype=torch.bool).repeat(1, NUM_BLOCKS)
    ensembles = Ensembles.all_of(4, 4)
    found = joint_failures(*counted(fails_MN, ensembles), ensembles.members_EK)
    assert found.majority_fail_E.item() == 0.5


def test_independence_takes_the_members_own_rates():
    fails_MN, ensembles = some_failures(), Ensembles.of([[0, 1, 3]], 4)
    found = joint_failures(*counted(fails_MN, ensembles), ensembles.members_EK)
    a, b, c = fails_MN.double().mean(1)[[0, 1, 3]].tolist()
    assert found.all_fail_independent_E.item() == pytest.approx(a * b * c)
    two_or_three = a * b + a * c + b * c - 2 * a * b * c
    assert found.majority_fail_independent_E.item() == pytest.approx(two_or_three)
    assert found.beta_independent_E.item() == pytest.approx((a * b + a * c + b * c) / (a + b + c))


def test_intervals_are_scipys_exact_ones():
    fails_MN, ensembles = some_failures(), Ensembles.all_of(4, 3)
    found = joint_failures(*counted(fails_MN, ensembles), ensembles.members_EK, confidence=0.9)
    for row, share in enumerate(found.all_fail_E.tolist()):
        exact = stats.binomtest(round(share * 200), 200).proportion_ci(0.9, "exact")
        ends = found.all_fail_low_E[row].item(), found.all_fail_high_E[row].item()
        assert ends == pytest.approx((exact.low, exact.high))


def test_beta_without_a_block_is_beta_of_the_other_images():
    fails_MN, ensembles = some_failures(), Ensembles.all_of(4, 3)
    found = joint_failures(*counted(fails_MN, ensembles), ensembles.members_EK)
    kept_MN = fails_MN[:, blocks_of(200) != 2]
    failing_N = kept_MN[:3].sum(0).double()
    expected = (failing_N * (failing_N - 1)).sum() / (2 * failing_N.sum())
    assert found.beta_BE[2, 0].item() == pytest.approx(expected.item())


def test_the_standard_error_of_beta_is_its_spread_over_samples():
    ensembles, rng = Ensembles.all_of(3, 3), torch.Generator().manual_seed(0)
    betas, stderrs = [], []
    for _ in range(200):
        difficulty_N = torch.rand(400, generator=rng) ** 2
        fails_MN = torch.rand(3, 400, generator=rng) < difficulty_N
        blocks_N = torch.arange(400) % 20
        counts_BEK = torch.zeros(20, 1, 4).index_put_(
            (blocks_N, torch.zeros_like(blocks_N), fails_MN.sum(0)), torch.tensor(1.0), accumulate=True
        )
        failures_BM = torch.zeros(20, 3).index_add_(0, blocks_N, fails_MN.T.float())
        found = joint_failures(counts_BEK, failures_BM, ensembles.members_EK)
        betas.append(found.beta_E.item())
        stderrs.append(found.beta_stderr_E.item())
    assert np.mean(stderrs) == pytest.approx(np.std(betas), rel=0.15)


def test_single_models_have_no_common_cause():
    with pytest.raises(UserError, match="expected ensembles of at least 2 members, found 1"):
        common_cause_factor(torch.tensor([3.0, 2.0]))


def test_counts_of_other_ensembles_are_refused():
    counts_BEK, failures_BM = counted(some_failures(), Ensembles.all_of(4, 3))
    with pytest.raises(UserError, match=r"expected counts \(B, E, K \+ 1\)"):
        joint_failures(counts_BEK, failures_BM, Ensembles.all_of(4, 2).members_EK)
