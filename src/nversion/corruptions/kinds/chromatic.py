"""chromatic_abberation and transverse_chromatic_abberation: colours that do not meet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, Columns, Corruption, Parameter, severity_share
from nversion.corruptions.pixels.banded import Band, filtered, first_precision, into_planes, whole
from nversion.corruptions.pixels.scratch import scratch
from nversion.corruptions.pixels.splines import mirrored, spline_taps, spline_weights

TO_ONE = 2.0**-32  # two passes of weights of 2^16


@CORRUPTIONS.register("chromatic_abberation")
class ChromaticAbberation(Corruption):
    """Red, green and blue are shifted, each into its own direction (Mintun et al. 2021).

    Channel c of a pixel reads `p − rgb_shifts[c]`, between pixels by the cubic B-spline of the 4 × 4
    neighbours, mirrored at the edges, rounded; a position beyond the image is 0. As in the reference the
    channel itself stands in for the spline's coefficients, which blurs it, and even an unshifted one: a
    severity of 0 does not give the image back. The name is the reference's; `chromatic_aberration` is found,
    too.

    Parameters: rgb_shifts (rows and columns, in pixels, of the three channels; severity/100 of the shorter
    side long, angles U(0, 2π)).

    Limit: 4 + 4 multiplications and additions of float32 and float64 a value: a shift has the same weights
    everywhere. 6 bytes a pixel read and written.

    >>> shifts = ChromaticAbberation(5).sample_parameters(np.random.default_rng(0), (224, 320))["rgb_shifts"]
    >>> [round(math.hypot(*shift), 6) for shift in shifts]
    [11.2, 11.2, 11.2]
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {"rgb_shifts": Parameter(shape=(3, 2))}

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        distance = severity_share(self.severity, min(height, width) / 10)
        angles = rng.uniform(0.0, 2 * math.pi, size=3)
        return {"rgb_shifts": tuple((math.cos(a) * distance, math.sin(a) * distance) for a in angles)}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        height, width = images_n3HW.shape[2:]
        device = images_n3HW.device
        # One mirrored neighbour before the image and two behind it.
        padded_pHW = scratch("padded", (3 * len(images_n3HW), height + 3, width + 3), torch.float32, device)
        padded_pHW[:, 1:-2, 1:-2] = images_n3HW.view(-1, height, width)
        padded_pHW[:, 1:-2, _beyond(width)] = padded_pHW[:, 1:-2, _mirror(width)]
        padded_pHW[:, _beyond(height)] = padded_pHW[:, _mirror(height)]
        out_pHW = out_n3HW.view(-1, height, width).zero_()
        for padded, (down, right), out in zip(
            padded_pHW, columns["rgb_shifts"].reshape(-1, 2), out_pHW, strict=True
        ):
            _shift(padded, float(down), float(right), out)


def _beyond(size: int) -> list[int]:
    return [0, size + 1, size + 2]


def _mirror(size: int) -> list[int]:
    return [int(place) + 1 for place in mirrored(np.array([-1, size, size + 1]), size)]


def _shift(padded: Tensor, down: float, right: float, out: Tensor) -> None:
    """Write the plane inside `padded`, moved, to the pixels of `out` that it reaches."""
    rows, row_weights, top = _reached(down, out.shape[0])
    columns, column_weights, left = _reached(right, out.shape[1])
    height, width = len(range(*rows)), len(range(*columns))
    if height == 0 or width == 0:
        return
    # Whole numbers below 2^24 and 2^40: exact in float32 and float64.
    once = scratch("once", (height, padded.shape[1]), torch.float32, out.device).zero_()
    for k, weight in enumerate(row_weights):
        once.add_(padded[top + k : top + k + height], alpha=weight)
    exact = scratch("exact", tuple(once.shape), torch.float64, out.device).copy_(once)
    twice = scratch("twice", (height, width), torch.float64, out.device).fill_(0.5 / TO_ONE)
    for k, weight in enumerate(column_weights):
        twice.add_(exact[:, left + k : left + k + width], alpha=weight)
    bytes_HW = scratch("bytes", (height, width), torch.int32, out.device).copy_(twice.mul_(TO_ONE))
    out[slice(*rows), slice(*columns)].copy_(bytes_HW)


def _reached(shift: float, size: int) -> tuple[tuple[int, int], list[int], int]:
    """The pixels of an axis that a shifted one reaches, their weights, the padded place of their first."""
    start, stop = max(math.ceil(shift), 0), min(math.floor(size - 1 + shift), size - 1) + 1
    before = math.floor(-shift)
    weights = whole(spline_weights(np.array([-shift - before]), order=3))[0].tolist()
    return (start, max(start, stop)), weights, start + before


@CORRUPTIONS.register("transverse_chromatic_abberation")
class TransverseChromaticAbberation(Corruption):
    """Red, green and blue are magnified differently, as at the rim of a cheap lens (Mintun et al. 2021).

    A channel of scale s becomes round(s·H) rows, whose row i reads row `i·(H − 1)/(round(s·H) − 1)`, and
    likewise columns, between pixels by the cubic B-spline of the 4 × 4 neighbours, mirrored at the edges,
    rounded; of these the middle H × W are kept, from row (round(s·H) − H)//2 on. As in the reference the
    channel itself stands in for the spline's coefficients, which blurs all three, that of scale 1, too: a
    severity of 0 does not give the image back. The name is the reference's;
    `transverse_chromatic_aberration` is found, too.

    Parameters: scales (of red, green and blue: 1, 1 + severity/40 and 1 + severity/20 in random order).

    Limit: two products of matrices a channel, with at most 20 of 16 × 20 numbers a value; the magnified
    image is never made.

    >>> kind = TransverseChromaticAbberation(4.0)
    >>> sorted(kind.sample_parameters(np.random.default_rng(0), size=(224, 224))["scales"])
    [1.0, 1.1, 1.2]
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {"scales": Parameter(low=1.0, high=1e3, shape=(3,))}

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        scale = severity_share(self.severity, 0.5)
        scales = (1.0, 1.0 + scale / 2, 1.0 + scale)
        return {"scales": tuple(scales[i] for i in rng.permutation(3))}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        height, width = images_n3HW.shape[2:]
        device = images_n3HW.device
        planes_pHW, out_pHW = images_n3HW.view(-1, height, width), out_n3HW.view(-1, height, width)
        scales_p = columns["scales"].reshape(-1)
        for scale in np.unique(scales_p):
            places = torch.from_numpy(np.flatnonzero(scales_p == scale)).to(device)
            rows = _magnified(height, float(scale), device, torch.float64)
            across = _magnified(width, float(scale), device, first_precision(device))
            some_pHW = planes_pHW[places]
            into_planes(filtered(some_pHW, rows, across).add_(0.5), some_pHW)
            out_pHW[places] = some_pHW


@lru_cache(maxsize=16)
def _magnified(size: int, scale: float, device: torch.device, dtype: torch.dtype) -> Band:
    magnified = round(size * scale)
    step = (size - 1) / (magnified - 1) if magnified > 1 else 1.0
    position_O = ((magnified - size) // 2 + np.arange(size)).astype(np.float64) * step
    return Band.of(*spline_taps(position_O, size, order=3), device, dtype)


CORRUPTIONS.alias("chromatic_aberration", of="chromatic_abberation")
CORRUPTIONS.alias("transverse_chromatic_aberration", of="transverse_chromatic_abberation")
