"""motion_blur: every point of light becomes a fading streak."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, Columns, Parameter
from nversion.corruptions.levels import Levelled, cifar_variant
from nversion.corruptions.pixels.motion import motion_blur
from nversion.corruptions.pixels.runs import runs_of_equals


@cifar_variant(((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)))
@CORRUPTIONS.register("motion_blur")
class MotionBlur(Levelled):
    """Pixels are smeared along one direction, with weights that fade (Hendrycks & Dietterich 2019).

    ImageMagick's motion blur: a pixel becomes the mean of those `ceil(i·sin angle − 1/2)` rows and
    `ceil(i·cos angle − 1/2)` columns from it, i = 0, 1, …, 2·radius, with weights `exp(−i²/(2·sigma²))`,
    edge pixels repeated beyond the image; cut to a whole number, as ImageMagick does on the way to 8 bits.

    Parameters: radius (pixels, whole, 10 to 20 by severity; `_cifar`: 6 to 9), sigma (pixels, 3 to 15;
    `_cifar`: 1 to 2.5), angle (degrees, U(−45, 45)).

    Limit: 2·radius + 1 multiplications and additions of int32 a value.

    >>> sorted(MotionBlur(3).sample_parameters(np.random.default_rng(0), size=(224, 224)))
    ['angle', 'radius', 'sigma']
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "radius": Parameter(low=0, high=200, whole=True),
        "sigma": Parameter(low=1e-2, high=1e3),
        "angle": Parameter(),
    }
    table = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        radius, sigma = self.row
        return {"radius": int(radius + 0.5), "sigma": sigma, "angle": rng.uniform(-45.0, 45.0)}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        for (radius, sigma), run in runs_of_equals(columns["radius"], columns["sigma"]):
            motion_blur(images_n3HW[run], radius, sigma, columns["angle"][run], out_n3HW[run])
