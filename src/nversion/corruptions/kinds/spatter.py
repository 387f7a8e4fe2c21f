"""spatter: drops of water, or splashes of mud, on the lens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, SEED, Columns, Parameter
from nversion.corruptions.levels import Levelled, at, cifar_variant
from nversion.corruptions.pixels.contours import distances, edges, equalized, mean_3, windows
from nversion.corruptions.pixels.fields import normal_fields
from nversion.corruptions.pixels.scratch import scratch
from nversion.corruptions.pixels.smoothing import VALUE_BITS, smoothed

TRUNCATE = 4.0  # the smoothing's reach, in sigmas
FIELD_BITS = 20  # of the liquid, which stays below 2^3
WATER, MUD = (175.0, 238.0, 238.0), (63.0, 42.0, 20.0)  # red, green, blue
FARTHEST = 20  # pixels from an edge at which water looks the same
RELIEF = (((-1, -1), -2), ((-1, 0), -1), ((0, -1), -1), ((0, 0), 1), ((0, 1), 1), ((1, 0), 1), ((1, 1), 2))


@cifar_variant(
    (
        (0.62, 0.1, 0.7, 0.7, 0.5),
        (0.65, 0.1, 0.8, 0.7, 0.5),
        (0.65, 0.3, 1.0, 0.69, 0.5),
        (0.65, 0.1, 0.7, 0.69, 0.6),
        (0.65, 0.1, 0.5, 0.68, 0.6),
    )
)
@CORRUPTIONS.register("spatter")
class Spatter(Levelled):
    """Water (severities below 3.5) or mud on the lens (Hendrycks & Dietterich 2019, extra).

    The liquid is a field of normals, `mean + deviation·normal`, smoothed by a Gaussian of `sigma` pixels, and
    0 below `least`. Mud is 1 where there is liquid, smoothed by a Gaussian of `strength` pixels, and 0 below
    0.8: with that `m` a value is `v·(1 − m) + mud·m`. Of water the edges are found (Canny's, of the liquid in
    bytes, thresholds 50 and 150); the distance to them in pixels (by steps of length 1, 1.4 and 2.1969, at
    most 20) is averaged over 3×3, cut to bytes and equalized, then lit from one side (a 3×3 relief) and
    averaged again. Its product with the liquid, over the greatest of the image, times `strength` is `m`, and
    a value is `v + water·m`, cut to 255. All of this is what OpenCV does, byte by byte.

    Between severities 3 and 4, where water turns to mud, the row of the nearer one is taken. The reference's
    lengths are pixels at every size of image, and so are ours. Without any liquid it divides 0 by 0; ours
    gives the image back.

    Parameters: seed (whole, below 2³²) of the field.

    Limit: drawing and smoothing the field; for water about 200 passes over a plane, mostly of bytes, and one
    labelling of connected pixels on the host.

    >>> black = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    >>> Spatter(5).apply(black, [{"seed": 1}]).amax(dim=(0, 2, 3)).tolist()
    [62, 41, 19]
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {"seed": SEED}
    # mean, deviation, sigma, least, strength
    table = (
        (0.65, 0.3, 4.0, 0.69, 0.6),
        (0.65, 0.3, 3.0, 0.68, 0.6),
        (0.65, 0.3, 2.0, 0.68, 0.5),
        (0.65, 0.3, 1.0, 0.65, 1.5),
        (0.67, 0.4, 1.0, 0.65, 1.5),
    )

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        return {"seed": int(rng.integers(0, 2**32))}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        muddy = self.severity >= 3.5
        severity = max(self.severity, 4.0) if muddy else min(self.severity, 3.0)
        mean, deviation, sigma, least, strength = at(self.table, severity)
        field = normal_fields(columns["seed"], 0, tuple(images_n3HW.shape[2:]), images_n3HW.device).double()
        whole = field.mul_(deviation).add_(mean).mul_(2.0**FIELD_BITS).round_()
        liquid_nHW = smoothed(whole, sigma, TRUNCATE, mirrored=False).mul_(2.0**-FIELD_BITS)
        shape, device = tuple(images_n3HW.shape), images_n3HW.device
        value = scratch("value", shape, torch.float32, device).copy_(images_n3HW)
        if muddy:
            mask = (liquid_nHW > least).double().mul_(2.0**VALUE_BITS)
            cover_nHW = smoothed(mask, strength, TRUNCATE, mirrored=False).mul_(2.0**-VALUE_BITS).float()
            cover_nHW.mul_(cover_nHW >= 0.8)
            value.mul_((1.0 - cover_nHW)[:, None])
        else:
            # A byte of more than 255 wraps, as in NumPy.
            bytes_nHW = liquid_nHW.mul_(liquid_nHW >= least).mul_(255.0).int().bitwise_and_(255)
            cover_nHW = _refraction(bytes_nHW).mul_(strength)
        part_nHW = scratch("part", (shape[0], *shape[2:]), torch.float32, device)
        for channel, level in enumerate(MUD if muddy else WATER):
            value[:, channel].add_(torch.mul(cover_nHW, level, out=part_nHW))
        out_n3HW.copy_(value.clamp_(0.0, 255.0))


def _refraction(liquid_nHW: Tensor) -> Tensor:
    """How much water shines, float32 from 0 to 1, 1 at the brightest pixel of an image."""
    near_nHW = mean_3(distances(edges(liquid_nHW, 50, 150), FARTHEST), cut=True)
    relief_nHW = _relief(equalized(near_nHW, FARTHEST))
    light_nHW = mean_3(relief_nHW, cut=False).mul_(liquid_nHW).float()
    return light_nHW.div_(light_nHW.amax(dim=(1, 2), keepdim=True).clamp_(min=1.0))


def _relief(values_nHW: Tensor) -> Tensor:
    window: Callable[[int, int], Tensor] = windows(values_nHW, mirrored=True)
    total = torch.zeros_like(values_nHW)
    for (down, right), weight in RELIEF:
        total.add_(window(down, right), alpha=weight)
    return total.clamp_(0, 255)
