"""Reading an image between its pixels: bilinear, black beyond the border, the same bytes on every device."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from .columns import plane
from .scratch import scratch

# Three channels ride in one 64-bit integer: 21 bits each hold 255 times a weight of 2^13.
LANE_BITS = 21
LANE = (1 << LANE_BITS) - 1
WEIGHT_BITS = 13
ONE = 1 << WEIGHT_BITS
BORDER = 2  # black pixels around the image, so that any source beyond it reads black


def resample(
    images_n3HW: Tensor,
    down_nHW: Tensor,
    right_nHW: Tensor,
    out_n3HW: Tensor,
    light_nHW: Tensor | None = None,
) -> None:
    """Give each pixel what lies `down` rows and `right` columns from it, cut to a whole number.

    Weights of the four neighbours are whole numbers over 8192 that sum to 8192: against float64 a byte
    differs by at most 1, and an even area stays what it is. 4 gathers of 8 bytes, 13 passes of int64.

    Args:
        images_n3HW: uint8.
        down_nHW, right_nHW: float32 shifts in pixels, of any size; overwritten.
        out_n3HW: uint8, not the input's memory.
        light_nHW: float32 grey levels added to all channels before the cut to [0, 255]; overwritten.
    """
    num_samples, _, height, width = images_n3HW.shape
    stride = width + 2 * BORDER
    buffer = partial(scratch, shape=(num_samples, height, width), device=images_n3HW.device)
    whole = buffer("whole", dtype=torch.float32)
    row, row_weight, column, column_weight = (
        buffer(name, dtype=torch.int32) for name in ("row", "row weight", "column", "column weight")
    )
    _split(down_nHW, whole, row, row_weight)
    row.add_(torch.arange(height, dtype=torch.int32, device=row.device)[:, None])
    _split(right_nHW, whole, column, column_weight)
    column.add_(torch.arange(width, dtype=torch.int32, device=row.device))
    row.clamp_(-BORDER, height).add_(BORDER).mul_(stride)
    column.clamp_(-BORDER, width).add_(BORDER)
    source = buffer("source", dtype=torch.int64).copy_(row.add_(column))
    source.add_(plane(np.arange(num_samples) * (height + 2 * BORDER) * stride, source, torch.int64))

    # The four weights are whole, not below 0, and sum to 8192.
    both = torch.mul(row_weight, column_weight, out=buffer("both", dtype=torch.int32))
    both.bitwise_right_shift_(WEIGHT_BITS)
    row_weight.sub_(both)
    column_weight.sub_(both)
    neither = torch.add(row_weight, column_weight, out=row).add_(both).neg_().add_(ONE)
    packed = _packed(images_n3HW)
    blend, neighbour, weight = (
        buffer(name, dtype=torch.int64).view(-1) for name in ("blend", "neighbour", "weight")
    )
    torch.index_select(packed, 0, source.view(-1), out=blend).mul_(weight.copy_(neither.view(-1)))
    for offset, weight_nHW in ((1, column_weight), (stride, row_weight), (stride + 1, both)):
        torch.index_select(packed[offset:], 0, source.view(-1), out=neighbour)
        blend.add_(neighbour.mul_(weight.copy_(weight_nHW.view(-1))))
    if light_nHW is not None:
        weight.copy_(light_nHW.clamp_(-512.0, 512.0).mul_(float(ONE)).round_().view(-1))
    for channel in range(3):
        if light_nHW is None:
            torch.bitwise_right_shift(blend, LANE_BITS * channel + WEIGHT_BITS, out=neighbour)
        else:
            torch.bitwise_right_shift(blend, LANE_BITS * channel, out=neighbour).bitwise_and_(LANE)
            neighbour.add_(weight).bitwise_right_shift_(WEIGHT_BITS).clamp_(0, 255)
        out_n3HW[:, channel] = neighbour.view(row.shape)  # the cast keeps the low 8 bits: the channel


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
