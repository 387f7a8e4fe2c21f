"""single_frequency_greyscale and cocentric_sine_waves: straight waves and wavy rings added to the image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, Columns, Corruption, Parameter, severity_share
from nversion.corruptions.pixels.added import add_planes
from nversion.corruptions.pixels.columns import column_vector, plane, row_vector
from nversion.corruptions.pixels.elementary import arctangent2_, sine_of_turns_
from nversion.corruptions.pixels.scratch import scratch


@CORRUPTIONS.register("single_frequency_greyscale")
class SingleFrequencyGreyscale(Corruption):
    """One plane wave in all channels (Mintun et al. 2021, single frequency greyscale).

    A pixel is `pixel + intensity·sin(column·freq[0] + row·freq[1] + phase)`, cut to [0, 255].

    Parameters: freq (radians per pixel along a row and along a column; in either order one is U(−π, π) and
    the other uniform below it in size), phase (radians, U(0, 2π)), intensity (grey levels, 19.6·severity).

    Limit: no transcendental per pixel, since sin(a + b) = sin a cos b + cos a sin b; 7 passes over planes.

    >>> SingleFrequencyGreyscale(1.0).sample_parameters(np.random.default_rng(0), (224, 224))["intensity"]
    19.6
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "freq": Parameter(shape=(2,)),
        "phase": Parameter(),
        "intensity": Parameter(),
    }

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        larger = rng.uniform(-math.pi, math.pi)
        freq = (larger, rng.uniform(-abs(larger), abs(larger)))
        return {
            "freq": freq if rng.integers(2) else freq[::-1],
            "phase": rng.uniform(0.0, 2 * math.pi),
            "intensity": severity_share(self.severity, 196.0),
        }

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        num_samples, _, height, width = images_n3HW.shape
        gain, freq = columns["intensity"][:, None], columns["freq"]
        along_n1W = freq[:, :1] * np.arange(width)
        down_nH1 = freq[:, 1:] * np.arange(height) + columns["phase"][:, None]
        noise, other = (
            scratch(name, (num_samples, height, width), torch.float32, images_n3HW.device)
            for name in ("noise", "other")
        )
        for sine, cosine, product in ((np.sin, np.cos, noise), (np.cos, np.sin, other)):
            torch.mul(
                column_vector(gain * sine(down_nH1), noise), row_vector(cosine(along_n1W), noise), out=product
            )
        add_planes(images_n3HW, noise.add_(other)[:, None], out_n3HW)


@CORRUPTIONS.register("cocentric_sine_waves")
class CocentricSineWaves(Corruption):
    """Sawtooth rings around a point, their outline a sine (Mintun et al. 2021, cocentric sine waves).

    With (x, y) = (column − offset[0], row − offset[1]) and r = √(x² + y²), a channel is `pixel +
    intensity·(u − floor(u) − 1/2)`, `u = (r + amplitude·sin(freq·arctan2(x, y)))/ring_width`, cut to
    [0, 255]. As in the reference, freq need not be whole, so the rings can break above `offset`; and its
    name is spelt as there, "concentric_sine_waves" finds it, too.

    Parameters: offset (column, row in pixels, U(0, width) and U(0, height)), freq (waves a turn, U(0, 10)),
    amplitude and ring_width (pixels, each U(0, 0.1) of the shorter side, the width at least 1e-6), intensity
    (grey levels, 12.8·severity, for each channel).

    Limit: one arctangent, one sine, one float64 root a pixel, about 60 passes. The sine's place is float32,
    1e-5 pixels; on which side of a ring's edge a pixel lies may differ from float64 for one in 10⁵ pixels
    over ring_width.

    >>> CocentricSineWaves(5.0).sample_parameters(np.random.default_rng(0), (224, 224))["intensity"]
    (64.0, 64.0, 64.0)
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "offset": Parameter(shape=(2,)),
        "freq": Parameter(low=-1e3, high=1e3),
        "amplitude": Parameter(),
        "ring_width": Parameter(low=1e-6),
        "intensity": Parameter(shape=(3,)),
    }

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        tenth = min(height, width) / 10
        return {
            "offset": (rng.uniform(0.0, width), rng.uniform(0.0, height)),
            "freq": rng.uniform(0.0, 10.0),
            "amplitude": rng.uniform(0.0, tenth),
            "ring_width": max(rng.uniform(0.0, tenth), 1e-6),
            "intensity": (severity_share(self.severity, 128.0),) * 3,
        }

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        num_samples, _, height, width = images_n3HW.shape
        x_nW = np.arange(width) - columns["offset"][:, :1]
        y_nH = np.arange(height) - columns["offset"][:, 1:]

        def buffer(name: str, dtype: torch.dtype, num_planes: int = 1) -> Tensor:
            return scratch(name, (num_samples, num_planes, height, width), dtype, images_n3HW.device)

        angle, other = (buffer(name, torch.float32)[:, 0] for name in ("angle", "other"))
        angle.copy_(row_vector(x_nW, angle))
        other.copy_(column_vector(y_nH, angle))
        arctangent2_(angle, other).mul_(plane(columns["freq"], angle))
        sine_of_turns_(angle).mul_(plane(columns["amplitude"], angle))
        rings = buffer("rings", torch.float64)[:, 0]
        torch.add(
            column_vector(y_nH**2, rings, torch.float64), row_vector(x_nW**2, rings, torch.float64), out=rings
        )
        rings.sqrt_().add_(angle).mul_(plane(1.0 / columns["ring_width"], rings, torch.float64))
        whole = torch.floor(rings, out=buffer("whole", torch.float64)[:, 0])
        rings.sub_(whole).sub_(0.5)
        intensity_n3 = columns["intensity"]
        if (intensity_n3 == intensity_n3[:, :1]).all():  # one plane serves all channels
            intensity_n3 = intensity_n3[:, :1]
        gain = torch.from_numpy(intensity_n3).to(rings.device)[:, :, None, None]
        noise = torch.mul(rings[:, None], gain, out=buffer("noise", torch.float64, intensity_n3.shape[1]))
        add_planes(images_n3HW, noise, out_n3HW)


CORRUPTIONS.alias("concentric_sine_waves", "cocentric_sine_waves")
