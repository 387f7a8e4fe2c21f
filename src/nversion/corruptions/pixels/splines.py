"""Reading an axis between its pixels as SciPy's `ndimage` does: B-splines of order 1 and 3."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .banded import ONE, whole


def spline_taps(
    position_O: NDArray[np.float64], size: int, order: int, total: int = ONE
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sources and whole-number weights of outputs at `position_O`, both (O, order + 1), for `Band.of`.

    The image is taken for the spline's coefficients, which is SciPy's `prefilter=False`. A position outside
    [0, size − 1] is 0 (mode "constant"): all its weights are 0. Neighbours beyond an end are mirrored at it.

    Args:
        total: sum of an output's weights.

    >>> source, weight = spline_taps(np.array([1.0, 0.0, 9.5]), size=9, order=3, total=6)
    >>> source[0].tolist(), source[1].tolist(), weight.tolist()
    ([0, 1, 2, 3], [1, 0, 1, 2], [[1, 4, 1, 0], [1, 4, 1, 0], [0, 0, 0, 0]])
    """
    inside_O = (position_O >= 0) & (position_O <= size - 1)
    position_O = np.where(inside_O, position_O, 0.0)
    before_O = np.floor(position_O)
    weight_OK = spline_weights(position_O - before_O, order) * inside_O[:, None]
    source_OK = before_O.astype(np.int64)[:, None] + np.arange(order + 1) - order // 2
    return mirrored(source_OK, size), whole(weight_OK, total)


def spline_weights(share_O: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """B-spline weights of the neighbours, `share_O` in [0, 1) behind a pixel: (O, order + 1)."""
    t, u = share_O, 1.0 - share_O
    if order == 1:
        return np.stack([u, t], axis=-1)
    assert order == 3, order
    inner, outer = (t * t * (t - 2) * 3 + 4) / 6, (u * u * (u - 2) * 3 + 4) / 6
    return np.stack([u * u * u / 6, inner, outer, t * t * t / 6], axis=-1)


def coefficient_taps(size: int, total: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sources and whole-number weights of the cubic spline's coefficients, for `Band.of`.

    They are the pixels filtered by `√3·z^|k|`, z = √3 − 2, mirrored at the ends (Unser, Aldroubi, Eden,
    "B-Spline Signal Processing", 1993), which sums to 1 and whose terms beyond k = 14 are below 2^-27.

    >>> source, weight = coefficient_taps(size=40, total=10_000)
    >>> source[20, 12:17].tolist(), weight[20, 12:17].tolist(), int(weight[20].sum())
    ([18, 19, 20, 21, 22], [1244, -4641, 17322, -4641, 1244], 10000)
    """
    offset_K = np.arange(-14, 15)
    weight_K = math.sqrt(3) * (math.sqrt(3) - 2) ** np.abs(offset_K)
    source_OK = mirrored(np.arange(size)[:, None] + offset_K, size)
    return source_OK, np.broadcast_to(whole(weight_K[None], total), source_OK.shape)


def mirrored(source: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Places beyond an end, mirrored at the end pixel: −1 is 1, `size` is `size` − 2.

    >>> mirrored(np.array([-2, -1, 0, 3, 4, 5, 6, 7]), size=4).tolist()
    [2, 1, 0, 3, 2, 1, 0, 1]
    """
    period = max(2 * (size - 1), 1)
    folded = np.abs(source) % period
    return np.minimum(folded, period - folded) if size > 1 else np.zeros_like(source)
