"""Motion blur along an angle, as ImageMagick does it: half a Gaussian on whole pixels."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .scratch import scratch

WEIGHT_BITS = 22
# ImageMagick (6, 16 bits) rounds 257 times the sum and then cuts it to 8 bits: floor(sum + 1/514).
ROUNDING = round(2**WEIGHT_BITS / 514)


def motion_blur(
    planes_nCHW: Tensor, radius: float, sigma: float, degrees_n: NDArray[np.float64], out_nCHW: Tensor
) -> None:
    """Blur each sample along its own angle; pixels beyond the image are those of its edge.

    A pixel becomes the sum of `weights(radius, sigma)` over the pixels at `offsets`. Weights are whole
    numbers over 2^22 that sum to 1: against ImageMagick one byte in a thousand differs by 1, and an even area
    stays what it is. One pass of int32 a weight.

    Args:
        planes_nCHW: uint8.
        radius, sigma: pixels, at least 0 and above 0.
        degrees_n: 0 looks to the right, 90 down.
        out_nCHW: uint8, not the input's memory.
    """
    num_channels, height, width = planes_nCHW.shape[1:]
    weights_K = weights(radius, sigma).tolist()
    total = scratch("motion", (num_channels, height, width), torch.int32, planes_nCHW.device)
    for sample, degrees in enumerate(degrees_n):
        steps = offsets(len(weights_K), float(degrees))
        rows, columns = zip(*steps, strict=True)  # the first step is (0, 0)
        above, left = -min(rows), -min(columns)
        wide = _widened(planes_nCHW[sample], above, max(rows), left, max(columns))
        total.fill_(ROUNDING)
        for weight, (down, aside) in zip(weights_K, steps, strict=True):
            top, start = above + down, left + aside
            total.add_(wide[:, top : top + height, start : start + width], alpha=weight)
        out_nCHW[sample].copy_(total.bitwise_right_shift_(WEIGHT_BITS))


def _widened(planes_CHW: Tensor, above: int, below: int, left: int, right: int) -> Tensor:
    # int32, with the edge pixels repeated beyond the edges.
    num_channels, height, width = planes_CHW.shape
    shape = (num_channels, height + above + below, width + left + right)
    wide = scratch("wide motion", shape, torch.int32, planes_CHW.device)
    middle = wide[:, above : above + height]
    middle[..., left : left + width] = planes_CHW
    middle[..., :left] = planes_CHW[..., :1]
    middle[..., left + width :] = planes_CHW[..., -1:]
    wide[:, :above] = middle[:, :1]
    wide[:, above + height :] = middle[:, -1:]
    return wide


def weights(radius: float, sigma: float) -> NDArray[np.int64]:
    """Of the pixel itself and those ahead: 2·ceil(radius) + 1 of exp(−i²/(2·sigma²)), in units of 2^-22.

    >>> weights(1, 1.0) / 2**22
    array([0.57409692, 0.34820747, 0.07769561])
    """
    place = np.arange(2 * math.ceil(radius) + 1)
    density = np.exp(-(place**2) / (2.0 * sigma**2))
    whole: NDArray[np.int64] = np.rint(density / density.sum() * 2.0**WEIGHT_BITS).astype(np.int64)
    whole[0] += 2**WEIGHT_BITS - whole.sum()
    return whole


def offsets(count: int, degrees: float) -> list[tuple[int, int]]:
    """Rows down and columns to the right of `count` pixels in a row along an angle, halves towards the start.

    >>> offsets(4, 0.0), offsets(4, -70.0)
    ([(0, 0), (0, 1), (0, 2), (0, 3)], [(0, 0), (-1, 0), (-2, 1), (-3, 1)])
    """
    down, right = count * math.sin(math.radians(degrees)), count * math.cos(math.radians(degrees))
    length = math.hypot(down, right)
    return [(math.ceil(i * down / length - 0.5), math.ceil(i * right / length - 0.5)) for i in range(count)]
