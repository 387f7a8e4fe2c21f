"""perlin_noise: soft clouds of gradient noise blended into the image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, SEED, Columns, Corruption, Parameter, severity_share
from nversion.corruptions.pixels.columns import column_vector, plane, row_vector
from nversion.corruptions.pixels.scratch import scratch
from nversion.corruptions.pixels.seeded import legacy_random

PERIOD = 256  # lattice points along an axis until the gradients repeat
FAR = 4096.0  # added to coordinates, so that those of images are positive


@CORRUPTIONS.register("perlin_noise")
class PerlinNoise(Corruption):
    """Turbulence, a sum of octaves of Perlin's gradient noise, over the image (Mintun et al. 2021).

    With (x, y) = (row, column)·m, `t = Σ |noise(f·x, f·y)|/f` over f = 1, 2, 4, … up to `turbulence` (just
    noise(x, y) if that is 1), and a pixel is `(1 − alpha)·pixel + 255·alpha·clip(gain·t + bias, 0, 1)`, cut
    to [0, 255]. noise is 1.5 times the blend, by 3r² − 2r³ of the rest r along both axes, of the four ramps
    rest·gradient of a pixel's lattice square (Perlin, "An Image Synthesizer", 1985).

    `RandomState(seed)` gives the 514 gradients, (u mod 512 − 256)/256 normalised, and then shuffles. The
    reference's faults stay: a gradient of (0, 0), in one seed of a thousand, is not a number after that, and
    makes its squares black; and coordinates below −4096 are cut towards zero, not down.

    Parameters: m (lattice squares per pixel, the unit matrix times 7 over the shorter side), turbulence
    (16), seed (whole, below 2³²), gain and bias (0.5), alpha (severity/20).

    Limit: for a diagonal m, 13 passes an octave and 4 gathers a column of each lattice line, which number
    about as many as rows; for any other m, 12 gathers and about 50 passes an octave.

    >>> PerlinNoise(5.0).sample_parameters(np.random.default_rng(0), size=(224, 320))["m"]
    ((0.03125, 0.0), (0.0, 0.03125))
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "m": Parameter(shape=(2, 2)),
        "turbulence": Parameter(low=0.0, high=1024.0),
        "seed": SEED,
        "gain": Parameter(),
        "bias": Parameter(),
        "alpha": Parameter(),
    }

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        per_pixel = 1.0 / (32.0 * min(height, width) / 224.0)
        return {
            "m": ((per_pixel, 0.0), (0.0, per_pixel)),
            "turbulence": 16.0,
            "seed": int(rng.integers(0, 2**32)),
            "gain": 0.5,
            "bias": 0.5,
            "alpha": severity_share(self.severity, 0.5),
        }

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        num_samples, _, height, width = images_n3HW.shape
        shape, device = (num_samples, height, width), images_n3HW.device
        noise, pixels = (scratch(name, shape, torch.float32, device) for name in ("turbulence", "pixels"))
        whole = scratch("whole", shape, torch.int32, device)
        kinds_n5 = np.column_stack([columns["m"].reshape(-1, 4), columns["turbulence"]])
        for kind in np.unique(kinds_n5, axis=0):  # one as drawn: lattice and octaves are shared by samples
            same = np.flatnonzero((kinds_n5 == kind).all(axis=1))
            part = noise if len(same) == num_samples else torch.empty_like(noise[: len(same)])
            _turbulence(columns["seed"][same], kind[:4].reshape(2, 2), float(kind[4]), part)
            if part is not noise:
                noise[torch.from_numpy(same).to(noise.device)] = part
        alpha = columns["alpha"]
        noise.mul_(plane(columns["gain"], noise)).add_(plane(columns["bias"], noise)).clamp_(0.0, 1.0)
        noise.mul_(plane(255.0 * alpha, noise))
        kept = plane(1.0 - alpha, noise)
        for channel in range(3):
            pixels.copy_(images_n3HW[:, channel]).mul_(kept).add_(noise).clamp_(0.0, 255.0)
            out_n3HW[:, channel] = whole.copy_(pixels.nan_to_num_(nan=0.0))  # int32 truncates everywhere


