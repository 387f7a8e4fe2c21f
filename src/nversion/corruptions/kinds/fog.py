"""fog: a bright fractal cloud over the image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.core import chunk_length, spans
from nversion.corruptions.base import CORRUPTIONS, SEED, Columns, Parameter
from nversion.corruptions.levels import Levelled, cifar_variant
from nversion.corruptions.pixels.fields import uniform_fields
from nversion.corruptions.pixels.scratch import scratch

SMALLEST_MAP = 4  # the next power of two of 3 channels: what the reference's current fork makes of a pixel
MAP_POINTS_PER_PIXEL = 4  # of a chunk, where it has more than one image
FIRST_SPREAD = 100.0


@cifar_variant(((0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75)))
@CORRUPTIONS.register("fog")
class Fog(Levelled):
    """A bright fractal cloud over an image that keeps its greatest value (Hendrycks & Dietterich 2019).

    `255·(value/255 + thickness·cloud)·m/(m + thickness)`, cut to [0, 255] and to whole numbers; m is the
    image's greatest value/255. The cloud is a plasma fractal of the next power of two of the longer side
    (Fournier, Fussell, Carpenter, "Computer Rendering of Stochastic Models", 1982), which wraps around,
    stretched to [0, 1] and cut to the image. From one point on, each step doubles the grid: a new point is
    the mean of its four neighbours, on squares, then on diamonds, `+ s·U(−s, s)`, s = 100, 100/decay,
    100/decay², …. Thickness and decay are those of the severity.

    Parameters: seed (whole, below 2³²) of the field of uniform numbers, which the steps take in turn.

    Limit: one uniform number in float32 and about 20 passes in float64 a point of the map, 8 passes a value.
    Of the map, about 30 bytes a point: a very oblong image needs the memory of a square one.

    >>> sorted(Fog(3).sample_parameters(np.random.default_rng(0), size=(224, 224)))
    ['seed']
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {"seed": SEED}
    table = (
        (1.5, 2.0),
        (2.0, 2.0),
        (2.5, 1.7),
        (2.5, 1.5),
        (3.0, 1.4),
    )

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        return {"seed": int(rng.integers(0, 2**32))}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        num_samples, _, height, width = images_n3HW.shape
        side = max(SMALLEST_MAP, 1 << (max(height, width) - 1).bit_length())
        # The map of an oblong image is much larger than the image.
        at_once = chunk_length(side * side, MAP_POINTS_PER_PIXEL * num_samples * height * width)
        for start, stop in spans(num_samples, at_once):
            self._cover(images_n3HW[start:stop], columns["seed"][start:stop], side, out_n3HW[start:stop])

    def _cover(self, images_n3HW: Tensor, seed_n: NDArray[np.int64], side: int, out_n3HW: Tensor) -> None:
        thickness, decay = self.row
        cloud_nHW = _cloud(seed_n, side, tuple(images_n3HW.shape[2:]), decay, images_n3HW.device)
        value = scratch("value", tuple(images_n3HW.shape), torch.float64, images_n3HW.device)
        level = torch.tensor(255.0, dtype=torch.float64, device=value.device)
        most_n111 = images_n3HW.amax(dim=(1, 2, 3), keepdim=True).double().div_(level)
        value.copy_(images_n3HW).div_(level).add_(cloud_nHW.mul_(thickness)[:, None])
        value.mul_(most_n111).div_(most_n111 + thickness).clamp_(0.0, 1.0).mul_(level)
        whole = scratch("whole", tuple(value.shape), torch.int32, value.device)
        out_n3HW.copy_(whole.copy_(value))  # floating point to int32 truncates on every device


def steps(side: int) -> Iterator[tuple[int, slice]]:
    """For each step of a map: the side of the grid before, and which of the side² − 1 numbers it takes.

    They are those of the squares, (g, g), then those of the points on their upper edges, then left edges.

    >>> list(steps(4))
    [(1, slice(0, 3, None)), (2, slice(3, 15, None))]
    """
    grid = 1
    while grid < side:
        yield grid, slice(grid**2 - 1, 4 * grid**2 - 1)
        grid *= 2


def _cloud(
    seed_n: NDArray[np.int64], side: int, size: tuple[int, ...], decay: float, device: torch.device
) -> Tensor:
    """The upper left of plasma fractals from 0 to 1, (n, H, W) in float64, added up in the reference's order.

    A quarter is a power of two: scaled and added in one operation, fused or not, a sum is rounded as in two.
    """
    num_samples, spread = len(seed_n), FIRST_SPREAD
    uniform_nT = uniform_fields(seed_n, 0, (side**2 - 1,), device)
    corners = torch.zeros(num_samples, 1, 1, dtype=torch.float64, device=device)
    for grid, numbers in steps(side):
        added = scratch("added", (num_samples, 3, grid, grid), torch.float64, device)
        added.copy_(uniform_nT[:, numbers].view(-1, 3, grid, grid))
        added.mul_(2 * spread).sub_(spread).mul_(spread)
        right = corners.roll(-1, dims=2).add_(corners)
        below = corners.roll(-1, dims=1).add_(corners)
        middles = added[:, 0].add_(below.roll(-1, dims=2).add_(below), alpha=0.25)
        # The map of one step is read while the next is written.
        finer = scratch(
            f"map {grid.bit_length() % 2}", (num_samples, 2 * grid, 2 * grid), torch.float64, device
        )
        finer[:, ::2, ::2] = corners
        finer[:, 1::2, 1::2] = middles
        above = middles.roll(1, dims=1).add_(middles)
        torch.add(added[:, 1], above.add_(right), alpha=0.25, out=finer[:, ::2, 1::2])
        before = middles.roll(1, dims=2).add_(middles)
        torch.add(added[:, 2], before.add_(below), alpha=0.25, out=finer[:, 1::2, ::2])
        corners, spread = finer, spread / decay
    least, most = corners.amin(dim=(1, 2), keepdim=True), corners.amax(dim=(1, 2), keepdim=True)
    return corners[:, : size[0], : size[1]].sub_(least).div_(most - least)
