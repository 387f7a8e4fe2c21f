"""The Gaussian blur of scikit-image, in whole numbers."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .banded import Band, filtered, first_precision, into_planes, whole

TRUNCATE = 4.0  # standard deviations, as scikit-image's default
LARGEST_SIGMA = 50.0


def blur(images_n3HW: Tensor, sigma: float, out_n3HW: Tensor) -> None:
    """Blur by a Gaussian of `sigma` pixels, cut off at 4 sigma, edge pixels repeated; cut to bytes.

    Weights are whole numbers over 2^16 that sum to 1: an even area stays what it is, where the reference's
    rounding can lose 1. Two passes, 2·(4 sigma) + 1 products a value and pass and about as many with zero.
    """
    height, width = images_n3HW.shape[2:]
    device = images_n3HW.device
    rows = _band(height, sigma, device, torch.float64)
    columns = _band(width, sigma, device, first_precision(device))
    planes_pHW, out_pHW = images_n3HW.view(-1, height, width), out_n3HW.view(-1, height, width)
    into_planes(filtered(planes_pHW, rows, columns), out_pHW)


@lru_cache(maxsize=16)
def _band(size: int, sigma: float, device: torch.device, dtype: torch.dtype) -> Band:
    # Far from the edges all blocks share a table, so a band is small for images of any size.
    reach = int(TRUNCATE * sigma + 0.5)
    offset_K = np.arange(-reach, reach + 1)
    weight_K = np.exp(-0.5 * (offset_K / max(sigma, 1e-9)) ** 2)
    source_OK = np.clip(np.arange(size)[:, None] + offset_K, 0, size - 1)
    return Band.of(source_OK, np.broadcast_to(whole(weight_K[None]), source_OK.shape), device, dtype)
