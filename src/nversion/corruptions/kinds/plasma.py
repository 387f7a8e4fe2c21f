"""plasma_noise: a warped colour plasma blended into the image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, Columns, Corruption, Parameter, severity_share
from nversion.corruptions.pixels.columns import column_vector, plane, row_vector
from nversion.corruptions.pixels.cosine import cosine_of_turns_, in_turns, scaled_cosine
from nversion.corruptions.pixels.scratch import scratch


@CORRUPTIONS.register("plasma_noise")
class PlasmaNoise(Corruption):
    """Three colour waves over coordinates that are warped 4 to 6 times (Mintun et al. 2021, plasma noise).

    With (x, y) = (column, row)/scale and step s = 0, 1, …, iterations − 1: `a = cos(y·1.93^s +
    time/1.15^s)/(2.25 − sharpness)^s`, `b = sin(x·1.93^s + time/1.15^s)/(2.25 − sharpness)^s`, `x += a −
    0.3b`, `y += b + 0.3a`; then red = sin(x − time), green = sin((x + y + sin(time))/2), blue = sin(y +
    time), and a pixel is `(1 − intensity/255)·pixel + intensity·colour`, cut to [0, 255].

    Parameters: time (radians, U(0, 6π)), iterations (4, 5 or 6), sharpness (U(0.5, 1)), scale (pixels,
    U(0.075, 0.2) of the shorter side), intensity (grey levels, 6.4·severity).

    Limit: 2·iterations + 1 cosines a pixel (the first step needs them per row and column only); 6 bytes read
    and written. Planes are float32; against float64 a pixel differs by at most 1 (truncation) for the drawn
    iterations.

    >>> rng = np.random.default_rng(0)
    >>> sorted(PlasmaNoise(4.0).sample_parameters(rng, size=(224, 224)))
    ['intensity', 'iterations', 'scale', 'sharpness', 'time']
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "time": Parameter(),
        "iterations": Parameter(low=1, high=8, whole=True),
        "sharpness": Parameter(high=2.0),
        "scale": Parameter(low=1e-3),
        "intensity": Parameter(),
    }

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        return {
            "time": rng.uniform(0.0, 6 * math.pi),
            "iterations": int(rng.integers(4, 7)),
            "sharpness": rng.uniform(0.5, 1.0),
            "scale": rng.uniform(0.075, 0.2) * min(height, width),
            "intensity": severity_share(self.severity, 64.0),
        }

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        x, y = _first_step(images_n3HW, columns)
        turns, square, a, b = (
            scratch(name, x.shape, x.dtype, x.device) for name in ("turns", "square", "a", "b")
        )
        whole = scratch("whole", x.shape, torch.int32, x.device)
        for step in range(1, int(columns["iterations"].max())):
            per_radian, shift, cosine = _step(step, columns, x)
            torch.mul(y, per_radian, out=turns).add_(shift)
            cosine_of_turns_(turns, cosine, square, out=a)
            torch.mul(x, per_radian, out=turns).add_(shift).sub_(0.25)
            cosine_of_turns_(turns, cosine, square, out=b)
            y.add_(b)
            x.add_(a)
            y.add_(a.mul_(0.3))
            x.sub_(b.mul_(0.3))
        time, intensity = columns["time"], columns["intensity"]
        cosine = scaled_cosine(intensity, x)
        kept = plane(1.0 - intensity / 255.0, x)
        torch.add(x, y, out=b)
        for channel, (angle, half_turns, offset) in enumerate(
            ((x, 1.0, -time), (b, 0.5, np.sin(time) / 2), (y, 1.0, time))
        ):
            angle.mul_(half_turns / (2 * math.pi)).add_(plane(in_turns(offset) - 0.25, x))
            cosine_of_turns_(angle, cosine, square, out=a)
            turns.copy_(images_n3HW[:, channel]).mul_(kept).add_(a).clamp_(0.0, 255.0)
            out_n3HW[:, channel] = whole.copy_(turns)  # float to int32 truncates on every device


def _first_step(images_n3HW: Tensor, columns: Columns) -> tuple[Tensor, Tensor]:
    # Step 0 adds a function of the row to one of the column, so its cosines are H + W, not H·W.
    height, width = images_n3HW.shape[2:]
    scale, time = columns["scale"][:, None], columns["time"][:, None]
    y_nH, x_nW = np.arange(height) / scale, np.arange(width) / scale
    a_nH, b_nW = np.cos(y_nH + time), np.sin(x_nW + time)
    shape = (len(images_n3HW), height, width)
    x, y = (scratch(name, shape, torch.float32, images_n3HW.device) for name in ("x", "y"))
    torch.add(column_vector(a_nH, x), row_vector(x_nW - 0.3 * b_nW, x), out=x)
    torch.add(column_vector(y_nH + 0.3 * a_nH, y), row_vector(b_nW, y), out=y)
    return x, y


def _step(step: int, columns: Columns, like: Tensor) -> tuple[float, Tensor, list[Tensor]]:
    # A sample that has had its iterations gets gain 0: adding an exact zero leaves it as it is.
    gain: NDArray[np.float64] = (step < columns["iterations"]) / (2.25 - columns["sharpness"]) ** step
    shift = plane(in_turns(columns["time"] / 1.15**step), like)
    return 1.93**step / (2 * math.pi), shift, scaled_cosine(gain, like)
