"""Gaussian smoothing of random fields of any sigma, exactly the same on every device."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.core import spans

VALUE_BITS = 23  # of a field, sign apart
WEIGHT_BITS = 28
ROWS = 64  # of the matrix at once: where sigma is small the rest of their columns is zeros


def smoothed(values_nHW: Tensor, sigma: float, truncate: float, mirrored: bool) -> Tensor:
    """A Gaussian of `sigma` pixels, cut off at `truncate` sigma, along both axes: float64 (n, H, W).

    Whole numbers below 2^53 all the way, so that the sums are exact in any order: weights are whole numbers
    over 2^28, what lies between rows and columns is rounded to 2^-1. Against float64 throughout the result
    differs by less than 1. Products of matrices with H + W multiplications a value, with fewer where sigma is
    small; memory of a plane more, and of `ROWS` rows of a matrix.

    Args:
        values_nHW: float64 whole numbers from −2^23 to 2^23; overwritten.
        mirrored: beyond an edge the field is mirrored, b a | a b; otherwise the edge is repeated, a a | a b.
    """
    height, width = values_nHW.shape[1:]
    smooth = torch.empty_like(values_nHW)
    for first, last in spans(height, ROWS):
        start, weights = _rows(first, last, height, sigma, truncate, mirrored)
        weights_BK = torch.from_numpy(weights).to(smooth.device)
        smooth[:, first:last] = torch.matmul(weights_BK, values_nHW[:, start : start + weights.shape[1]])
    smooth.mul_(2.0 ** (1 - WEIGHT_BITS)).round_()
    for first, last in spans(width, ROWS):
        start, weights = _rows(first, last, width, sigma, truncate, mirrored)
        weights_KB = torch.from_numpy(weights).to(smooth.device).T
        values_nHW[..., first:last] = torch.matmul(smooth[..., start : start + weights.shape[1]], weights_KB)
    return values_nHW.mul_(2.0 ** (-1 - WEIGHT_BITS))


@lru_cache(maxsize=32)
def _rows(
    first: int, last: int, length: int, sigma: float, truncate: float, mirrored: bool
) -> tuple[int, NDArray[np.float64]]:
    """Rows `first` to `last` of the matrix that smooths a line of `length`, in units of 2^-28.

    Returns:
        The first column that is not 0, and the columns from there to the last such, (last − first, K); whole
        numbers, each row of sum 2^28.
    """
    reach = math.floor(truncate * sigma + 0.5)
    offset = np.arange(-reach, reach + 1)
    weight = np.exp(-0.5 * (offset / max(sigma, 1e-9)) ** 2)
    place = np.arange(first, last)[:, None] + offset
    if mirrored:
        place = np.mod(place, 2 * length)
        place = np.minimum(place, 2 * length - 1 - place)
    else:
        place = np.clip(place, 0, length - 1)
    flat = (place + length * np.arange(last - first)[:, None]).ravel()
    share = np.broadcast_to(weight / weight.sum(), place.shape).ravel()
    rows = np.bincount(flat, weights=share, minlength=length * (last - first)).reshape(-1, length)
    whole = np.rint(rows * 2.0**WEIGHT_BITS)
    own = np.arange(last - first), np.arange(first, last)
    whole[own] += 2.0**WEIGHT_BITS - whole.sum(axis=1)
    return max(first - reach, 0), whole[:, max(first - reach, 0) : min(last + reach, length)]
