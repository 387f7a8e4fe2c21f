"""How ensembles fail together: rates of joint failure and the common-cause factor, beside independence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nversion.core import UserError
from nversion.ensembles.jackknife import block_jackknife_stderr

from .intervals import proportion_intervals
from .systems import majority, num_failing_distribution


def common_cause_factor(counts_xK: Tensor) -> Tensor:
    """beta = P2/P1: the chance that a second member fails where one fails.

    With p_i the share of images on which exactly i of K members fail, P1 = Σ (i/K)·p_i is the
    failure rate of a random member and P2 = Σ i(i−1)/(K(K−1))·p_i that of a random pair. It is
    1 − generalised diversity (Partridge and Krzanowski 1997).

    Read as in IEC 61508-6 annex D, beta is the share of a channel's failures that are common: a
    1-out-of-2 system fails at the rate beta · P1. What that reading assumes, and what to mind:
    - a failure is a wrong answer on demand (an image of this condition), not an event in time, and
      beta holds for the mix of images that was measured;
    - the standard's beta counts failures of one shared cause; a measured beta also holds two
      failures that coincide by chance, so `common_cause_if_independent` belongs beside it, and
      only what exceeds that is common;
    - the members are exchangeable: beta is an average over pairs;
    - the standard lets one cause fail all channels. For K > 2, beta · P1 is the rate of a random
      pair, not that of all K, which is at most beta · P1 and can be far less.

    Args:
        counts_xK: number of images on which 0 … K members fail, shape (..., K + 1), K ≥ 2.

    Returns:
        float64 of shape (...), in [0, 1]; nan where no member fails on any image.

    >>> common_cause_factor(torch.tensor([90.0, 6.0, 4.0])).item()  # 14 failures of a member, 8 shared
    0.5714285714285714
    """
    size = _size(counts_xK)
    failing_K = torch.arange(size + 1, dtype=torch.float64, device=counts_xK.device)
    single = (counts_xK.double() * failing_K).sum(-1)
    paired = (counts_xK.double() * failing_K * (failing_K - 1)).sum(-1) / (size - 1)
    return paired / single


def common_cause_if_independent(rates_xK: Tensor) -> Tensor:
    """The beta of members that fail independently at their own rates p_i: Σ_{i≠k} p_i·p_k / ((K−1)·Σ p_i).

    At equal rates it is that rate. Independence of models of unequal rates lowers it a little.

    Args:
        rates_xK: failure rates of the members, shape (..., K), K ≥ 2.

    Returns:
        float64 of shape (...); nan where all rates are 0.

    >>> round(common_cause_if_independent(torch.tensor([0.1, 0.1, 0.1])).item(), 6)
    0.1
    """
    size = _size(rates_xK, more=0)
    rates_xK = rates_xK.double()
    total = rates_xK.sum(-1)
    return (total**2 - (rates_xK**2).sum(-1)) / ((size - 1) * total)


@dataclass(frozen=True)
class JointFailures:
    """How E ensembles of one size fail together on the images of one condition; float64 tensors.

    Attributes:
        n: images.
        all_fail_E: share of images on which all members fail (a 1-out-of-K system fails).
        all_fail_low_E, all_fail_high_E: its Clopper-Pearson interval for other images, these models.
        all_fail_independent_E: the product of the members' failure rates.
        majority_fail_E: share of images on which more than half of the members fail. A plurality
            vote can still be right then, where the wrong votes scatter over several classes: the
            vote's own failure rate is another number.
        majority_fail_independent_E: the same if members failed independently at their own rates.
        beta_E: `common_cause_factor`; nan where no member fails.
        beta_stderr_E: its standard error over images, from the block jackknife.
        beta_independent_E: `common_cause_if_independent`.
        beta_BE: beta without the images of block b.
    """

    n: int
    all_fail_E: Tensor
    all_fail_low_E: Tensor
    all_fail_high_E: Tensor
    all_fail_independent_E: Tensor
    majority_fail_E: Tensor
    majority_fail_independent_E: Tensor
    beta_E: Tensor
    beta_stderr_E: Tensor
    beta_independent_E: Tensor
    beta_BE: Tensor


def joint_failures(
    counts_BEK: Tensor, failures_BM: Tensor, members_EK: Tensor, *, confidence: float = 0.95
) -> JointFailures:
    """Joint failures of all ensembles, from the counts of failing members in every block of images.

    Args:
        counts_BEK: images of each block on which 0 … K members fail, shape (B, E, K + 1).
        failures_BM: images of each block on which each model fails.
        members_EK: int64 members of each ensemble, K ≥ 2.
        confidence: of the two-sided intervals.

    Memory: about four float64 arrays of the counts' size.

    Raises:
        UserError: shapes that do not fit each other, ensembles of one, no image.
    """
    _check(counts_BEK, failures_BM, members_EK)
    size = members_EK.shape[1]
    counts_BEK = counts_BEK.double()
    count_B = counts_BEK[:, 0].sum(-1)
    counts_EK = counts_BEK.sum(0)
    n = round(float(count_B.sum()))
    rates_EK = (failures_BM.double().sum(0) / n)[members_EK]
    independent_EK = num_failing_distribution(rates_EK)
    beta_E = common_cause_factor(counts_EK)
    beta_BE = common_cause_factor(counts_EK - counts_BEK)
    low_E, high_E = proportion_intervals(counts_EK[:, -1], n, confidence=confidence, method="clopper_pearson")
    return JointFailures(
        n=n,
        all_fail_E=counts_EK[:, -1] / n,
        all_fail_low_E=low_E,
        all_fail_high_E=high_E,
        all_fail_independent_E=independent_EK[:, -1],
        majority_fail_E=counts_EK[:, majority(size) :].sum(-1) / n,
        majority_fail_independent_E=independent_EK[:, majority(size) :].sum(-1),
        beta_E=beta_E,
        beta_stderr_E=block_jackknife_stderr(beta_E, beta_BE, count_B),
        beta_independent_E=common_cause_if_independent(rates_EK),
        beta_BE=beta_BE,
    )


def _size(values_xK: Tensor, *, more: int = 1) -> int:
    size = (values_xK.shape[-1] if values_xK.ndim else 0) - more
    if size < 2:
        raise UserError(
            expected="ensembles of at least 2 members",
            found=f"{size} in a table of shape {tuple(values_xK.shape)}",
            next_step="a single model has no common failure: leave size 1 out",
        )
    return size


def _check(counts_BEK: Tensor, failures_BM: Tensor, members_EK: Tensor) -> None:
    fits = (
        counts_BEK.ndim == 3
        and failures_BM.ndim == 2
        and members_EK.ndim == 2
        and len(counts_BEK) == len(failures_BM)
        and counts_BEK.shape[1:] == (len(members_EK), members_EK.shape[1] + 1)
    )
    if not fits:
        shapes = (tuple(counts_BEK.shape), tuple(failures_BM.shape), tuple(members_EK.shape))
        raise UserError(
            expected="counts (B, E, K + 1), failures (B, M) and members (E, K)",
            found=", ".join(map(str, shapes)),
            next_step="pass counts of the same blocks and ensembles",
        )
    if not float(counts_BEK.sum()):
        raise UserError(
            expected="at least one image", found="none", next_step="leave out conditions without images"
        )
