"""Corruption errors and curves: numbers by hand, a naive loop over everything, coverage of the intervals."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from nversion.core import UserError
from nversion.ensembles import Replicated
from nversion.reliability import (
    area_under_accuracy,
    corruption_errors,
    half_severity,
    mean_over_corruptions,
    relative_corruption_errors,
)

NUM_BLOCKS = 25


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_the_baseline_has_an_error_of_one_in_every_way():
    error_C, clean = tensor(0.8, 0.6, 0.9), torch.tensor(0.4, dtype=torch.float64)
    error_CX = error_C.unsqueeze(1)
    assert corruption_errors(error_CX, error_C).tolist() == [[1.0], [1.0], [1.0]]
    relative_CX = relative_corruption_errors(error_CX, clean.unsqueeze(0), error_C, clean)
    assert relative_CX.flatten().tolist() == pytest.approx([1.0, 1.0, 1.0])


def test_mce_by_hand():
    # Two corruptions at two levels: errors .2, .4 and .5, .7; the baseline's .4, .8 and .6, .6.
    ce_CX = corruption_errors(tensor(0.6, 1.2).unsqueeze(1), tensor(1.2, 1.2))
    assert ce_CX.flatten().tolist() == pytest.approx([0.5, 1.0])
    assert mean_over_corruptions(ce_CX).tolist() == pytest.approx([0.75])


def test_a_baseline_that_never_errs_or_loses_nothing_leaves_nothing_to_divide_by():
    error_CX, clean_X, zero = tensor([0.2], [0.3]), tensor(0.1), torch.tensor(0.1, dtype=torch.float64)
    assert corruption_errors(error_CX, tensor(0.0, 0.6))[:, 0].isnan().tolist() == [True, False]
    relative_CX = relative_corruption_errors(error_CX, clean_X, tensor(0.1, 0.05), zero)
    assert relative_CX.isnan().all()


def test_a_straight_fall_has_the_mean_of_its_ends_as_area_and_halves_in_the_middle():
    severity_L = tensor(0.0, 1.0, 2.5, 5.0)
    top1_LX = (1 - severity_L / 5).unsqueeze(1) * tensor(0.9)
    assert area_under_accuracy(severity_L, top1_LX).tolist() == pytest.approx([0.45])
    assert half_severity(severity_L, top1_LX, tensor(0.9)).tolist() == pytest.approx([2.5])


def test_the_first_crossing_counts_and_one_outside_the_range_does_not():
    severity_L = tensor(1.0, 2.0, 3.0)
    top1_LX = tensor([0.8, 0.8, 0.3], [0.2, 0.5, 0.2], [0.8, 0.41, 0.1])
    found_X = half_severity(severity_L, top1_LX, tensor(0.8, 0.8, 0.8))
    assert found_X[0].item() == pytest.approx(1 + 0.4 / 0.6)  # it rises above the half later
    assert found_X[1:].isnan().all()  # never; already at the first severity


def test_no_clean_answer_right_has_no_half():
    assert half_severity(tensor(0.0, 1.0), tensor([0.0], [0.0]), tensor(0.0)).isnan().all()


@pytest.mark.parametrize("severities", [(1.0,), (2.0, 1.0), (1.0, 1.0)])
def test_severities_must_grow(severities):
    top1_LX = torch.full((len(severities), 1), 0.5)
    with pytest.raises(UserError, match="at least two growing severities"):
        area_under_accuracy(tensor(*severities), top1_LX)


def counts(rng, threshold_CSM, num_images, shared=0.6):
    """Right answers (C, S, B, M): images hard for all alike; P(wrong) is Φ(−threshold), levels and all."""
    hard_N = math.sqrt(shared) * rng.normal(size=num_images)
    own = math.sqrt(1 - shared) * rng.normal(size=(*threshold_CSM.shape, num_images))
    right = hard_N + own < threshold_CSM[..., None]
    return (
        torch.from_numpy(right.reshape(*threshold_CSM.shape, NUM_BLOCKS, -1).sum(-1)).double().movedim(2, 3)
    )


def rates(right, count_B):
    """Replicated accuracies of right answers (..., B, M), with the blocks in front."""
    return Replicated.mean(right.movedim(-2, 0), count_B)


@pytest.fixture
def simulated():
    """Thresholds of 3 models under 2 corruptions at 3 levels, and on clean images; their answers."""
    rng = np.random.default_rng(3)
    threshold_CSM = np.array([0.8, 0.2, -0.4])[None, :, None] + rng.normal(0, 0.3, (2, 1, 3))
    clean_11M = np.array([1.2, 1.0, 1.5])[None, None]
    right = counts(rng, np.concatenate([np.broadcast_to(clean_11M, (1, 3, 3)), threshold_CSM]), 500)
    return right[1:], right[0, 0], torch.full((NUM_BLOCKS,), 500 / NUM_BLOCKS, dtype=torch.float64)


def test_everything_is_that_of_a_naive_loop(simulated):
    right_CSBM, clean_BM, count_B = simulated
    error = Replicated.of(lambda top1: 1 - top1.mean(-2), rates(right_CSBM, count_B))
    clean = Replicated.of(lambda top1: 1 - top1, rates(clean_BM, count_B))
    base, base_clean = (values[0] for values in (error, clean))
    ce = Replicated.of(corruption_errors, error, base)
    relative = Replicated.of(relative_corruption_errors, error, clean, base, base_clean)
    mce = Replicated.of(mean_over_corruptions, ce)
    found = mce.interval(count_B)

    def by_loop(kept_B, model):
        n = sum(count_B[b].item() for b in kept_B)
        wrong = lambda right_BM, m: n - sum(right_BM[b][m].item() for b in kept_B)  # noqa: E731
        ces, relatives = [], []
        for right_SBM in right_CSBM:
            own, of_base = (sum(wrong(right_BM, m) / n for right_BM in right_SBM) for m in (model, 0))
            ces.append(own / of_base)
            cleans = [wrong(clean_BM, m) / n for m in (model, 0)]
            relatives.append((own - 3 * cleans[0]) / (of_base - 3 * cleans[1]))
        return sum(ces) / len(ces), relatives

    everything = range(NUM_BLOCKS)
    for model in (1, 2):
        value, relatives = by_loop(everything, model)
        assert mce.full_E[model].item() == pytest.approx(value)
        assert relative.full_E[:, model].tolist() == pytest.approx(relatives)
        without = [by_loop([b for b in everything if b != left], model)[0] for left in everything]
        variance = (NUM_BLOCKS - 1) / NUM_BLOCKS * sum((x - np.mean(without)) ** 2 for x in without)
        reach = stats.t.ppf(0.975, NUM_BLOCKS - 1) * math.sqrt(variance)
        assert found.low_X[model].item() == pytest.approx(value - reach)
        assert found.high_X[model].item() == pytest.approx(value + reach)


def test_the_baseline_beside_itself_is_one_without_an_interval(simulated):
    right_CSBM, _, count_B = simulated
    error = Replicated.of(lambda top1: 1 - top1.mean(-2), rates(right_CSBM, count_B))
    ce = Replicated.of(corruption_errors, error, error[0])
    found = ce.interval(count_B)
    assert ce.full_E[:, 0].tolist() == [1.0, 1.0]
    assert found.low_X[:, 0].isnan().all() and found.low_X[:, 1].isfinite().all()


def test_a_number_that_one_block_holds_alone_has_no_interval():
    values = Replicated(tensor(0.5), torch.tensor([[torch.nan], [0.5], [0.6]], dtype=torch.float64))
    found = values.interval(torch.ones(3))
    assert found.low_X.isnan().all() and found.num_undefined_X.tolist() == [1]


@pytest.mark.parametrize("fixed", [False, True])
def test_intervals_cover_what_more_images_would_show(fixed):
    # 400 repeats of 95 %: 3.3 standard errors around it are .914 to .986.
    rng = np.random.default_rng(11)
    severity_L = tensor(0.0, 1.0, 2.0, 3.0)
    clean_1M, levels_CSM = np.array([[1.0, 1.3]]), np.array([[0.7, 0.8], [0.1, 0.3], [-0.6, -0.3]])
    threshold = np.stack([np.concatenate([clean_1M, levels_CSM + shift]) for shift in (0.0, -0.2)])
    truth_CLM = torch.from_numpy(stats.norm.cdf(threshold))
    count_B = torch.full((NUM_BLOCKS,), 16.0, dtype=torch.float64)

    def numbers(top1_CLM, base_C):
        error_CM = 1 - top1_CLM[..., 1:, :].mean(-2)
        base_C = error_CM[..., 0] if base_C is None else base_C
        return torch.stack(
            [
                mean_over_corruptions(corruption_errors(error_CM, base_C))[..., 1],
                error_CM[..., 1].mean(-1),
                area_under_accuracy(severity_L, top1_CLM)[..., 0, 1],
                half_severity(severity_L, top1_CLM, top1_CLM[..., 0, :])[..., 0, 1],
                (error_CM[..., 0] - error_CM[..., 1]).mean(-1),
            ],
            -1,
        )

    base_C = tensor(0.5, 0.55) if fixed else None  # a published row; else the first model, on the same images
    truth = numbers(truth_CLM, base_C)
    covered = torch.zeros(5)
    for _ in range(400):
        top1 = rates(counts(rng, threshold, NUM_BLOCKS * 16), count_B)
        found = Replicated.of(lambda x: numbers(x, base_C), top1).interval(count_B)
        covered += (found.low_X <= truth) & (truth <= found.high_X)
    assert ((covered / 400 > 0.914) & (covered / 400 < 0.986)).all(), covered / 400
