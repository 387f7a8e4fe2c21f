"""water_drop: circular waves refract a disc of the image."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
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
from .scratch import scratch

# Three channels ride in one 64-bit integer: 21 bits each hold 255 times a weight of 2^13.
LANE_BITS = 21
WEIGHT_BITS = 13
ONE = 1 << WEIGHT_BITS
BORDER = 2  # black pixels around the image, so that any source beyond it reads black


@CORRUPTIONS.register("water_drop")
class WaterDrop(Corruption):
    """Pixels within `radius` of `center` move along it by a sine of their distance (Mintun et al. 2021).

    A pixel at distance d reads from `p + amplitude·wavelength·sin(2πd/wavelength − phase)·(p − center)/d`,
    bilinear between its four neighbours, black beyond the image; d > radius stays.

    Parameters: center (row, column in pixels, U(0.25, 0.75) of the height and of the width), radius (pixels,
    half the shorter side, whole), amplitude (severity/40, no unit), wavelength (pixels, U(0.05, 0.2) of the
    shorter side), phase (radians, U(0, 2π)).

    Limit: one sine, one root and one division a pixel; 4 gathers of 8 bytes; 6 bytes read and written.
    Weights of neighbours are whole numbers over 8192: against float64 a byte differs by at most 1, and an
    even area stays what it is, where the reference's rounding can lose 1.

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
        stride = width + 2 * BORDER

        def buffer(name: str, dtype: torch.dtype) -> Tensor:
            return scratch(name, (num_samples, height, width), dtype, images_n3HW.device)

        push, rows_nH1, columns_n1W = _push(images_n3HW, columns, buffer)
        shift, whole = buffer("shift", torch.float32), buffer("whole", torch.float32)
        row, row_weight = buffer("row", torch.int32), buffer("row weight", torch.int32)
        column, column_weight = buffer("column", torch.int32), buffer("column weight", torch.int32)
        _split(torch.mul(push, rows_nH1, out=shift), whole, row, row_weight)
        row.add_(torch.arange(height, dtype=torch.int32, device=row.device)[:, None])
        _split(torch.mul(push, columns_n1W, out=shift), whole, column, column_weight)
        column.add_(torch.arange(width, dtype=torch.int32, device=row.device))
        row.clamp_(-BORDER, height).add_(BORDER).mul_(stride)
        column.clamp_(-BORDER, width).add_(BORDER)
        source = buffer("source", torch.int64).copy_(row.add_(column))
        source.add_(plane(np.arange(num_samples) * (height + 2 * BORDER) * stride, source, torch.int64))

        # The four weights are whole, not below 0, and sum to 8192.
        both = torch.mul(row_weight, column_weight, out=buffer("both", torch.int32))
        both.bitwise_right_shift_(WEIGHT_BITS)
        row_weight.sub_(both)
        column_weight.sub_(both)
        neither = torch.add(row_weight, column_weight, out=row).add_(both).neg_().add_(ONE)
        packed = _packed(images_n3HW)
        blend, neighbour, weight = (
            buffer(name, torch.int64).view(-1) for name in ("blend", "neighbour", "weight")
        )
        torch.index_select(packed, 0, source.view(-1), out=blend).mul_(weight.copy_(neither.view(-1)))
        for offset, weight_nHW in ((1, column_weight), (stride, row_weight), (stride + 1, both)):
            torch.index_select(packed[offset:], 0, source.view(-1), out=neighbour)
            blend.add_(neighbour.mul_(weight.copy_(weight_nHW.view(-1))))
        for channel in range(3):
            torch.bitwise_right_shift(blend, LANE_BITS * channel + WEIGHT_BITS, out=neighbour)
            out_n3HW[:, channel] = neighbour.view(row.shape)  # the cast keeps the low 8 bits: the channel


def _push(
    images_n3HW: Tensor, columns: Columns, buffer: Callable[[str, torch.dtype], Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    # How far a pixel's source lies from it, as a multiple of (pixel − center); and that vector's two parts.
    height, width = images_n3HW.shape[2:]
    center, wavelength = columns["center"], columns["wavelength"]
    rows_nH1 = column_vector(np.arange(height) - center[:, :1], images_n3HW)
    columns_n1W = row_vector(np.arange(width) - center[:, 1:], images_n3HW)
    distance, turns, square, push = (
        buffer(name, torch.float32) for name in ("distance", "turns", "square", "push")
    )
    torch.add(rows_nH1 * rows_nH1, columns_n1W * columns_n1W, out=distance).sqrt_()
    torch.mul(distance, plane(1.0 / wavelength, distance), out=turns)
    turns.add_(plane(-0.25 - in_turns(columns["phase"]), distance))
    cosine_of_turns_(turns, scaled_cosine(columns["amplitude"] * wavelength, turns), square, out=push)
    torch.le(distance, plane(columns["radius"], distance), out=square)
    # At the center itself the vector is 0, so any divisor will do.
    return push.mul_(square).div_(distance.clamp_(min=1e-6)), rows_nH1, columns_n1W


def _split(shift: Tensor, whole: Tensor, before: Tensor, weight: Tensor) -> None:
    # A shift's whole part and the weight of the pixel behind it (0 … 8192). The shift is split before the
    # pixel's place is added, so that its fraction loses no digits.
    torch.floor(shift, out=whole)
    weight.copy_(shift.sub_(whole).mul_(float(ONE)).round_())
    before.copy_(whole.clamp_(-1e9, 1e9))


def _packed(images_n3HW: Tensor) -> Tensor:
    # Red, green and blue of a pixel in the lanes of one integer, black border included, flat.
    num_samples, _, height, width = images_n3HW.shape
    shape = (num_samples, height + 2 * BORDER, width + 2 * BORDER)
    packed = scratch("packed", shape, torch.int64, images_n3HW.device).zero_()
    inner = packed[:, BORDER:-BORDER, BORDER:-BORDER]
    inner.copy_(images_n3HW[:, 2])
    for channel in (1, 0):
        inner.bitwise_left_shift_(LANE_BITS).bitwise_or_(images_n3HW[:, channel])
    return packed.view(-1)
