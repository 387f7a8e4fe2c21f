"""snow: blown flakes, twice, over an image that is paler than before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, SEED, Columns, Parameter
from nversion.corruptions.levels import Levelled, cifar_variant
from nversion.corruptions.pixels.fields import normal_fields
from nversion.corruptions.pixels.motion import motion_blur
from nversion.corruptions.pixels.scratch import scratch


@cifar_variant(
    (
        (0.1, 0.2, 1.0, 0.6, 8.0, 3.0, 0.95),
        (0.1, 0.2, 1.0, 0.5, 10.0, 4.0, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10.0, 4.0, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12.0, 6.0, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14.0, 12.0, 0.8),
    )
)
@CORRUPTIONS.register("snow")
class Snow(Levelled):
    """Streaks of snow from both sides over a bleached image (Hendrycks & Dietterich 2019).

    The flakes are a field of normals, `mean + deviation·normal`, zoomed: the middle 1/zoom of it, bilinear,
    first and last of it onto first and last. What is below `least` becomes 0, the rest is cut to [0, 1] and
    to bytes, and blurred by ImageMagick's motion blur of `radius` and `sigma` along `angle`. With v a value
    in [0, 1] and `grey = 0.299·red + 0.587·green + 0.114·blue` the result is `kept·v + (1 − kept)·max(v,
    1.5·grey + 0.5) + flakes + turned flakes`, cut to [0, 1], times 255, cut to a whole number; the turned
    flakes are the same by half a turn.

    The reference's lengths are pixels at every size of image, and so are ours. Of the field only the part
    that the zoom shows is drawn.

    Parameters: seed (whole, below 2³²) of the field, angle (degrees, U(−135, −45): upwards).

    Limit: 2·radius + 1 weights of the motion blur on one plane, then about 25 passes over planes.

    >>> Snow(2).sample_parameters(np.random.default_rng(0), size=(224, 224))["angle"] < -45
    True
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "seed": SEED,
        "angle": Parameter(low=-360.0, high=360.0),
    }
    # mean, deviation, zoom, least, radius, sigma, kept
    table = (
        (0.1, 0.3, 3.0, 0.5, 10.0, 4.0, 0.8),
        (0.2, 0.3, 2.0, 0.5, 12.0, 4.0, 0.7),
        (0.55, 0.3, 4.0, 0.9, 12.0, 8.0, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12.0, 8.0, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12.0, 12.0, 0.55),
    )

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        return {"seed": int(rng.integers(0, 2**32)), "angle": rng.uniform(-135.0, -45.0)}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        mean, deviation, zoom, least, radius, sigma, kept = self.row
        num_samples, _, height, width = images_n3HW.shape
        device = images_n3HW.device
        shape = (crop_length(height, zoom), crop_length(width, zoom))
        field = normal_fields(columns["seed"], 0, shape, device).double().mul_(deviation).add_(mean)
        layer = _zoomed(field, height, width, zoom)
        layer.mul_(layer >= least).clamp_(0.0, 1.0).mul_(255.0)
        flakes, blown = (
            scratch(name, (num_samples, 1, height, width), torch.uint8, device)
            for name in ("flakes", "blown")
        )
        flakes.copy_(layer[:, None])
        motion_blur(flakes, radius, sigma, columns["angle"], blown)

        value = scratch("value", (num_samples, 3, height, width), torch.float32, device).copy_(images_n3HW)
        pale = scratch("pale", tuple(value.shape), torch.float32, device)
        red, green, blue = (value[:, channel : channel + 1] for channel in range(3))
        bright = (red * 0.299).add_(green * 0.587).add_(blue * 0.114).mul_(1.5).add_(0.5 * 255.0)
        torch.maximum(value, bright, out=pale).mul_(1.0 - kept)
        value.mul_(kept).add_(pale).add_(blown.int().add_(blown.flip(2, 3)))
        out_n3HW.copy_(value.clamp_(0.0, 255.0))


def crop_length(length: int, zoom: float) -> int:
    """How many of `length` values the zoom shows.

    >>> crop_length(224, 4.5)
    50
    """
    return math.ceil(length / zoom)


def _zoomed(field_nhw: Tensor, height: int, width: int, zoom: float) -> Tensor:
    """Bilinear (n, H, W) from the field that spans it, or a little more, whose surplus is cut off evenly."""
    zoomed = field_nhw
    for axis, length in ((1, height), (2, width)):
        before, share = _places(length, zoom)
        after = np.minimum(before + 1, zoomed.shape[axis] - 1)
        shape = (-1, 1) if axis == 1 else (-1,)
        first, second = (
            zoomed.index_select(axis, torch.from_numpy(of).to(zoomed.device)) for of in (before, after)
        )
        share_T = torch.from_numpy(share).to(zoomed.device).view(shape)
        zoomed = first.mul_(1.0 - share_T).add_(second.mul_(share_T))
    return zoomed


def _places(length: int, zoom: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    # Of each of `length` values: which value of the field lies before it, and how far behind that it lies.
    source = crop_length(length, zoom)
    target = round(source * zoom)
    place = (np.arange(length) + (target - length) // 2) * ((source - 1) / max(target - 1, 1))
    before = np.minimum(np.floor(place), source - 1).astype(np.int64)
    return before, np.minimum(place - before, 1.0)
