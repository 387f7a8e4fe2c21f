"""The block jackknife equals what is known of means, and is honest about undefined blocks."""

import math

import numpy as np
import pytest
import torch

from nversion.core import UserError
from nversion.reliability import block_jackknife, block_jackknife_stderr


def without_each(sums_B, count_B):
    return (sums_B.sum(0) - sums_B) / (count_B.sum() - count_B)


def test_equal_blocks_give_the_textbook_formula():
    replicates_BE = torch.tensor([[1.0, 4.0], [3.0, 4.5], [8.0, 6.0]], dtype=torch.float64)
    expected = torch.sqrt(2 / 3 * ((replicates_BE - replicates_BE.mean(0)) ** 2).sum(0))
    ours = block_jackknife_stderr(torch.tensor([2.0, 5.0]), replicates_BE)
    torch.testing.assert_close(ours, expected)


def test_unequal_blocks_give_the_published_pseudo_values():
    # Busing, Meijer and van der Leeden 1999, written as they do.
    theta, replicates = 0.4, np.array([0.5, 0.35, 0.42])
    counts = np.array([10.0, 20.0, 30.0])
    h = counts.sum() / counts
    pseudo = h * theta - (h - 1) * replicates
    centre = 3 * theta - ((1 - counts / counts.sum()) * replicates).sum()
    expected = math.sqrt(((pseudo - centre) ** 2 / (h - 1)).mean())
    ours = block_jackknife_stderr(torch.tensor(theta), torch.tensor(replicates), torch.tensor(counts))
    assert ours.item() == pytest.approx(expected, rel=1e-6)


def test_the_error_of_a_mean_over_single_samples_is_s_over_root_n():
    values_N = torch.randn(200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    replicates_N = without_each(values_N, torch.ones(200))
    expected = values_N.std() / math.sqrt(200)
    torch.testing.assert_close(block_jackknife_stderr(values_N.mean(), replicates_N), expected)


def test_the_error_of_a_mean_over_unequal_blocks_matches_repeated_draws():
    rng = torch.Generator().manual_seed(1)
    count_B = torch.arange(5, 45).double()
    sums_RB = torch.randn(4000, 40, generator=rng, dtype=torch.float64) * count_B.sqrt()
    means_R = sums_RB.sum(1) / count_B.sum()
    replicates_BR = without_each(sums_RB.T, count_B[:, None])
    stderr_R = block_jackknife_stderr(means_R, replicates_BR, count_B)
    assert stderr_R.square().mean().sqrt().item() == pytest.approx(means_R.std().item(), rel=0.05)


def test_a_block_without_which_the_statistic_is_undefined_is_counted_and_left_out():
    replicates_BE = torch.tensor([[1.0], [math.nan], [3.0], [5.0]], dtype=torch.float64)
    result = block_jackknife(torch.tensor([3.0]), replicates_BE)
    # The mean over the defined blocks of (τ_b − τ)²/(h_b − 1): (B − 1) · mean (θ_(b) − 3)².
    assert result.stderr_E.item() == pytest.approx(math.sqrt(3 * (4 + 0 + 4) / 3))
    assert result.num_undefined_E.tolist() == [1]


def test_one_defined_replicate_gives_no_error():
    result = block_jackknife(torch.tensor([3.0]), torch.tensor([[1.0], [math.nan], [math.nan]]))
    assert result.stderr_E.isnan().all()
    assert result.num_undefined_E.tolist() == [2]


def test_an_undefined_statistic_has_an_undefined_error():
    assert block_jackknife_stderr(torch.tensor([math.nan]), torch.tensor([[1.0], [2.0]])).isnan().all()


def test_a_block_without_samples_is_no_replicate():
    replicates_B = torch.tensor([1.0, 2.0, 2.5, 4.0])
    with_empty = block_jackknife_stderr(torch.tensor(2.0), replicates_B, torch.tensor([5, 7, 0, 6]))
    without = block_jackknife_stderr(torch.tensor(2.0), replicates_B[[0, 1, 3]], torch.tensor([5, 7, 6]))
    assert with_empty == without


def test_one_block_is_not_enough():
    with pytest.raises(UserError, match="expected at least two blocks with samples, found 1"):
        block_jackknife_stderr(torch.tensor(1.0), torch.tensor([1.0]))


def test_blocks_on_another_axis_are_refused():
    with pytest.raises(UserError, match="put the blocks on the first axis"):
        block_jackknife_stderr(torch.zeros(3), torch.zeros(3, 5))


def test_a_statistic_that_rests_on_one_block_has_no_known_error():
    # A mean over images of which all lie in block 0: without it there is none, without others it stays.
    without_BE = torch.tensor([[torch.nan], [3.0], [3.0]])
    found = block_jackknife(torch.tensor([3.0]), without_BE)
    assert found.stderr_E.isnan().all()
    assert found.num_undefined_E.tolist() == [1]
