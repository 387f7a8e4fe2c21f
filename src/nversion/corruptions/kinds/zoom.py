"""zoom_blur: the camera moves in while the shutter is open."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, Columns, Parameter
from nversion.corruptions.levels import Levelled, cifar_variant
from nversion.corruptions.pixels.banded import WEIGHT_BITS, Band, first_precision, into_planes, side_by_side
from nversion.corruptions.pixels.runs import runs_of_equals
from nversion.corruptions.pixels.scratch import scratch
from nversion.corruptions.pixels.splines import spline_taps

KEPT_SIDE = 1024  # pixels: up to this side the weights of a layer are kept, in at most 150 kB


@cifar_variant(((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)))
@CORRUPTIONS.register("zoom_blur")
class ZoomBlur(Levelled):
    """The image is averaged with enlargements of its middle (Hendrycks & Dietterich 2019).

    For each factor z = 1, 1 + step, … below stop the middle `c = ceil(H/z)` rows become round(c·z), row i
    being row `i·(c − 1)/(round(c·z) − 1)`, likewise the columns, linear between pixels; of these the middle
    H × W is a layer. A pixel is the mean of all layers and of the image, cut to a whole number: with its
    first layer the image counts twice. As in the reference the rounding of `arange` decides whether the last
    factor reaches stop.

    Parameters: stop (factor, 1.11 to 1.31 by severity; `_cifar`: 1.06 to 1.26), step (factor, 0.01 to 0.03;
    `_cifar`: 0.01).

    Limit: two products of matrices a layer, 11 to 16 layers: about 18 multiplications of float32 and 18 of
    float64 a value and layer, of which 2 each are not with 0.

    >>> ZoomBlur(3).sample_parameters(np.random.default_rng(0), size=(224, 224))
    {'stop': 1.21, 'step': 0.02}
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "stop": Parameter(low=1.0, high=10.0),
        "step": Parameter(low=0.005, high=10.0),
    }
    table = (
        (1.11, 0.01),
        (1.16, 0.01),
        (1.21, 0.02),
        (1.26, 0.02),
        (1.31, 0.03),
    )

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        stop, step = self.row
        return {"stop": stop, "step": step}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        height, width = images_n3HW.shape[2:]
        for (stop, step), run in runs_of_equals(columns["stop"], columns["step"]):
            planes_pHW, out_pHW = (of[run].view(-1, height, width) for of in (images_n3HW, out_n3HW))
            _average(planes_pHW, np.arange(1, stop, step).tolist(), out_pHW)


def _average(planes_pHW: Tensor, factors: list[float], out_pHW: Tensor) -> None:
    # Each layer is a whole number over 2^32 and so is their sum, which float64 holds up to 2^21 layers.
    height, width = planes_pHW.shape[1:]
    device = planes_pHW.device
    planes_HpW = side_by_side(planes_pHW, first_precision(device))
    once, exact, total = (
        scratch(name, tuple(planes_HpW.shape), dtype, device)
        for name, dtype in (("once", planes_HpW.dtype), ("exact", torch.float64), ("total", torch.float64))
    )
    total.copy_(planes_HpW).mul_(float(1 << 2 * WEIGHT_BITS))
    for factor in factors:
        columns = _layer(width, factor, device, planes_HpW.dtype)
        rows = _layer(height, factor, device, torch.float64)
        columns.along_columns(planes_HpW.view(-1, width), once.view(-1, width))
        rows.add_along_rows_(exact.copy_(once).view(height, -1), total.view(height, -1))
    count = torch.tensor(float(1 + len(factors)), dtype=torch.float64, device=device)
    into_planes(total.mul_(2.0 ** (-2 * WEIGHT_BITS)).div_(count), out_pHW)


def _layer(size: int, factor: float, device: torch.device, dtype: torch.dtype) -> Band:
    build = _kept_layer if size <= KEPT_SIDE else _kept_layer.__wrapped__
    return build(size, factor, device, dtype)


@lru_cache(maxsize=128)
def _kept_layer(size: int, factor: float, device: torch.device, dtype: torch.dtype) -> Band:
    """The filter along an axis that enlarges its middle by `factor`."""
    shown = math.ceil(size / factor)
    enlarged = round(shown * factor)
    step = (shown - 1) / (enlarged - 1) if enlarged > 1 else 1.0
    position_O = ((enlarged - size) // 2 + np.arange(size)).astype(np.float64) * step
    source_OK, weight_OK = spline_taps(position_O, shown, order=1)
    return Band.of(source_OK + (size - shown) // 2, weight_OK, device, dtype)
