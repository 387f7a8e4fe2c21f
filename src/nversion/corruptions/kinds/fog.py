"""fog: a bright fractal cloud over the image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, Columns, Corruption, Parameter, plane
from nversion.corruptions.fields import uniform_fields
from nversion.corruptions.levels import at
from nversion.corruptions.scratch import scratch

SMALLEST_MAP = 4  # the next power of two of 3 channels: what the reference's current fork makes of a pixel
FIRST_SPREAD = 100.0


@CORRUPTIONS.register("fog")
class Fog(Corruption):
    """A bright fractal cloud lies over the image, which keeps its greatest value (Hendrycks & Dietterich 2019).

    `255·(value/255 + thickness·cloud)·m/(m + thickness)`, cut to [0, 255] and to whole numbers, where m is the
    image's greatest value/255. The cloud is a plasma fractal of the next power of two of the longer side
    (Fournier, Fussell, Carpenter, "Computer Rendering of Stochastic Models", 1982), which wraps around,
    stretched to [0, 1] and cut to the image: from one point on, each step doubles the grid; a new point is
    the mean of its four neighbours on squares, then on diamonds, `+ s·U(−s, s)`, s = 100, 100/decay,
    100/decay², …. Thickness and decay are those of the severity.

    Parameters: seed (whole, below 2³²) of the field of uniform numbers, which the steps take in turn.

    Limit: one uniform number in float32 and about 30 passes in float64 a point of the map; 6 passes a value.

    >>> sorted(Fog(3).sample_parameters(np.random.default_rng(0), size=(224, 224)))
    ['seed']
    """

    name: ClassVar[str] = "fog"
    lowest: ClassVar[float] = 1.0
    highest: ClassVar[float] = 5.0
    parameters: ClassVar[Mapping[str, Parameter]] = {"seed": Parameter(low=0, high=2**32 - 1, whole=True)}
    table: ClassVar[tuple[tuple[float, float], ...]] = (
        (1.5, 2.0),
        (2.0, 2.0),
        (2.5, 1.7),
        (2.5, 1.5),
        (3.0, 1.4),
    )

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        return {"seed": int(rng.integers(0, 2**32))}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        height, width = images_n3HW.shape[2:]
        thickness, decay = at(self.table, self.severity)
        side = max(SMALLEST_MAP, 1 << (max(height, width) - 1).bit_length())
        cloud_nHW = _cloud(columns["seed"], side, decay, images_n3HW.device)[:, :height, :width]
        value = scratch("value", tuple(images_n3HW.shape), torch.float64, images_n3HW.device)
        level = torch.tensor(255.0, dtype=torch.float64, device=value.device)
        most_n111 = images_n3HW.amax(dim=(1, 2, 3), keepdim=True).double().div_(level)
        value.copy_(images_n3HW).div_(level).add_(cloud_nHW.mul_(thickness)[:, None])
        value.mul_(most_n111).div_(most_n111 + thickness).clamp_(0.0, 1.0).mul_(level)
        whole = scratch("whole", tuple(value.shape), torch.int32, value.device)
        out_n3HW.copy_(whole.copy_(value))  # floating point to int32 truncates on every device


@CORRUPTIONS.register("fog_cifar")
class FogCifar(Fog):
    """`fog` with the thickness and decay of CIFAR-10-C."""

    name: ClassVar[str] = "fog_cifar"
    table: ClassVar[tuple[tuple[float, float], ...]] = (
        (0.2, 3.0),
        (0.5, 3.0),
        (0.75, 2.5),
        (1.0, 2.0),
        (1.5, 1.75),
    )


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


def _cloud(seed_n: NDArray[np.int64], side: int, decay: float, device: torch.device) -> Tensor:
    """Plasma fractals from 0 to 1, (n, side, side) in float64, in the order of the reference's additions."""
    uniform_nT = uniform_fields(seed_n, 0, (side**2 - 1,), device)
    corners = torch.zeros(len(seed_n), 1, 1, dtype=torch.float64, device=device)
    spread = FIRST_SPREAD
    for grid, numbers in steps(side):
        random = uniform_nT[:, numbers].view(-1, 3, grid, grid).double()
        random.mul_(2 * spread).sub_(spread).mul_(spread)
        right = corners + corners.roll(-1, dims=2)
        below = corners + corners.roll(-1, dims=1)
        middles = (below + below.roll(-1, dims=2)).mul_(0.25).add_(random[:, 0])
        upper = (middles + middles.roll(1, dims=1)).add_(right).mul_(0.25).add_(random[:, 1])
        left = (middles + middles.roll(1, dims=2)).add_(below).mul_(0.25).add_(random[:, 2])
        finer = torch.empty(len(seed_n), 2 * grid, 2 * grid, dtype=torch.float64, device=device)
        finer[:, ::2, ::2], finer[:, ::2, 1::2], finer[:, 1::2, ::2], finer[:, 1::2, 1::2] = (
            corners,
            upper,
            left,
            middles,
        )
        corners, spread = finer, spread / decay
    corners.sub_(corners.amin(dim=(1, 2), keepdim=True))
    return corners.div_(corners.amax(dim=(1, 2), keepdim=True))
