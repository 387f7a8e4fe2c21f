"""Weighted sums along an axis in whole numbers: exact, so that no order of adding shows.

A filter along an axis is a matrix with a band of weights about its diagonal. Multiplied block by block with
dense matrices it runs at the speed of matrix products. Weights are whole numbers that sum to 2^16, so a first
pass over bytes stays below 2^24 and is exact even in float32, a second one below 2^40, exact in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .scratch import scratch

WEIGHT_BITS = 16
ONE = 1 << WEIGHT_BITS

# Outputs a block: few multiply few zeros beside the band, many start few products. Measured.
NARROW, WIDE, GPU = 16, 32, 256


@dataclass(frozen=True)
class Block:
    """Outputs `start` to `stop` from inputs `first` to `last`: weights (stop − start, last − first)."""

    start: int
    stop: int
    first: int
    last: int
    weights_OK: Tensor


@dataclass(frozen=True)
class Band:
    """out[o] = Σ_k weight[o, k] · in[source[o, k]]; each table of weights on one device, in one precision."""

    length: int
    blocks: tuple[Block, ...]

    @classmethod
    def of(
        cls,
        source_OK: NDArray[np.int64],
        weight_OK: NDArray[np.int64],
        device: torch.device,
        dtype: torch.dtype = torch.float64,
    ) -> Band:
        """The band of K sources a output; a source may come several times.

        Equal blocks, such as those far from the ends, share one table. Tables have about 1.5 to 3 times as
        many numbers as `weight_OK`, where they are not shared.
        """
        length, reach = len(source_OK), int(np.ptp(source_OK, axis=1).max())
        step = GPU if device.type != "cpu" else NARROW if reach <= NARROW else WIDE
        tables: dict[tuple[int, bytes], Tensor] = {}
        blocks = []
        for start in range(0, length, step):
            part = slice(start, min(start + step, length))
            first, last = int(source_OK[part].min()), int(source_OK[part].max()) + 1
            rows = np.arange(part.stop - start)[:, None]
            table = np.zeros((part.stop - start, last - first))
            np.add.at(table, (rows, source_OK[part] - first), weight_OK[part])
            key = (last - first, table.tobytes())
            if key not in tables:
                tables[key] = torch.from_numpy(table).to(device=device, dtype=dtype)
            blocks.append(Block(start, part.stop, first, last, tables[key]))
        return cls(length, tuple(blocks))

    def along_columns(self, planes_QW: Tensor, out_QO: Tensor) -> Tensor:
        """Filter each row of `planes_QW`."""
        for block in self.blocks:
            out = out_QO[:, block.start : block.stop]
            torch.mm(planes_QW[:, block.first : block.last], block.weights_OK.t(), out=out)
        return out_QO

    def along_rows(self, planes_HQ: Tensor, out_OQ: Tensor) -> Tensor:
        """Filter each column of `planes_HQ`."""
        for block in self.blocks:
            out = out_OQ[block.start : block.stop]
            torch.mm(block.weights_OK, planes_HQ[block.first : block.last], out=out)
        return out_OQ

    def add_along_rows_(self, planes_HQ: Tensor, out_OQ: Tensor) -> Tensor:
        """Filter each column of `planes_HQ` and add the result to `out_OQ`."""
        for block in self.blocks:
            out_OQ[block.start : block.stop].addmm_(block.weights_OK, planes_HQ[block.first : block.last])
        return out_OQ


def whole(weight_OK: NDArray[np.float64], total: int = ONE) -> NDArray[np.int64]:
    """Weights of any sum as whole numbers that sum to `total` for each output; nothing stays nothing.

    What rounding leaves goes to an output's largest weight.

    >>> whole(np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]), total=100)
    array([[34, 33, 33],
           [ 0,  0,  0]])
    """
    sum_O1 = weight_OK.sum(axis=1, keepdims=True)
    share_OK = weight_OK / np.where(sum_O1 == 0, 1.0, sum_O1)
    whole_OK = np.rint(share_OK * total).astype(np.int64)
    rest_O = np.where(sum_O1[:, 0] == 0, 0, total - whole_OK.sum(axis=1))
    whole_OK[np.arange(len(whole_OK)), share_OK.argmax(axis=1)] += rest_O
    return whole_OK


def first_precision(device: torch.device) -> torch.dtype:
    """Of a first pass over bytes: float32 where products of matrices are exact in it.

    They are not where PyTorch is set to use fewer bits; on GPUs float64 needs no such trust.
    """
    exact = device.type == "cpu" and torch.get_float32_matmul_precision() == "highest"
    return torch.float32 if exact else torch.float64


def side_by_side(planes_pHW: Tensor, dtype: torch.dtype) -> Tensor:
    """The planes side by side, (H, p, W): rows and columns are both filtered by few products."""
    num_planes, height, width = planes_pHW.shape
    planes_HpW = scratch("side by side", (height, num_planes, width), dtype, planes_pHW.device)
    return planes_HpW.copy_(planes_pHW.transpose(0, 1))


def into_planes(planes_HpW: Tensor, out_pHW: Tensor) -> None:
    """The inverse of `side_by_side`; numbers from 0 to below 256 are cut to bytes."""
    # By way of int32: floating point to int32 cuts on every device, and both steps are faster than one.
    bytes_HpW = scratch("bytes", tuple(planes_HpW.shape), torch.int32, planes_HpW.device).copy_(planes_HpW)
    out_pHW.copy_(bytes_HpW.transpose(0, 1))


def filtered(planes_pHW: Tensor, rows: Band, columns: Band) -> Tensor:
    """Planes of bytes filtered along both axes, side by side: float64 whole numbers over 2^32.

    Args:
        planes_pHW: uint8.
        rows: for the H outputs of a column, of float64.
        columns: for the W outputs of a row, of `first_precision`.
    """
    planes_HpW = side_by_side(planes_pHW, first_precision(planes_pHW.device))
    height, num_planes, width = planes_HpW.shape
    once, exact, twice = (
        scratch(name, (height * num_planes, width), dtype, planes_HpW.device)
        for name, dtype in (("once", planes_HpW.dtype), ("exact", torch.float64), ("twice", torch.float64))
    )
    columns.along_columns(planes_HpW.view(-1, width), once)
    rows.along_rows(exact.copy_(once).view(height, -1), twice.view(height, -1))
    return twice.mul_(2.0 ** (-2 * WEIGHT_BITS)).view(height, num_planes, width)
