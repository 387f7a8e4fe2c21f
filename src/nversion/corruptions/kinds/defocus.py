"""defocus_blur: every point of light becomes a disc."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, Columns, Parameter
from nversion.corruptions.levels import Levelled, cifar_variant
from nversion.corruptions.pixels.banded import Band, first_precision, into_planes
from nversion.corruptions.pixels.runs import runs_of_equals
from nversion.corruptions.pixels.scratch import scratch
from nversion.corruptions.pixels.splines import mirrored

# The reference's discs of up to this radius lie in a table of 17 × 17 and are smoothed by 3 × 3, larger ones
# in one of their own width, by 5 × 5.
SMALL_RADIUS = 8
ONE = 1 << 15  # weights sum to a little more, which keeps sums over bytes below 2^24: exact in float32


# The three smallest discs are one pixel, smoothed.
@cifar_variant(((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)), whole_radius=False)
@CORRUPTIONS.register("defocus_blur")
class DefocusBlur(Levelled):
    """Every pixel becomes the mean of a disc about it (Hendrycks & Dietterich 2019).

    The disc `dx² + dy² ≤ radius²`, its sum 1, is smoothed by a Gaussian of `alias_blur` over 3 × 3 pixels
    (5 × 5 if radius > 8); the image is mirrored at its edge pixels; cut to [0, 255] and to a whole number. As
    in the reference the smoothing mirrors at the disc's table, too, which its rim touches from radius 8 on:
    those of radius 8 and 10 sum to 1.013 and 1.011 and lighten the image.

    Parameters: radius (pixels, whole, 3 to 10 by severity; `_cifar`: 0.3 to 1.5), alias_blur (pixels, 0.1 to
    0.5; `_cifar`: 0.1 to 0.6).

    Limit: radius + 1 products of matrices, since columns at equal distance share weights: about (radius +
    1)·(2·radius + 17) multiplications a value.

    >>> DefocusBlur(4).sample_parameters(np.random.default_rng(0), size=(224, 224))
    {'radius': 8, 'alias_blur': 0.5}
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "radius": Parameter(low=0.0, high=50.0),
        "alias_blur": Parameter(low=1e-2, high=50.0),
    }
    table = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))
    whole_radius: ClassVar[bool] = True

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        radius, alias_blur = self.row
        return {"radius": int(radius + 0.5) if self.whole_radius else radius, "alias_blur": alias_blur}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        height, width = images_n3HW.shape[2:]
        for (radius, alias_blur), run in runs_of_equals(columns["radius"], columns["alias_blur"]):
            planes_pHW, out_pHW = (of[run].view(-1, height, width) for of in (images_n3HW, out_n3HW))
            _filter(planes_pHW, radius, alias_blur, out_pHW)


def _filter(planes_pHW: Tensor, radius: float, alias_blur: float, out_pHW: Tensor) -> None:
    num_planes, height, width = planes_pHW.shape
    device, dtype = planes_pHW.device, first_precision(planes_pHW.device)
    bands = _bands(height, radius, alias_blur, device, dtype)
    reach = len(bands) - 1
    wide_HpW = _widened(planes_pHW, reach, dtype)
    both_HpW, sum_HpW = (
        scratch(name, (height, num_planes, width), dtype, device) for name in ("both", "sum")
    )
    sum_HpW.zero_()
    for distance, band in enumerate(bands):
        left, right = (wide_HpW[..., reach + d : reach + d + width] for d in (-distance, distance))
        if distance == 0:
            both_HpW.copy_(left)
        else:
            torch.add(left, right, out=both_HpW)
        band.add_along_rows_(both_HpW.view(height, -1), sum_HpW.view(height, -1))
    into_planes(sum_HpW.mul_(1 / ONE).clamp_(max=255.0), out_pHW)


def _widened(planes_pHW: Tensor, reach: int, dtype: torch.dtype) -> Tensor:
    # The planes side by side, each with `reach` mirrored columns on both sides.
    num_planes, height, width = planes_pHW.shape
    wide_HpW = scratch("wide", (height, num_planes, width + 2 * reach), dtype, planes_pHW.device)
    wide_HpW[..., reach : reach + width] = planes_pHW.transpose(0, 1)
    for start in (-reach, width):
        beyond = np.arange(start, start + reach)
        places = torch.from_numpy(mirrored(beyond, width) + reach).to(planes_pHW.device)
        wide_HpW[..., start + reach : start + 2 * reach] = wide_HpW.index_select(2, places)
    return wide_HpW


@lru_cache(maxsize=8)
def _bands(
    height: int, radius: float, alias_blur: float, device: torch.device, dtype: torch.dtype
) -> list[Band]:
    """The filters along rows for columns at distance 0, 1, … from the disc's middle."""
    disc_KK = disc(radius, alias_blur)
    middle = len(disc_KK) // 2
    bands = []
    for column_K in disc_KK[middle:]:
        if column_K.any():
            offset_K = np.flatnonzero(column_K)
            source_OK = mirrored(np.arange(height)[:, None] + offset_K - middle, height)
            weight_OK = np.broadcast_to(column_K[offset_K], source_OK.shape)
            bands.append(Band.of(source_OK, weight_OK, device, dtype))
    return bands


def disc(radius: float, alias_blur: float) -> NDArray[np.int64]:
    """The smoothed disc in whole numbers over 2^15, symmetric; what rounding leaves goes to its middle.

    >>> disc(1.0, alias_blur=0.1)[7:10, 7:10].tolist(), int(disc(10.0, 0.5).sum())
    ([[0, 6554, 0], [6554, 6552, 6554], [0, 6554, 0]], 33121)
    """
    reach = SMALL_RADIUS if radius <= SMALL_RADIUS else int(radius)
    offset_K = np.arange(-reach, reach + 1)
    disc_KK = (offset_K[:, None] ** 2 + offset_K**2 <= radius**2).astype(np.float64)
    around_T = np.arange(-1, 2) if radius <= SMALL_RADIUS else np.arange(-2, 3)
    weight_T = np.exp(-0.5 * (around_T / alias_blur) ** 2)
    smooth_KK = np.zeros((len(offset_K), len(offset_K)))
    for offset, weight in zip(around_T, weight_T / weight_T.sum(), strict=True):
        rows = mirrored(np.arange(len(offset_K)) + offset, len(offset_K))
        smooth_KK[np.arange(len(offset_K)), rows] += weight
    weights_KK = smooth_KK @ (disc_KK / disc_KK.sum()) @ smooth_KK.T * ONE
    whole_KK = np.rint(weights_KK).astype(np.int64)
    whole_KK[reach, reach] += round(weights_KK.sum()) - whole_KK.sum()
    return np.asarray(whole_KK, dtype=np.int64)
