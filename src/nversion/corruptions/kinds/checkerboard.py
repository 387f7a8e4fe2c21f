"""checkerboard_cutout: grey squares on the dark fields of a turned checkerboard."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.core import UserError
from nversion.corruptions.base import CORRUPTIONS, SEED, Columns, Corruption, Parameter, severity_share
from nversion.corruptions.pixels.columns import column_vector, plane, row_vector
from nversion.corruptions.pixels.scratch import scratch
from nversion.corruptions.pixels.seeded import legacy_random

GREY = 128


@CORRUPTIONS.register("checkerboard_cutout")
class CheckerboardCutout(Corruption):
    """Cells of one colour of a turned checkerboard become grey, each with a probability (Mintun et al. 2021).

    The cell of pixel (row, column) is `i = (row·cos angle + column·sin angle)/scales[0]`, `j = (−row·sin
    angle + column·cos angle)/scales[1]`. It becomes 128 when floor(i) and floor(j) are both even or both odd
    and its number in `RandomState(seed).uniform(...)` is below `fraction`. As in the reference that table is
    indexed by i and j cut towards zero and wraps at negative ones, so cells on both sides of an axis can
    share a number.

    Parameters: angle (radians, U(0, 2π)), scales (pixels, two equal numbers, U(0.1, 0.25) of the shorter
    side, at least 1), fraction (severity/10), seed (whole, below 2³²). The table has 4 times the longer side
    of the image, in cells.

    Limit: 6 bytes a pixel read and written, no transcendental per pixel; two float64 divisions and a look-up.

    >>> CheckerboardCutout(4.0).sample_parameters(np.random.default_rng(0), size=(8, 8))["fraction"]
    0.4
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "angle": Parameter(),
        "scales": Parameter(low=1.0, shape=(2,)),
        "fraction": Parameter(),
        "seed": SEED,
    }

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        angle = rng.uniform(0.0, 2 * math.pi)
        scale = max(rng.uniform(0.1, 0.25) * min(height, width), 1.0)
        return {
            "angle": angle,
            "scales": (scale, scale),
            "fraction": severity_share(self.severity, 1.0),
            "seed": int(rng.integers(0, 2**32)),
        }

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        height, width = images_n3HW.shape[2:]
        longer = max(height, width)
        if columns["scales"].max() > 4 * longer:
            raise UserError(
                expected=f"scales of at most 4 times the longer side ({4 * longer} pixels) of {self.name}",
                found=f"{columns['scales'].max():g}",
                next_step="pass what sample_parameters gives",
            )
        reach = math.ceil(math.hypot(height, width) / columns["scales"].min()) + 1
        tables = np.stack(
            [
                _kept_by_code(int(seed), fraction, scales, longer, reach)
                for seed, fraction, scales in zip(
                    columns["seed"], columns["fraction"], columns["scales"], strict=True
                )
            ]
        )
        side = tables.shape[1]
        cosine, sine = np.cos(columns["angle"])[:, None], np.sin(columns["angle"])[:, None]
        code = _code("i", cosine, sine, columns["scales"][:, 0], images_n3HW).mul_(side)
        code.add_(_code("j", -sine, cosine, columns["scales"][:, 1], images_n3HW))
        first = np.arange(len(tables)) * float(side * side) + 2 * reach * (side + 1)
        code.add_(plane(first, code, torch.float64))
        index = scratch("index", tuple(code.shape), torch.int64, code.device).copy_(code).view(-1)
        kept = scratch("kept", tuple(index.shape), torch.uint8, code.device)
        torch.index_select(torch.from_numpy(tables).to(code.device).view(-1), 0, index, out=kept)
        kept_n1HW = kept.view(-1, 1, height, width)
        torch.bitwise_and(images_n3HW, kept_n1HW, out=out_n3HW)
        out_n3HW.bitwise_or_(kept_n1HW.bitwise_not_().bitwise_and_(GREY))


def _code(
    axis: str, per_row: NDArray[np.float64], per_column: NDArray[np.float64], scale: Any, like: Tensor
) -> Tensor:
    # floor + ceil of the cell's coordinate tells both its floor and its cut towards zero, which differ only
    # below zero. float64 as in the reference, because a cell's edge is a jump.
    height, width = like.shape[2:]
    shape = (len(like), height, width)
    cell, upper = (scratch(name, shape, torch.float64, like.device) for name in (axis, "upper"))
    torch.add(
        column_vector(per_row * np.arange(height), like, torch.float64),
        row_vector(per_column * np.arange(width), like, torch.float64),
        out=cell,
    )
    cell.div_(plane(scale, like, torch.float64))  # by a tensor: a scalar divisor becomes a reciprocal on GPUs
    torch.ceil(cell, out=upper)
    return cell.floor_().add_(upper)


def _kept_by_code(
    seed: int, fraction: float, scales: NDArray[np.float64], longer: int, reach: int
) -> NDArray[np.uint8]:
    # 255 where a cell's pixels stay and 0 where they are cut out, at [code + 2·reach] of both axes.
    sides = [int(4 * longer // scale) for scale in scales]
    grid = legacy_random(seed).uniform(size=sides) < fraction
    code = np.arange(-2 * reach, 2 * reach + 1)
    floor, towards_zero = code // 2, (code + (code < 0)) // 2
    same_colour = (floor[:, None] - floor[None, :]) % 2 == 0
    cut = same_colour & grid[np.ix_(towards_zero % sides[0], towards_zero % sides[1])]
    return np.where(cut, 0, 255).astype(np.uint8)
