"""water_drop: circular waves refract a disc of the image."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, Columns, Corruption, Parameter, severity_share
from nversion.corruptions.pixels.bilinear import resample
from nversion.corruptions.pixels.columns import column_vector, plane, row_vector
from nversion.corruptions.pixels.cosine import cosine_of_turns_, in_turns, scaled_cosine
from nversion.corruptions.pixels.scratch import scratch


@CORRUPTIONS.register("water_drop")
class WaterDrop(Corruption):
    """Pixels within `radius` of `center` move along it by a sine of their distance (Mintun et al. 2021).

    A pixel at distance d reads from `p + amplitude·wavelength·sin(2πd/wavelength − phase)·(p − center)/d`,
    bilinear between its four neighbours, black beyond the image; d > radius stays.

    Parameters: center (row, column in pixels, U(0.25, 0.75) of the height and of the width), radius (pixels,
    half the shorter side, whole), amplitude (severity/40, no unit), wavelength (pixels, U(0.05, 0.2) of the
    shorter side), phase (radians, U(0, 2π)).

    Limit: one sine, one root and one division a pixel; 4 gathers of 8 bytes; 6 bytes read and written.
    Weights of neighbours are whole numbers over 8192: against float64 a byte differs by at most 1, and an
    even area stays what it is, where the reference's rounding can lose 1.

    >>> WaterDrop(7.0).sample_parameters(np.random.default_rng(0), size=(224, 320))["radius"]
    112
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "center": Parameter(shape=(2,)),
        "radius": Parameter(low=0.0),
        "amplitude": Parameter(),
        "wavelength": Parameter(low=1e-3),
        "phase": Parameter(),
    }

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        center = rng.uniform(0.25, 0.75, size=2)
        return {
            "center": (float(center[0] * height), float(center[1] * width)),
            "radius": min(height, width) // 2,
            "amplitude": severity_share(self.severity, 0.25),
            "wavelength": rng.uniform(0.05, 0.2) * min(height, width),
            "phase": rng.uniform(0.0, 2 * math.pi),
        }

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        num_samples, _, height, width = images_n3HW.shape

        def buffer(name: str) -> Tensor:
            return scratch(name, (num_samples, height, width), torch.float32, images_n3HW.device)

        push, rows_nH1, columns_n1W = _push(images_n3HW, columns, buffer)
        down = torch.mul(push, rows_nH1, out=buffer("down"))
        resample(images_n3HW, down, push.mul_(columns_n1W), out_n3HW)


def _push(
    images_n3HW: Tensor, columns: Columns, buffer: Callable[[str], Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    # How far a pixel's source lies from it, as a multiple of (pixel − center); and that vector's two parts.
    height, width = images_n3HW.shape[2:]
    center, wavelength = columns["center"], columns["wavelength"]
    rows_nH1 = column_vector(np.arange(height) - center[:, :1], images_n3HW)
    columns_n1W = row_vector(np.arange(width) - center[:, 1:], images_n3HW)
    distance, turns, square, push = (buffer(name) for name in ("distance", "turns", "square", "push"))
    torch.add(rows_nH1 * rows_nH1, columns_n1W * columns_n1W, out=distance).sqrt_()
    torch.mul(distance, plane(1.0 / wavelength, distance), out=turns)
    turns.add_(plane(-0.25 - in_turns(columns["phase"]), distance))
    cosine_of_turns_(turns, scaled_cosine(columns["amplitude"] * wavelength, turns), square, out=push)
    torch.le(distance, plane(columns["radius"], distance), out=square)
    # At the center itself the vector is 0, so any divisor will do.
    return push.mul_(square).div_(distance.clamp_(min=1e-6)), rows_nH1, columns_n1W
