"""How often a redundant system fails: k-out-of-n, from difficulty, from rates, or from models drawn."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nversion.core import UserError, did_you_mean

from .methodologies import Methodologies, few_models_notes
from .methodology_intervals import models_and_images_interval, with_all_images, with_few_failures


def num_failing_distribution(chances_xK: Tensor) -> Tensor:
    """The distribution of the number of failures among K independent ones: the Poisson-binomial.

    By the recursion P_i(j) = P_{i−1}(j)·(1 − θ_i) + P_{i−1}(j − 1)·θ_i, for all rows at once.
    Given the image, models drawn independently fail independently, so this holds for θ_i(x) of one
    image; with constant rates it is the line of independence.

    Args:
        chances_xK: chance of failing of each of K; any leading axes.

    Returns:
        float64 probabilities of 0 … K failures, shape (..., K + 1).

    >>> num_failing_distribution(torch.tensor([0.5, 0.5])).tolist()
    [0.25, 0.5, 0.25]
    """
    _check_chances(chances_xK)
    chances_xK = chances_xK.double()
    distribution = torch.ones(1, dtype=torch.float64, device=chances_xK.device)
    for chance in chances_xK.unbind(-1):
        failing = torch.stack([1 - chance, chance], -1)
        distribution = convolve(distribution, failing)
    return distribution


def k_out_of_n_failure(chances_xK: Tensor, num_needed: int) -> Tensor:
    """The chance that fewer than `num_needed` of K work, given each one's chance of failing.

    A k-out-of-n system works while at least k of its n channels work: k = 1 fails when all fail,
    k = n as soon as one fails, 2-out-of-3 when two fail. It assumes a perfect comparison of right
    and wrong; a plurality vote over C > 2 classes can be right with fewer than a majority right, and
    wrong majorities need not agree, so it fails less often than "a majority of members is wrong".

    Averaged over images, the result for θ_i(x) is the failure rate of a system whose models are
    drawn independently, one from each methodology (Littlewood and Miller 1989):
    1-out-of-n gives E[Π Θ_i], 2-out-of-3 gives E[Θ_AΘ_B] + E[Θ_AΘ_C] + E[Θ_BΘ_C] − 2·E[Θ_AΘ_BΘ_C].

    Args:
        chances_xK: chances of failing, any leading axes (images, ensembles).
        num_needed: k, in 1 … K.

    Returns:
        float64 probability, shape (...).

    >>> round(k_out_of_n_failure(torch.tensor([0.1, 0.1, 0.1]), 2).item(), 6)
    0.028
    """
    num_channels = chances_xK.shape[-1] if chances_xK.ndim else 0
    check_needed(num_needed, num_channels)
    return num_failing_distribution(chances_xK)[..., num_channels - num_needed + 1 :].sum(-1)


def system_failure(theta_KN: Tensor, num_needed: int, weight_N: Tensor | None = None) -> float:
    """The failure rate on a random image of a k-out-of-n system with difficulty functions θ_i(x).

    Args:
        theta_KN: θ_i(x) of each channel's methodology; repeat a row for two models of one methodology.
        num_needed: k, in 1 … K.
        weight_N: how often each image occurs; equally often when left out.

    >>> theta_KN = torch.tensor([[0.0, 1.0], [1.0, 0.0]])  # what is hard for one is easy for the other
    >>> system_failure(theta_KN, 1), system_failure(theta_KN.mean(1, keepdim=True), 1)
    (0.0, 0.25)
    """
    failure_N = k_out_of_n_failure(theta_KN.mT, num_needed)
    if weight_N is None:
        return float(failure_N.mean())
    return float((failure_N * weight_N).sum() / weight_N.sum())


def one_out_of_two(theta_A_N: Tensor, theta_B_N: Tensor) -> float:
    """E[Θ_AΘ_B]: both of two channels fail (1-out-of-2).

    >>> one_out_of_two(torch.tensor([0.0, 0.5]), torch.tensor([0.5, 0.5]))
    0.125
    """
    return system_failure(torch.stack([theta_A_N, theta_B_N]), 1)


def two_out_of_three(theta_A_N: Tensor, theta_B_N: Tensor, theta_C_N: Tensor) -> float:
    """E[Θ_AΘ_B] + E[Θ_AΘ_C] + E[Θ_BΘ_C] − 2·E[Θ_AΘ_BΘ_C]: two or three of three channels fail.

    >>> half_N = torch.tensor([0.5, 0.5])
    >>> two_out_of_three(half_N, half_N, half_N)
    0.5
    """
    return system_failure(torch.stack([theta_A_N, theta_B_N, theta_C_N]), 2)


def drawn_failing_distribution(failing_xS: Tensor, models_xS: Tensor, drawn_xS: Tensor) -> Tensor:
    """The number of failures among different models drawn at random, some from each of S pools.

    Drawing r of m models of which k fail is hypergeometric; the pools are drawn independently. As a
    mean over all choices of different models (a U-statistic), it is an unbiased estimate of the
    distribution for new models drawn from the pools' methodologies: A, A, B needs E[Θ_A²Θ_B], which
    the mean over different models of A gives and the square of the failing share would overstate.

    Args:
        failing_xS: int64 k, failing models of each pool; any leading axes (ensembles, images).
        models_xS: int64 m, models of each pool, broadcastable.
        drawn_xS: int64 r, models drawn of each pool, broadcastable, r ≤ m; the rows' sums over pools
            should be one number, the channels of the system.

    Returns:
        float64 probabilities of 0 … R failures, R the largest row sum of `drawn_xS`.

    >>> pool = torch.tensor([[1]]), torch.tensor([3]), torch.tensor([2])
    >>> [round(p, 4) for p in drawn_failing_distribution(*pool)[0].tolist()]
    [0.3333, 0.6667, 0.0]
    """
    num_channels = int(drawn_xS.sum(-1).max())
    hypergeometric = _hypergeometric(int(models_xS.max()), int(drawn_xS.max()), failing_xS.device)
    distribution = torch.ones(1, dtype=torch.float64, device=failing_xS.device)
    for k, m, r in zip(failing_xS.unbind(-1), models_xS.unbind(-1), drawn_xS.unbind(-1), strict=True):
        most = int(r.max())
        if most:
            failing = hypergeometric[..., : most + 1][m, r, k]
            distribution = convolve(distribution, failing)[..., : num_channels + 1]
    return distribution


@dataclass(frozen=True)
class SystemFailure:
    """The failure rate of a system of models drawn at random, with its interval.

    Attributes:
        value: nan where not identified.
        low, high: for other models of the same methodologies and other images.
        independent: what it would be at the same mean rates if models failed independently.
        note: what a reader must know; empty where nothing is unusual.
    """

    value: float
    low: float
    high: float
    independent: float
    note: str


def drawn_system_failure(
    failures_MN: Tensor,
    blocks_N: Tensor,
    num_blocks: int,
    methodologies: Methodologies,
    channels: Sequence[str],
    num_needed: int,
    *,
    confidence: float = 0.95,
    target_rate: float = 1e-3,
) -> SystemFailure:
    """How often a k-out-of-n system fails, each channel a random model of the methodology named.

    A methodology named r times stands for r different models of it. The estimate is the mean over
    all such choices of models (`drawn_failing_distribution`) and images, unbiased for new models
    and images; its interval is `models_and_images_interval`'s, between 0 and 1, joined with
    Clopper-Pearson's below 5 failing images as in `methodology_estimates`.

    Args:
        failures_MN: bool, true where model m fails on image n.
        blocks_N: int64 block of each image, in 0 … num_blocks − 1; at least two with images.
        num_blocks: B.
        methodologies: of the M models.
        channels: names of methodologies, such as ("cnn", "cnn", "vit").
        num_needed: channels that must work: 1 for 1-out-of-n, 2 for 2-out-of-3.
        confidence: of the interval.
        target_rate: the failure rate that the note on few failures speaks of.

    Memory: about (K + 3)·N float64, K channels.

    Raises:
        UserError: a name that is not a methodology, a number of channels that cannot be needed.
    """
    check_needed(num_needed, len(channels))
    for name in channels:
        if name not in methodologies.names:
            raise UserError(
                expected="channels that are methodologies",
                found=repr(name),
                next_step=did_you_mean(name, list(methodologies.names)),
            )
    involved = [g for g, name in enumerate(methodologies.names) if name in channels]
    failures_MN, device = failures_MN.double(), failures_MN.device
    drawn_S = torch.tensor([list(channels).count(methodologies.names[g]) for g in involved], device=device)
    count_B = torch.bincount(blocks_N, minlength=num_blocks).double()
    num_images = len(blocks_N)

    def system(membership_SM: Tensor) -> Tensor:
        models_S = membership_SM.sum(1).long()
        if bool((models_S < drawn_S).any()):
            return count_B.new_full((1 + num_blocks,), torch.nan)
        failing_NS = (membership_SM @ failures_MN).long().T
        distribution_NK = drawn_failing_distribution(failing_NS, models_S, drawn_S)
        failure_N = distribution_NK[:, len(channels) - num_needed + 1 :].sum(1)
        failure_B = torch.zeros_like(count_B).index_add_(0, blocks_N, failure_N)
        return with_all_images(failure_B) / with_all_images(count_B)

    membership_SM = methodologies.membership_GM[involved].double().to(device)
    rate_S = (membership_SM @ failures_MN).sum(1) / (membership_SM.sum(1) * num_images)
    rate_of = dict(zip([methodologies.names[g] for g in involved], rate_S.tolist(), strict=True))
    rates_K = torch.tensor([rate_of[name] for name in channels], dtype=torch.float64)
    independent = float(k_out_of_n_failure(rates_K, num_needed))

    estimate = models_and_images_interval(system, membership_SM, count_B, confidence=confidence)
    value, low, high = (float(part) for part in estimate[:3])
    if math.isnan(value):
        needed = ", ".join(f"{r} of {methodologies.names[g]}" for g, r in zip(involved, drawn_S, strict=True))
        note = f"not identified: needs different models, {needed}"
        return SystemFailure(value, low, high, independent, note)
    notes = few_models_notes(methodologies, involved)
    low, high, few = with_few_failures(
        value, max(low, 0.0), min(high, 1.0), num_images, confidence=confidence, target_rate=target_rate
    )
    return SystemFailure(value, low, high, independent, "; ".join([*notes, *few]))


def convolve(first_xI: Tensor, second_xJ: Tensor) -> Tensor:
    """The distribution of the sum of two independent counts, over the last axis.

    >>> convolve(torch.tensor([0.5, 0.5]), torch.tensor([0.5, 0.5])).tolist()
    [0.25, 0.5, 0.25]
    """
    last = second_xJ.shape[-1] - 1
    shifted = (
        nn.functional.pad(first_xI * probability.unsqueeze(-1), (j, last - j))
        for j, probability in enumerate(second_xJ.unbind(-1))
    )
    return functools.reduce(torch.add, shifted)


def check_needed(num_needed: int, num_channels: int) -> None:
    """Raise a UserError unless 1 ≤ num_needed ≤ num_channels."""
    if not 1 <= num_needed <= num_channels:
        raise UserError(
            expected=f"a number of working channels needed from 1 to {num_channels}",
            found=str(num_needed),
            next_step="1 is a system that fails when all fail, as many as channels one that needs all",
        )


def majority(num_channels: int) -> int:
    """The number of failures at which more than half of the channels fail.

    >>> [majority(k) for k in (2, 3, 4, 5)]
    [2, 2, 3, 3]
    """
    return num_channels // 2 + 1


def _hypergeometric(most_models: int, most_drawn: int, device: torch.device) -> Tensor:
    # [m, r, k, j]: j failures among r drawn of m models, k of which fail; 0 where impossible.
    choose = _binomials(max(most_models, most_drawn)).to(device)
    m, r, k, j = torch.meshgrid(
        torch.arange(most_models + 1, device=device),
        torch.arange(most_drawn + 1, device=device),
        torch.arange(most_models + 1, device=device),
        torch.arange(most_drawn + 1, device=device),
        indexing="ij",
    )
    possible = (r <= m) & (k <= m) & (j <= k) & (j <= r) & (r - j <= m - k)
    m, r, k, j = (torch.where(possible, index, 0) for index in (m, r, k, j))
    chance = choose[k, j] * choose[m - k, r - j] / choose[m, r]
    return torch.where(possible, chance, 0.0)


def _binomials(most: int) -> Tensor:
    rows = [torch.ones(1, dtype=torch.float64)]
    for _ in range(most):
        rows.append(convolve(rows[-1], torch.ones(2, dtype=torch.float64)))
    return torch.stack([torch.cat([row, row.new_zeros(most + 1 - len(row))]) for row in rows])


def _check_chances(chances_xK: Tensor) -> None:
    if not chances_xK.ndim or not chances_xK.shape[-1]:
        raise UserError(
            expected="the chance of failing of at least one channel on the last axis",
            found=f"shape {tuple(chances_xK.shape)}",
            next_step="pass one chance a channel",
        )
    # nan passes: an undefined rate gives an undefined system.
    if bool(((chances_xK < 0) | (chances_xK > 1)).any()):
        raise UserError(
            expected="chances of failing from 0 to 1",
            found=f"{float(chances_xK.min())} to {float(chances_xK.max())}",
            next_step="pass fractions",
        )
