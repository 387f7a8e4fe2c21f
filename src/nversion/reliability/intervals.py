"""Intervals of a proportion, and how many samples a target rate needs."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from nversion.core import UserError
from nversion.core.normal import wilson

Method = Literal["wilson", "clopper_pearson"]


class Interval(NamedTuple):
    """A two-sided confidence interval."""

    low: float
    high: float


def proportion_interval(
    successes: float,
    trials: float,
    *,
    confidence: float = 0.95,
    method: Method = "wilson",
) -> Interval:
    """A two-sided interval of a proportion from `successes` in `trials`.

    `wilson` inverts the score test (Wilson 1927): mean coverage near nominal, sometimes below.
    `clopper_pearson` inverts the exact binomial test (Clopper and Pearson 1934): coverage never
    below nominal; the one for zero or few failures. An expected number of successes (a vote's
    ties) need not be whole; Clopper-Pearson's guarantee holds for whole numbers only.

    Raises:
        UserError: no trials, successes outside 0 … trials, confidence outside (0, 1), or an
            unknown method.

    >>> [round(bound, 4) for bound in proportion_interval(8, 10)]
    [0.4902, 0.9433]
    >>> [round(bound, 4) for bound in proportion_interval(0, 10, method="clopper_pearson")]
    [0.0, 0.3085]
    """
    check_confidence(confidence)
    if not (trials > 0 and 0 <= successes <= trials):
        raise UserError(
            expected="at least one trial and successes between 0 and the trials",
            found=f"{successes} of {trials}",
            next_step="leave out conditions without samples",
        )
    low, high = _ends(np.float64(successes), np.float64(trials), confidence, method)
    return Interval(float(low), float(high))


def proportion_intervals(
    successes_E: Tensor, trials_E: Tensor | float, *, confidence: float = 0.95, method: Method = "wilson"
) -> tuple[Tensor, Tensor]:
    """The ends of `proportion_interval` for every entry, float64; nan where there are no trials.

    >>> low_E, high_E = proportion_intervals(torch.tensor([8.0, 0.0]), torch.tensor([10.0, 0.0]))
    >>> round(low_E[0].item(), 4), round(high_E[0].item(), 4), low_E[1].item()
    (0.4902, 0.9433, nan)
    """
    check_confidence(confidence)
    trials_E = torch.as_tensor(trials_E, dtype=torch.float64).expand(successes_E.shape).cpu()
    trials_E = trials_E.where(trials_E > 0, torch.nan)
    ends = _ends(successes_E.double().cpu().numpy(), trials_E.numpy(), confidence, method)
    low_E, high_E = (torch.as_tensor(end).where(~trials_E.isnan(), torch.nan) for end in ends)
    return low_E.to(successes_E.device), high_E.to(successes_E.device)


def samples_to_show_rate(rate: float, *, confidence: float = 0.95) -> int:
    """Samples that must all pass before the failure rate is shown to be below `rate`.

    The smallest n with (1 − rate)^n ≤ 1 − confidence: the one-sided Clopper-Pearson bound of zero
    failures in n is then at most `rate`. Near 3/rate at 95 % (the rule of three).

    Raises:
        UserError: rate or confidence outside (0, 1).

    >>> samples_to_show_rate(0.01), samples_to_show_rate(1e-6)
    (299, 2995731)
    """
    check_confidence(confidence)
    if not 0 < rate < 1:
        raise UserError(
            expected="a failure rate between 0 and 1",
            found=str(rate),
            next_step="pass a fraction, such as 0.001",
        )
    return math.ceil(math.log1p(-confidence) / math.log1p(-rate))


def check_confidence(confidence: float) -> None:
    """Raise a UserError unless 0 < confidence < 1."""
    if not 0 < confidence < 1:
        raise UserError(
            expected="a confidence between 0 and 1",
            found=str(confidence),
            next_step="pass a fraction, such as 0.95",
        )


def _ends(
    successes: Any, trials: Any, confidence: float, method: Method
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if method == "wilson":
        return wilson(successes, trials, confidence)
    if method == "clopper_pearson":
        return _clopper_pearson(successes, trials, confidence)
    raise UserError(
        expected="the method 'wilson' or 'clopper_pearson'", found=repr(method), next_step="pass one of them"
    )


def _clopper_pearson(
    successes: Any, trials: Any, confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    tail = (1 - confidence) / 2
    failures = trials - successes
    low = np.where(successes == 0, 0.0, stats.beta.ppf(tail, successes, failures + 1))
    return low, np.where(failures == 0, 1.0, stats.beta.isf(tail, successes + 1, failures))
