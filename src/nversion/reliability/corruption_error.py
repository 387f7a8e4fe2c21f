"""Benchmark numbers of corruptions: corruption errors, and accuracy as a function of severity.

The corruption error of Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations" (ICLR 2019, section 4.2), sums the error over the levels of a corruption and
divides it by the same sum of a baseline; Mintun, Kirillov and Xie (NeurIPS 2021) report the error itself. The
formulas take accuracies or errors with any axes in front, so that one call gives them on all images and a
second one without each block of images: `Replicated.of`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nversion.core import UserError


def corruption_errors(error_CX: Tensor, baseline_C: Tensor) -> Tensor:
    """CE_c = Σ_s error_{s,c} / Σ_s baseline error_{s,c}, over the same levels s of corruption c.

    Means over the levels do as well as sums. nan where the baseline makes no error.

    Args:
        error_CX: of X contenders under C corruptions, with any axes in front.
        baseline_C: of the baseline, with the same axes in front.

    >>> corruption_errors(torch.tensor([[0.2, 0.6]]), torch.tensor([0.4])).tolist()
    [[0.5, 1.5]]
    """
    return error_CX / torch.where(baseline_C > 0, baseline_C, torch.nan).unsqueeze(-1)


def relative_corruption_errors(
    error_CX: Tensor, clean_X: Tensor, baseline_C: Tensor, baseline_clean: Tensor
) -> Tensor:
    """Relative CE_c = Σ_s (error_{s,c} − clean error) / Σ_s (baseline error_{s,c} − baseline clean error).

    nan where the baseline loses nothing under the corruption: there is nothing to be relative to.

    Args:
        error_CX, baseline_C: means over levels, not sums, as the clean errors are of one condition.
        clean_X, baseline_clean: clean errors, with the same axes in front.

    >>> error_CX, clean_X = torch.tensor([[0.3, 0.6]]).double(), torch.tensor([0.2, 0.2]).double()
    >>> baseline_C, baseline_clean = torch.tensor([0.5]).double(), torch.tensor(0.3).double()
    >>> relative_CX = relative_corruption_errors(error_CX, clean_X, baseline_C, baseline_clean)
    >>> [round(x, 3) for x in relative_CX[0].tolist()]
    [0.5, 2.0]
    """
    lost_C = baseline_C - baseline_clean.unsqueeze(-1)
    return (error_CX - clean_X.unsqueeze(-2)) / torch.where(lost_C > 0, lost_C, torch.nan).unsqueeze(-1)


def mean_over_corruptions(of_corruption_CX: Tensor) -> Tensor:
    """mCE of CE, relative mCE of relative CE, mean corruption error of errors; nan where one of them is.

    >>> mean_over_corruptions(torch.tensor([[0.5, 1.0], [1.5, torch.nan]])).tolist()
    [1.0, nan]
    """
    return of_corruption_CX.mean(-2)


def area_under_accuracy(severity_L: Tensor, top1_LX: Tensor) -> Tensor:
    """The area under accuracy against severity by the trapezoidal rule, over the range of severities.

    It lies in [0, 1] and is the mean accuracy over that range, between levels on a straight line.

    Args:
        severity_L: at least two, growing; 0 for clean images where the scale begins there.
        top1_LX: accuracies at these severities, with any axes in front.

    Raises:
        UserError: fewer than two severities, or severities that do not grow.

    >>> area_under_accuracy(torch.tensor([0.0, 1.0, 3.0]), torch.tensor([[1.0], [0.5], [0.0]])).tolist()
    [0.4166666567325592]
    """
    _check_severities(severity_L, top1_LX)
    step_L1 = severity_L.diff().unsqueeze(-1).to(top1_LX)
    middle_LX = (top1_LX[..., 1:, :] + top1_LX[..., :-1, :]) / 2
    return (step_L1 * middle_LX).sum(-2) / step_L1.sum()


def half_severity(severity_L: Tensor, top1_LX: Tensor, clean_X: Tensor) -> Tensor:
    """The least severity at which accuracy has fallen to half of the clean accuracy, on straight lines.

    nan where it does not within the range, where it has at the first severity already, and where no
    clean image is classified rightly.

    Args:
        severity_L: at least two, growing; 0 for clean images where the scale begins there.
        top1_LX: accuracies at these severities, with any axes in front.
        clean_X: clean accuracies, with the same axes in front.

    Raises:
        UserError: fewer than two severities, or severities that do not grow.

    >>> top1_LX = torch.tensor([[0.8, 0.8], [0.6, 0.6], [0.2, 0.5]])
    >>> half_severity(torch.tensor([0.0, 1.0, 3.0]), top1_LX, torch.tensor([0.8, 0.8])).tolist()
    [2.0, nan]
    """
    _check_severities(severity_L, top1_LX)
    half_1X = clean_X.unsqueeze(-2) / 2
    fallen_LX = top1_LX <= half_1X
    after_1X = fallen_LX.int().argmax(-2, keepdim=True)  # the first of equals
    before_1X = (after_1X - 1).clamp(min=0)
    high_1X, low_1X = top1_LX.gather(-2, before_1X), top1_LX.gather(-2, after_1X)
    severity_LX = severity_L.to(top1_LX).unsqueeze(-1).expand_as(top1_LX)
    start_1X, end_1X = severity_LX.gather(-2, before_1X), severity_LX.gather(-2, after_1X)
    share_1X = (high_1X - half_1X) / (high_1X - low_1X)
    reached_1X = fallen_LX.any(-2, keepdim=True) & (after_1X > 0)
    return torch.where(reached_1X, start_1X + share_1X * (end_1X - start_1X), torch.nan).squeeze(-2)


def _check_severities(severity_L: Tensor, top1_LX: Tensor) -> None:
    grows = len(severity_L) >= 2 and bool((severity_L.diff() > 0).all())
    if not grows or top1_LX.shape[-2] != len(severity_L):
        raise UserError(
            expected="at least two growing severities and accuracies at each of them",
            found=f"severities {severity_L.tolist()} and accuracies of shape {tuple(top1_LX.shape)}",
            next_step="sort by severity and leave corruptions of one severity out",
        )
