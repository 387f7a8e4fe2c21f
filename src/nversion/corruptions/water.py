"""water_drop: circular waves refract a disc of the image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .base import (
    CORRUPTIONS,
    Columns,
    Corruption,
    Parameter,
    column_vector,
    plane,
    row_vector,
    severity_share,
)
from .cosine import cosine_of_turns_, in_turns, scaled_cosine

# Three channels ride in one 64-bit integer: 21 bits each hold 255 times a weight of 2^13.
LANE_BITS = 21
WEIGHT_BITS = 13
ONE = 1 << WEIGHT_BITS
BORDER = 2  # black pixels around the image, so that any source beyond it reads black


@CORRUPTIONS.register("water_drop")
class WaterDrop(Corruption):
    """Pixels within `radius` of `center` move along it by a sine of their distance (Mintun et al. 2021).

    A pixel at distance d reads from `p + amplitude·wavelength·sin(2πd/wavelength − phase)·(p − center)/d`, bilinear
    between its four neighbours, black beyond the image; d > radius stays.

    Parameters: center (row, column in pixels, U(0.25, 0.75) of the height and of the width), radius (pixels, half
    the shorter side, whole), amplitude (severity/40, no unit), wavelength (pixels, U(0.05, 0.2) of the shorter
    side), phase (radians, U(0, 2π)).

    Limit: one sine, one root and one division a pixel; 4 gathers of 8 bytes; 6 bytes read and written. Weights
    of neighbours are whole numbers over 8192: against float64 a byte differs by at most 1, and an even area
    stays what it is, where the reference's rounding can lose 1.

    >>> WaterDrop(7.0).sample_parameters(np.random.default_rng(0), size=(224, 320))["radius"]
    112
    """

    name: ClassVar[str] = "water_drop"
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "center": Parameter(length=2),
        "radius": Parameter(low=0.0),
        "amplitude": Parameter(),
        "wavelength": Parameter(low=1e-3),
        "phase": Parameter(),
    }

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        center = rng.uniform(0.25, 0.75, size=2)
        return {
            "center": (float(center[0] * height), float(center[1] * width)),
            "radius": min(height, width) // 2,
            "amplitude": severity_share(self.severity, 0.25),
            "wavelength": rng.uniform(0.05, 0.2) * min(height, width),
            "phase": rng.uniform(0.0, 2 * math.pi),
        }

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        num_samples, _, height, width = images_n3HW.shape
        push, rows_nH1, columns_n1W = _push(images_n3HW, columns)
        row_weight, row = _split(push * rows_nH1, np.arange(height)[None], column_vector)
        column_weight, column = _split(push.mul_(columns_n1W), np.arange(width)[None], row_vector)
        packed, stride = _packed(images_n3HW), width + 2 * BORDER
        row.clamp_(-BORDER, height).add_(BORDER).mul_(stride)
        column.clamp_(-BORDER, width).add_(BORDER)
        source = row.add_(column).to(torch.int64)
        source.add_(plane(np.arange(num_samples) * (height + 2 * BORDER) * stride, source, torch.int64))

        both = row_weight.mul(column_weight).bitwise_right_shift_(WEIGHT_BITS)
        row_weight.sub_(both)
        column_weight.sub_(both)
        neither = both.neg().sub_(row_weight).sub_(column_weight).add_(ONE)
        index = source.view(-1)
        blend = packed.index_select(0, index).mul_(neither.to(torch.int64).view(-1))
        for offset, weight in ((1, column_weight), (stride, row_weight), (stride + 1, both)):
            neighbour = packed[offset:].index_select(0, index)
            blend.add_(neighbour.mul_(weight.to(torch.int64).view(-1)))
        blend_nHW = blend.view(num_samples, height, width)
        for channel in range(3):
            # The cast keeps the low 8 bits, which are the channel's.
            out_n3HW[:, channel] = blend_nHW.bitwise_right_shift(LANE_BITS * channel + WEIGHT_BITS)


def _push(images_n3HW: Tensor, columns: Columns) -> tuple[Tensor, Tensor, Tensor]:
    # How far a pixel's source lies from it, as a multiple of (pixel − center); and that vector's two parts.
    height, width = images_n3HW.shape[2:]
    center, wavelength = columns["center"], columns["wavelength"]
    rows_nH1 = column_vector(np.arange(height) - center[:, :1], images_n3HW)
    columns_n1W = row_vector(np.arange(width) - center[:, 1:], images_n3HW)
    distance = (rows_nH1 * rows_nH1 + columns_n1W * columns_n1W).sqrt_()
    turns = distance * plane(1.0 / wavelength, distance)
    turns.add_(plane(-0.25 - in_turns(columns["phase"]), distance))
    square, push = torch.empty_like(turns), torch.empty_like(turns)
    cosine_of_turns_(turns, scaled_cosine(columns["amplitude"] * wavelength, turns), square, out=push)
    torch.le(distance, plane(columns["radius"], distance), out=square)
    # At the center itself the vector is 0, so any divisor will do.
    return push.mul_(square).div_(distance.clamp_(min=1e-6)), rows_nH1, columns_n1W


def _split(shift: Tensor, place: NDArray[np.int64], along: Any) -> tuple[Tensor, Tensor]:
    # The neighbour before the source (whole) and the weight of the one behind it (0 … 8192), both int32. The
    # shift is split before the pixel's place is added, so that its fraction loses no digits.
    whole = torch.floor(shift)
    weight = shift.sub_(whole).mul_(float(ONE)).round_().to(torch.int32)
    return weight, whole.clamp_(-1e9, 1e9).to(torch.int32).add_(along(place, shift, torch.int32))


def _packed(images_n3HW: Tensor) -> Tensor:
    # Red, green and blue of a pixel in the lanes of one integer, black border included, flat.
    num_samples, _, height, width = images_n3HW.shape
    shape = (num_samples, height + 2 * BORDER, width + 2 * BORDER)
    packed = torch.zeros(shape, dtype=torch.int64, device=images_n3HW.device)
    inner = packed[:, BORDER:-BORDER, BORDER:-BORDER]
    inner.copy_(images_n3HW[:, 2])
    for channel in (1, 0):
        inner.bitwise_left_shift_(LANE_BITS).bitwise_or_(images_n3HW[:, channel])
    return packed.view(-1)
