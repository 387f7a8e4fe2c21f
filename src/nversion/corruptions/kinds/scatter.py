"""scatter: every pixel is taken from a random place near it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, Columns, Corruption, Parameter, severity_share
from nversion.corruptions.pixels.bilinear import resample
from nversion.corruptions.pixels.columns import column_vector, plane, row_vector
from nversion.corruptions.pixels.scratch import scratch

GAIN = 43758.5453
Place = Callable[[NDArray[np.float64]], Tensor]


@CORRUPTIONS.register("scatter")
class Scatter(Corruption):
    """Every pixel reads from a random place within `radius` rows and columns (Mintun et al. 2021).

    With the noise of shader programs, `noise(s, t) = 43758.5453·sin(12.9898·sin(s·seed) +
    78.233·cos(t·seed)) mod 1`, pixel (y, x) reads from row `y + radius·(2·noise(y, x) − 1)` and column `x +
    radius·(2·noise(x, y) − 1)`, both cut to the image, bilinear between its four neighbours.

    Parameters: seed (no unit, U(0, 10)), radius (pixels, severity/100 of the shorter side).

    Limit: a sine of a sum is a sum of products, so sines are H + W, not H·W. The noise magnifies rounding
    43 758 times and is float64, 5 passes a noise; then 4 gathers of 8 bytes. Against the formula in exact
    arithmetic places differ by at most 1e-8·radius, but for one pixel in 10⁸ whose noise wraps about.

    >>> Scatter(2.0).sample_parameters(np.random.default_rng(0), size=(200, 320))["radius"]
    4.0
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {"seed": Parameter(), "radius": Parameter(low=0.0)}

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        side = min(height, width)
        return {"seed": rng.uniform(0.0, 10.0), "radius": severity_share(self.severity, side / 10)}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        num_samples, _, height, width = images_n3HW.shape
        radius = columns["radius"]
        per_row = partial(column_vector, like=images_n3HW, dtype=torch.float64)
        per_column = partial(row_vector, like=images_n3HW, dtype=torch.float64)
        shifts = []
        for axis, length, along, across, across_length in (
            ("down", height, per_row, per_column, width),
            ("right", width, per_column, per_row, height),
        ):
            first = 12.9898 * np.sin(np.arange(length) * columns["seed"][:, None])
            second = 78.233 * np.cos(np.arange(across_length) * columns["seed"][:, None])
            noise = shader_noise(first, along, second, across)
            noise.mul_(plane(2 * radius, noise, torch.float64)).sub_(plane(radius, noise, torch.float64))
            places = np.arange(float(length))[None]
            torch.maximum(noise, along(-places), out=noise)
            torch.minimum(noise, along(length - 1 - places), out=noise)
            shift = scratch(axis, (num_samples, height, width), torch.float32, images_n3HW.device)
            shifts.append(shift.copy_(noise))
        resample(images_n3HW, shifts[0], shifts[1], out_n3HW)


def shader_noise(
    first: NDArray[np.float64], along: Place, second: NDArray[np.float64], across: Place
) -> Tensor:
    """GAIN·sin(first + second) mod 1, by sin(a + b) = sin a·cos b + cos a·sin b.

    Args:
        first, second: radians, (n, H) and (n, W) or the reverse.
        along, across: `column_vector` for the numbers of rows, `row_vector` for those of columns, in float64.

    Returns:
        float64 (n, H, W), in kept memory.
    """
    sine, cosine = along(GAIN * np.sin(first)), along(GAIN * np.cos(first))
    other_sine, other_cosine = across(np.sin(second)), across(np.cos(second))
    shape = (len(sine), *(max(sides) for sides in zip(sine.shape[1:], other_sine.shape[1:], strict=True)))
    noise, spare = (scratch(name, shape, torch.float64, sine.device) for name in ("noise", "spare"))
    torch.mul(sine, other_cosine, out=noise)
    noise.add_(torch.mul(cosine, other_sine, out=spare))
    return noise.sub_(torch.floor(noise, out=spare))
