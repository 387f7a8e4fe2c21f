"""Quantiles of the standard normal distribution and Wilson's interval of a proportion, without torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri


def normal_quantile(confidence: float) -> float:
    """How many standard deviations a two-sided interval of this confidence reaches.

    >>> normal_quantile(0.95)
    1.959963984540054
    """
    return float(ndtri((1 + confidence) / 2))


def wilson(
    successes: Any, trials: Any, confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ends of Wilson's (1927) interval, which inverts the score test; nan where there are no trials.

    Args:
        successes: numbers, or arrays of them; expected numbers need not be whole.
        trials: of the same shape, or one for all.
        confidence: in (0, 1).

    >>> low, high = wilson(50, 100)
    >>> round(float(low), 3), round(float(high), 3)
    (0.404, 0.596)
    """
    z = normal_quantile(confidence)
    failures = trials - successes
    centre = (successes + z**2 / 2) / (trials + z**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        half = z / (trials + z**2) * np.sqrt(np.divide(successes * failures, trials) + z**2 / 4)
    # The score interval touches 0 and 1 exactly; rounding would leave 1e-17.
    low, high = np.where(successes == 0, 0.0, centre - half), np.where(failures == 0, 1.0, centre + half)
    known = np.asarray(trials) > 0
    return np.where(known, low, np.nan), np.where(known, high, np.nan)
