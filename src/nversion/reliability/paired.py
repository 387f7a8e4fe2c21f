"""Two classifiers on the same images: McNemar's test, intervals of the difference, many at once.

Where both are right, or both wrong, an image says nothing about which is better. What counts are the
images that only one of them gets right. Counts may be fractional: a vote whose tie is shared counts
its expected accuracy on that image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy import special
from torch import Tensor

from nversion.core import UserError
from nversion.core.normal import normal_quantile

from .intervals import Interval, check_confidence

_HALVINGS = 60  # of an interval no longer than 2: to the last bit


def mcnemar_p_value(only_a_E: Tensor, only_b_E: Tensor) -> Tensor:
    """Two-sided exact p-value of "a and b are right equally often" (McNemar 1947, binomial form).

    Of the n = a + b images that only one of the two gets right, each is a's with probability ½:

        p = min(1, 2·P(X ≤ min(a, b))),   X ~ Binomial(n, ½),   P(X ≤ k) = I_½(n − k, k + 1)

    The regularised incomplete beta function I is the binomial's distribution at whole counts and
    joins them where counts are fractional; the test's guarantee holds for whole ones. Without such
    images p is 1.

    Args:
        only_a_E, only_b_E: how many images only the one, only the other gets right; any shape.

    Returns:
        Float64, of the same shape.

    >>> mcnemar_p_value(torch.tensor([1.0, 0.0]), torch.tensor([7.0, 0.0])).tolist()
    [0.0703125, 1.0]
    """
    a_E, b_E = _counts(only_a_E, only_b_E)
    fewer_E, more_E = torch.minimum(a_E, b_E), torch.maximum(a_E, b_E)
    # I_½(0, 1) is undefined; any pair of equal counts has p = 1.
    tail_E = special.betainc(more_E.clamp(min=1e-300).numpy(), fewer_E.numpy() + 1, 0.5)
    return torch.as_tensor(2 * tail_E, dtype=torch.float64).clamp(max=1.0)


def paired_difference_interval(
    only_a_E: Tensor, only_b_E: Tensor, n: Tensor | float, *, confidence: float = 0.95
) -> tuple[Tensor, Tensor]:
    """The score interval of the difference of two accuracies on the same n images (Tango 1998).

    All differences Δ that the score test does not reject: |a − b − nΔ| ≤ z·√(n(2q + Δ(1 − Δ))), with q
    the likelihood's most probable share of images that only b gets right, given Δ. At Δ = 0 the test is
    McNemar's with the normal distribution. Without an image that tells the two apart the interval is
    ±z²/(n + z²), not empty. Simulated coverage of 95 % intervals (tests/reliability/
    test_paired_intervals.py): .93 to 1 from 20 images upwards, the more the fewer images tell them apart.

    Args:
        only_a_E, only_b_E: how many images only the one, only the other gets right; any shape.
        n: number of images.

    Returns:
        The lower and the upper ends, float64, of the same shape.

    Raises:
        UserError: more such images than images, or a confidence outside (0, 1).

    >>> low_E, high_E = paired_difference_interval(torch.tensor([1.0, 0.0]), torch.tensor([7.0, 0.0]), 21)
    >>> [[round(x, 3) for x in pair] for pair in zip(low_E.tolist(), high_E.tolist())]
    [[-0.517, -0.026], [-0.155, 0.155]]
    """
    check_confidence(confidence)
    a_E, b_E = _counts(only_a_E, only_b_E)
    n_E = torch.as_tensor(n, dtype=torch.float64).expand(a_E.shape)
    if bool((a_E + b_E > n_E * (1 + 1e-9)).any()) or bool((n_E <= 0).any()):
        raise UserError(
            expected="at least one image, and no more that one alone gets right than there are",
            found=f"up to {float((a_E + b_E).max()):g} of {float(n_E.min()):g}",
            next_step="count both on the same images",
        )
    z = normal_quantile(confidence)
    return -_upper(b_E, a_E, n_E, z), _upper(a_E, b_E, n_E, z)


def _upper(a_E: Tensor, b_E: Tensor, n_E: Tensor, z: float) -> Tensor:
    inside_E, outside_E = (a_E - b_E) / n_E, torch.ones_like(a_E)
    for _ in range(_HALVINGS):
        middle_E = (inside_E + outside_E) / 2
        linear_E = (2 * n_E - a_E + b_E) * middle_E - a_E - b_E
        root_E = (linear_E**2 + 8 * n_E * b_E * middle_E * (1 - middle_E)).clamp(min=0).sqrt()
        q_E = (root_E - linear_E) / (4 * n_E)
        variance_E = n_E * (2 * q_E + middle_E * (1 - middle_E))
        rejected_E = (a_E - b_E - n_E * middle_E) ** 2 > z**2 * variance_E
        inside_E = torch.where(rejected_E, inside_E, middle_E)
        outside_E = torch.where(rejected_E, middle_E, outside_E)
    return outside_E


def holm(p_value_E: Tensor) -> Tensor:
    """p-values corrected for their number by Holm's step-down method (1979).

    Rejecting where the corrected value is at most α keeps the probability of any false rejection at α
    or below, however the tests depend on each other.

    >>> holm(torch.tensor([0.01, 0.04, 0.03], dtype=torch.float64)).tolist()
    [0.03, 0.06, 0.06]
    """
    sorted_E, order_E = p_value_E.double().sort(stable=True)
    tests_left_E = torch.arange(len(sorted_E), 0, -1, dtype=torch.float64)
    corrected_E = (sorted_E * tests_left_E).cummax(0).values if len(sorted_E) else sorted_E
    return torch.empty_like(corrected_E).scatter_(0, order_E, corrected_E.clamp(max=1.0))


def bootstrap_difference(
    right_a_N: Tensor,
    right_b_N: Tensor,
    rng: np.random.Generator,
    *,
    confidence: float = 0.95,
    num_resamples: int = 9999,
) -> Interval:
    """The percentile bootstrap over images of the difference of two accuracies.

    Drawing images with replacement draws the counts of the few values that a difference on one image
    takes from a multinomial distribution, so no image is touched twice. Where all differences are
    equal, every resample is the same: there is no interval, nan.

    Args:
        right_a_N, right_b_N: how right each is on each image: 1, 0, or a shared tie's expected accuracy.

    Raises:
        UserError: no image, not the same images, or a confidence outside (0, 1).

    >>> right_a_N, right_b_N = torch.tensor([1.0] * 90 + [0] * 10), torch.tensor([1.0] * 80 + [0] * 20)
    >>> low, high = bootstrap_difference(right_a_N, right_b_N, np.random.default_rng(0))
    >>> round(low, 2), round(high, 2)
    (0.05, 0.16)
    """
    check_confidence(confidence)
    if right_a_N.shape != right_b_N.shape or right_a_N.ndim != 1 or not len(right_a_N):
        raise UserError(
            expected="how right two classifiers are on the same images, at least one",
            found=f"shapes {tuple(right_a_N.shape)} and {tuple(right_b_N.shape)}",
            next_step="pass two vectors with an entry for each image",
        )
    difference_N = (right_a_N.double() - right_b_N.double()).numpy()
    values, counts = np.unique(difference_N, return_counts=True)
    if len(values) == 1:
        return Interval(math.nan, math.nan)
    drawn = rng.multinomial(len(difference_N), counts / len(difference_N), size=num_resamples)
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn @ values / len(difference_N), [tail, 1 - tail])
    return Interval(float(low), float(high))


@dataclass(frozen=True)
class MemberComparison:
    """Each of E ensembles against the most accurate of its members, on the same images.

    Attributes:
        best_member_E: int64 index of that model.
        only_ensemble_E, only_member_E: images that only the ensemble, only the member gets right.
        difference_E: accuracy of the ensemble less that of the member.
        low_E, high_E: its score interval, of this comparison alone.
        low_corrected_E, high_corrected_E: intervals that all E hold at once with the same confidence.
        p_value_E, p_corrected_E: McNemar's exact p-value, alone and by Holm's method.
        num_compared: E, what the corrections are for.
    """

    best_member_E: Tensor
    only_ensemble_E: Tensor
    only_member_E: Tensor
    difference_E: Tensor
    low_E: Tensor
    high_E: Tensor
    low_corrected_E: Tensor
    high_corrected_E: Tensor
    p_value_E: Tensor
    p_corrected_E: Tensor
    num_compared: int


def compare_with_best_member(
    correct_E: Tensor,
    right_M: Tensor,
    both_EM: Tensor,
    n: float,
    members_EK: Tensor,
    *,
    confidence: float = 0.95,
    unit: int = 1,
) -> MemberComparison:
    """Whether each ensemble beats its best member: difference, intervals and tests, for all at once.

    The best member is the one that is right most often on these same images, the first of equals. Its
    lead over the other members is partly luck with them, so this comparison is harder on the ensemble
    than one with a member named beforehand: a difference above 0 understates the ensemble's. The
    corrected intervals are Bonferroni's, of confidence 1 − (1 − confidence)/E each; with Holm's
    p-values they hold however the ensembles depend on each other.

    Args:
        correct_E: number of images each ensemble gets right; an expected number where ties are shared.
        right_M: number of images each model gets right.
        both_EM: number of images that an ensemble and a model both get right.
        n: number of images.
        members_EK: the models in each ensemble.
        unit: what an image counts in the first three, so that shares of a tie can be whole numbers.

    Raises:
        UserError: counts that do not fit each other, or a confidence outside (0, 1).

    >>> found = compare_with_best_member(
    ...     torch.tensor([95.0]), torch.tensor([80.0, 90.0]), torch.tensor([[78.0, 89.0]]), 100,
    ...     torch.tensor([[0, 1]]))
    >>> found.best_member_E.item(), found.only_ensemble_E.item(), found.only_member_E.item()
    (1, 6.0, 1.0)
    >>> round(found.difference_E.item(), 3), found.p_value_E.item()
    (0.05, 0.125)
    """
    _check_shapes(correct_E, right_M, both_EM, members_EK)
    right_EK = right_M.double()[members_EK]
    # argmax gives any of equal maxima; the first is the first that is one.
    first_E = (right_EK == right_EK.amax(1, keepdim=True)).int().argmax(1, keepdim=True)
    best_E1 = members_EK.gather(1, first_E)
    both_E = both_EM.double().gather(1, best_E1).squeeze(1)
    best_E = best_E1.squeeze(1)
    only_ensemble_E = (correct_E.double() - both_E) / unit
    only_member_E = (right_M.double()[best_E] - both_E) / unit
    num_compared = len(members_EK)
    low_E, high_E = paired_difference_interval(only_ensemble_E, only_member_E, n, confidence=confidence)
    at_once = 1 - (1 - confidence) / num_compared
    corrected = paired_difference_interval(only_ensemble_E, only_member_E, n, confidence=at_once)
    p_value_E = mcnemar_p_value(only_ensemble_E, only_member_E)
    return MemberComparison(
        best_E,
        only_ensemble_E,
        only_member_E,
        (correct_E.double() - right_M.double()[best_E]) / (n * unit),
        low_E,
        high_E,
        *corrected,
        p_value_E,
        holm(p_value_E),
        num_compared,
    )


def _counts(only_a_E: Tensor, only_b_E: Tensor) -> tuple[Tensor, Tensor]:
    a_E, b_E = only_a_E.double(), only_b_E.double()
    if a_E.shape != b_E.shape or bool((a_E < 0).any()) or bool((b_E < 0).any()):
        raise UserError(
            expected="two tensors of counts, of one shape and none below 0",
            found=f"shapes {tuple(a_E.shape)} and {tuple(b_E.shape)}"
            if a_E.shape != b_E.shape
            else f"a count of {float(torch.minimum(a_E, b_E).min()):g}",
            next_step="count the images that only the one and only the other gets right",
        )
    return a_E, b_E


def _check_shapes(correct_E: Tensor, right_M: Tensor, both_EM: Tensor, members_EK: Tensor) -> None:
    if both_EM.shape != (*correct_E.shape, *right_M.shape) or len(members_EK) != len(correct_E):
        raise UserError(
            expected="right answers of E ensembles, of M models, of both (E, M), and members (E, K)",
            found=", ".join(str(tuple(x.shape)) for x in (correct_E, right_M, both_EM, members_EK)),
            next_step="pass the counts of one size, rule and condition",
        )
