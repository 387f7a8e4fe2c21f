"""gaussian_blur: out of focus by a Gaussian."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, Columns, Parameter
from nversion.corruptions.levels import Levelled, cifar_variant
from nversion.corruptions.pixels.gaussian import LARGEST_SIGMA, blur
from nversion.corruptions.pixels.runs import runs_of_equals


@cifar_variant((0.4, 0.6, 0.7, 0.8, 1.0))
@CORRUPTIONS.register("gaussian_blur")
class GaussianBlur(Levelled):
    """Every pixel becomes a Gaussian mean of its neighbourhood (Hendrycks & Dietterich 2019, extra).

    Weights `exp(−d²/(2·sigma²))` per axis, d up to 4 sigma, edge pixels repeated beyond the image; cut to a
    whole number.

    Parameters: sigma (pixels, 1 to 6 by severity; `_cifar`: 0.4 to 1).

    Limit: two products of matrices a chunk, 8·sigma + 17 to 8·sigma + 33 multiplications a value each.

    >>> GaussianBlur(2.5).sample_parameters(np.random.default_rng(0), size=(224, 224))
    {'sigma': 2.5}
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {"sigma": Parameter(low=0.0, high=LARGEST_SIGMA)}
    table = (1.0, 2.0, 3.0, 4.0, 6.0)

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        return {"sigma": self.value}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        for (sigma,), run in runs_of_equals(columns["sigma"]):
            blur(images_n3HW[run], sigma, out_n3HW[run])