def _turbulence(seed_n: NDArray[np.int64], m: NDArray[np.float64], octaves: float, out_nHW: Tensor) -> None:
    """Write turbulence of the lattice points (row, column)·m to `out`."""
    scales = [float(2**octave) for octave in range(11) if 2**octave <= octaves]
    permutation_nB, gradients_n2I = _generated(seed_n)
    gradients = torch.from_numpy(gradients_n2I.astype(np.float32)).to(out_nHW.device)
    out_nHW.zero_()
    of_octaves = _upright if m[0, 1] == 0 and m[1, 0] == 0 else _slanted
    for scale, noise in zip(scales, of_octaves(permutation_nB, gradients, m, scales, out_nHW), strict=True):
        out_nHW.add_(noise if octaves == 1 else noise.abs_().mul_(1.0 / scale))


def _generated(seed_n: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of each seed: a permutation of the lattice points, (n, 256), and gradients, (n, 2, 514).

    The gradient of lattice point (bx, by) is that of `permutation[bx] + by`; the last 258 repeat the first.
    """
    permutation_nB = np.empty((len(seed_n), PERIOD), dtype=np.int64)
    gradients_n2I = np.empty((len(seed_n), 2, 2 * PERIOD + 2))
    for sample, seed in enumerate(seed_n):
        # One call gives the numbers of the reference's 514 calls for a pair and 256 for a place.
        numbers = legacy_random(int(seed)).randint(0, 2**31, size=2 * (2 * PERIOD + 2) + PERIOD)
        vectors = (numbers[: 2 * PERIOD].reshape(-1, 2) % (2 * PERIOD) - PERIOD) / PERIOD
        with np.errstate(invalid="ignore"):
            vectors /= np.sqrt((vectors**2).sum(axis=1, keepdims=True))
        order = list(range(PERIOD))
        for here, there in zip(reversed(range(PERIOD)), (numbers[-PERIOD:] % PERIOD).tolist(), strict=True):
            order[here], order[there] = order[there], order[here]
        permutation_nB[sample] = order
        gradients_n2I[sample] = vectors[np.resize(permutation_nB[sample], 2 * PERIOD + 2)].T
    return permutation_nB, gradients_n2I


@dataclass(frozen=True)
class _Axis:
    """Where coordinates lie between lattice lines: the line before, and of both lines rest and weight."""

    before: NDArray[np.int64]
    rest: tuple[NDArray[np.float64], NDArray[np.float64]]
    weight: tuple[NDArray[np.float64], NDArray[np.float64]]

    @classmethod
    def of(cls, coordinate: NDArray[np.float64]) -> _Axis:
        place = coordinate + FAR
        rest = place - np.floor(place)
        smooth = rest**2 * (3.0 - 2.0 * rest)
        before = np.trunc(place).astype(np.int64) % PERIOD
        return cls(before, (rest, rest - 1.0), (1.0 - smooth, smooth))


def _upright(
    permutation_nB: NDArray[np.int64],
    gradients_n2I: Tensor,
    m: NDArray[np.float64],
    scales: list[float],
    like_nHW: Tensor,
) -> Iterator[Tensor]:
    """Noise of each octave where lattice lines run along rows and columns: m is diagonal.

    Along one lattice line the ramps are functions of the column: their gradient down, and their height, both
    blended between the lattice points left and right. A pixel blends those of the lines above and below it.
    All octaves' lines together make one table, of which pixels copy whole rows.
    """
    num_samples, height, width = like_nHW.shape
    device = like_nHW.device
    scale_O1 = np.array(scales)[:, None]
    down = _Axis.of(scale_O1 * (np.arange(height) * m[0, 0]))
    along = _Axis.of(scale_O1 * (np.arange(width) * m[1, 1]))

    # The lattice lines in use, octave after octave, and where in their table those of a row of pixels are.
    octave_O1 = np.arange(len(scales))[:, None]
    line_2OH = octave_O1 * PERIOD + np.stack([down.before, (down.before + 1) % PERIOD])
    used = np.zeros(len(scales) * PERIOD, dtype=bool)
    used[line_2OH] = True
    lines_K = np.flatnonzero(used)
    place_2OH = np.cumsum(used)[line_2OH] - 1

    def buffer(name: str, dtype: torch.dtype) -> Tensor:
        return scratch(name, (num_samples, len(lines_K), width), dtype, device)

    def of_lines(values_OW: NDArray[Any], dtype: torch.dtype) -> Tensor:
        values = torch.from_numpy(values_OW).to(device=device, dtype=dtype)
        out = scratch("of lines", (len(lines_K), width), dtype, device)
        return torch.index_select(values, 0, octave_K, out=out)

    octave_K = torch.from_numpy(lines_K // PERIOD).to(device)
    samples_n = np.arange(num_samples)
    first_nK = permutation_nB[:, lines_K % PERIOD] + samples_n[:, None] * gradients_n2I[0].numel()
    index = torch.add(
        of_lines(along.before, torch.int64),
        column_vector(first_nK, gradients_n2I, torch.int64),
        out=buffer("index", torch.int64),
    )
    steep, high, gathered = (buffer(name, torch.float32) for name in ("steep", "high", "gathered"))
    flat, both = gradients_n2I.view(-1), gradients_n2I.shape[2]
    for out, offset, height_OW in ((steep, 0, (1.0, 1.0)), (high, both, along.rest)):
        for corner, target in enumerate((out, gathered)):
            torch.index_select(flat[offset + corner :], 0, index.view(-1), out=target.view(-1))
            target.mul_(of_lines(along.weight[corner] * height_OW[corner], torch.float32))
        out.add_(gathered)

    noise, rows = (scratch(name, tuple(like_nHW.shape), torch.float32, device) for name in ("noise", "rows"))
    for octave in range(len(scales)):
        noise.zero_()
        for side in range(2):
            place_nH = place_2OH[side, octave] + samples_n[:, None] * len(lines_K)
            select = torch.from_numpy(place_nH.ravel()).to(device)
            weight = 1.5 * down.weight[side][octave]
            for table, factor_H in ((steep, weight * down.rest[side][octave]), (high, weight)):
                torch.index_select(table.view(-1, width), 0, select, out=rows.view(-1, width))
                noise.add_(rows.mul_(column_vector(factor_H[None], rows)))
        yield noise


def _slanted(
    permutation_nB: NDArray[np.int64],
    gradients_n2I: Tensor,
    m: NDArray[np.float64],
    scales: list[float],
    like_nHW: Tensor,
) -> Iterator[Tensor]:
    """Noise of each octave for any m: every pixel looks up the four corners of its lattice square."""
    num_samples, height, width = like_nHW.shape
    device = like_nHW.device

    def buffer(name: str, dtype: torch.dtype = torch.float32, planes: int = 1) -> Tensor:
        return scratch(name, (planes, height, width), dtype, device)

    row_1H, column_1W = np.arange(height)[None], np.arange(width)[None]
    flat, both = gradients_n2I.view(-1), gradients_n2I.shape[2]
    # Entry 256 is entry 0 again: the line behind the last is the first.
    first_nB = np.pad(permutation_nB, ((0, 0), (0, 1)), mode="wrap")
    first_nB += np.arange(num_samples)[:, None] * gradients_n2I[0].numel()
    first = torch.from_numpy(first_nB).to(device).view(-1)
    start = plane(np.arange(num_samples) * first_nB.shape[1], like_nHW, torch.int64)
    place, whole = buffer("place", torch.float64), buffer("whole", torch.float64)
    lines = [buffer(f"line {axis}", torch.int64) for axis in "xy"]
    rests, weights = (
        [[buffer(f"{name} {axis} {side}") for side in range(2)] for axis in "xy"]
        for name in ("rest", "weight")
    )
    index, entry = (buffer(name, torch.int64, num_samples) for name in ("index", "entry"))
    noise, ramp, other = (buffer(name, planes=num_samples) for name in ("noise", "ramp", "other"))
    for scale in scales:
        for axis, (line, rest, weight) in enumerate(zip(lines, rests, weights, strict=True)):
            down = column_vector(row_1H * (scale * m[0, axis]) + FAR, place, torch.float64)
            torch.add(down, row_vector(column_1W * (scale * m[1, axis]), place, torch.float64), out=place)
            line.copy_(torch.trunc(place, out=whole)).bitwise_and_(PERIOD - 1)
            rest[0].copy_(place.sub_(torch.floor(place, out=whole)))
            torch.sub(rest[0], 1.0, out=rest[1])
            torch.mul(rest[0], -2.0, out=weight[1]).add_(3.0).mul_(rest[0]).mul_(rest[0])
            torch.sub(1.0, weight[1], out=weight[0])
        noise.zero_()
        torch.add(lines[0], start, out=entry)
        for i, j in product(range(2), range(2)):
            torch.index_select(first[i:], 0, entry.view(-1), out=index.view(-1))
            index.add_(lines[1])
            for offset, out, height_of in ((j, ramp, rests[0][i]), (both + j, other, rests[1][j])):
                torch.index_select(flat[offset:], 0, index.view(-1), out=out.view(-1))
                out.mul_(height_of)
            noise.add_(ramp.add_(other).mul_(weights[0][i]).mul_(weights[1][j]))
        yield noise.mul_(1.5)
