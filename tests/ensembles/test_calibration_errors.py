"""The two calibration errors, from sums over bins."""

import math

import pytest
import torch
from torch import Tensor

from nversion.ensembles import calibration_errors


def binned(confidence_N: Tensor, right_N: Tensor, num_bins: int = 15) -> tuple[Tensor, Tensor, Tensor]:
    bins_N = (confidence_N * num_bins).ceil().long().clamp(1, num_bins) - 1
    sums = [torch.zeros(1, num_bins, dtype=torch.float64) for _ in range(3)]
    for n, b in enumerate(bins_N.tolist()):
        for table_1Q, value in zip(sums, (1.0, float(right_N[n]), float(confidence_N[n])), strict=True):
            table_1Q[0, b] += value
    return sums[0], sums[1], sums[2]


def test_both_errors_by_hand() -> None:
    # Bin A: 4 samples, 3 right, confidence 0.5; bin B: 2 samples, 1 right, confidence 0.9.
    counts = torch.tensor([[4.0, 2.0]]).double()
    right, confidence = torch.tensor([[3.0, 1.0]]).double(), torch.tensor([[2.0, 1.8]]).double()
    ece_E, debiased_E = calibration_errors(counts, right, confidence)
    assert ece_E.item() == pytest.approx((4 * 0.25 + 2 * 0.4) / 6)
    squared = (4 * (0.25**2 - 0.75 * 0.25 / 3) + 2 * (0.4**2 - 0.25 / 1)) / 6
    assert squared < 0
    assert debiased_E.item() == 0  # the root of max(0, ·)
    ece_E, debiased_E = calibration_errors(10 * counts, 10 * right, 10 * confidence)
    squared = (40 * (0.25**2 - 0.75 * 0.25 / 39) + 20 * (0.4**2 - 0.25 / 19)) / 60
    assert debiased_E.item() == pytest.approx(math.sqrt(squared))


def test_without_sampling_error_the_l2_error_is_at_least_the_l1_error() -> None:
    generator = torch.Generator().manual_seed(0)
    counts = torch.full((5, 15), 1e9, dtype=torch.float64)
    right = counts * torch.rand(5, 15, generator=generator)
    confidence = counts * torch.rand(5, 15, generator=generator)
    ece_E, debiased_E = calibration_errors(counts, right, confidence)
    plug_in_E = (((right - confidence) / counts) ** 2).mean(1).sqrt()
    torch.testing.assert_close(debiased_E, plug_in_E, atol=1e-8, rtol=0)
    assert (debiased_E >= ece_E - 1e-8).all()


def test_the_debiased_square_is_unbiased_where_the_plug_in_is_not() -> None:
    """Simulated: ten samples a bin at true gaps of 0.1; the mean square over 4000 draws is 0.01."""
    generator = torch.Generator().manual_seed(1)
    num_draws, per_bin = 4000, 10
    confidence_Q = torch.tensor([0.3, 0.5, 0.7]).double()
    truth_Q = confidence_Q + 0.1
    right_DQ = (torch.rand(num_draws, per_bin, 3, generator=generator) < truth_Q).double().sum(1)
    counts_DQ = torch.full_like(right_DQ, per_bin)
    squares, plug_in = [], []
    share_DQ = right_DQ / per_bin
    # The square before the root is cut at 0, which alone is unbiased: from the same formula on each bin.
    for q in range(3):
        gap_D = share_DQ[:, q] - confidence_Q[q]
        plug_in.append((gap_D**2).mean())
        squares.append((gap_D**2 - share_DQ[:, q] * (1 - share_DQ[:, q]) / (per_bin - 1)).mean())
    assert torch.stack(squares).mean().item() == pytest.approx(0.01, abs=0.002)
    assert torch.stack(plug_in).mean().item() > 0.03
    _, debiased_D = calibration_errors(counts_DQ, right_DQ, counts_DQ * confidence_Q)
    by_hand_D = sum(
        (share_DQ[:, q] - confidence_Q[q]) ** 2 - share_DQ[:, q] * (1 - share_DQ[:, q]) / 9 for q in range(3)
    )
    torch.testing.assert_close(debiased_D, (by_hand_D / 3).clamp(min=0).sqrt())


def test_a_calibrated_model_has_less_error_after_the_bias_is_taken_away() -> None:
    generator = torch.Generator().manual_seed(2)
    confidence_N = torch.rand(300, generator=generator, dtype=torch.float64) * 0.8 + 0.2
    right_N = torch.rand(300, generator=generator) < confidence_N
    ece_E, debiased_E = calibration_errors(*binned(confidence_N, right_N))
    assert ece_E.item() > 0.04
    assert debiased_E.item() < ece_E.item()


def test_a_bin_of_one_sample_adds_to_the_plug_in_error_alone() -> None:
    counts, right = torch.tensor([[1.0, 4.0]]).double(), torch.tensor([[1.0, 4.0]]).double()
    ece_E, debiased_E = calibration_errors(counts, right, torch.tensor([[0.5, 3.0]]).double())
    assert ece_E.item() == pytest.approx((0.5 + 1.0) / 5)
    assert debiased_E.item() == pytest.approx(math.sqrt(4 * 0.0625 / 5))


def test_without_samples_neither_is_defined() -> None:
    for error_E in calibration_errors(*[torch.zeros(2, 15, dtype=torch.float64)] * 3):
        assert error_E.isnan().all()
