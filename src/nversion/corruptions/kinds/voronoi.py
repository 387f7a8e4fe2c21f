"""voronoi_noise: a pattern of cells, dark or bright towards their middle, added to the image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, Columns, Corruption, Parameter, severity_share
from nversion.corruptions.pixels.added import add_planes
from nversion.corruptions.pixels.columns import column_vector, plane, row_vector
from nversion.corruptions.pixels.scratch import scratch

NEIGHBOURS = (-1, 0, 1)


@CORRUPTIONS.register("voronoi_noise")
class VoronoiNoise(Corruption):
    """Smoothed distance to the nearest of one point in each square of a lattice (Mintun et al. 2021).

    Pixel (x, y) = (column, row) lies at v = (x, y)/size + 1, in the square g = floor(v). The point of a
    square g is g + h(g), `h = sin(w)·√w·seed·0.0025 − floor(…)`, w₀ = 13.85g₀ + 47.77g₁, w₁ = 99.41g₀ +
    88.48g₁. With d the distance of v to the nearest point of its 3×3 squares, at most 1, and e =
    min(density·d, 1), a pixel is `pixel + intensity·(3e² − 2e³ − 1/2)`, cut to [0, 255].

    Parameters: seed (U(0, 10)), density (U(0.5, 0.9)), size (of a square in pixels, U(0.05, 0.2) of the
    shorter side), intensity (grey levels, ±25.5·severity).

    Limit: 9 squared distances a pixel, each 4 passes and 2 copies of rows; one root. The points, and what
    depends on a row or a column alone, are float64 and made for each square, not each pixel.

    >>> abs(VoronoiNoise(2.0).sample_parameters(np.random.default_rng(0), (224, 224))["intensity"])
    51.0
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "seed": Parameter(),
        "density": Parameter(low=0.0),
        "size": Parameter(low=1e-3),
        "intensity": Parameter(),
    }

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        intensity = severity_share(self.severity, 255.0)
        return {
            "seed": rng.uniform(0.0, 10.0),
            "density": rng.uniform(0.5, 0.9),
            "size": rng.uniform(0.05, 0.2) * min(height, width),
            "intensity": intensity if rng.integers(2) else -intensity,
        }

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        distance, work = _squared_distance(images_n3HW, columns)
        share = distance.sqrt_().mul_(plane(columns["density"], distance)).clamp_(max=1.0)
        noise = torch.mul(share, -2.0, out=work).add_(3.0).mul_(share).mul_(share).sub_(0.5)
        add_planes(images_n3HW, noise.mul_(plane(columns["intensity"], noise))[:, None], out_n3HW)


def _squared_distance(like_n3HW: Tensor, columns: Columns) -> tuple[Tensor, Tensor]:
    """Each pixel's squared distance, in squares, to the nearest point, at most 1; and a plane to work on.

    The point of the square j below and i right of that of a pixel lies j + h₁ − frac(row) below and i + h₀ −
    frac(column) right of the pixel. Along a row of pixels h is that of a row of squares, read at each column:
    so these tables have a row for each line of squares, and pixels copy whole rows.
    """
    num_samples, _, height, width = like_n3HW.shape
    rows, row_index_nH, row_rest_nH = _lattice(columns["size"], height)
    lines, column_index_nW, column_rest_nW = _lattice(columns["size"], width)
    down_nRC, right_nRC = (
        torch.from_numpy(offset.astype(np.float32)).to(like_n3HW.device)
        for offset in _offsets(rows, lines, columns["seed"])
    )
    num_rows = rows.shape[1]
    select = torch.from_numpy(row_index_nH + num_rows * np.arange(num_samples)[:, None]).to(like_n3HW.device)
    across = torch.from_numpy(column_index_nW).to(like_n3HW.device)[:, None].expand(-1, num_rows, -1)
    nearest, down, right = (
        scratch(name, (num_samples, height, width), torch.float32, like_n3HW.device)
        for name in ("nearest", "down", "right")
    )
    nearest.fill_(1.0)
    for i in NEIGHBOURS:
        down_nRW = down_nRC.gather(2, across + i)
        right_nRW = right_nRC.gather(2, across + i).add_(row_vector(i - column_rest_nW, nearest)).square_()
        for j in NEIGHBOURS:
            for table, out in ((down_nRW, down), (right_nRW, right)):
                torch.index_select(table.view(-1, width), 0, (select + j).view(-1), out=out.view(-1, width))
            down.add_(column_vector(j - row_rest_nH, nearest))
            torch.minimum(nearest, right.add_(down.mul_(down)), out=nearest)
    return nearest, down


def _lattice(
    size_n: NDArray[np.float64], num_pixels: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Along one axis: lattice squares of interest (n, Q), and each pixel's index among them, and its rest.

    Of interest are a pixel's square and its two neighbours, which stand beside it; squares smaller than
    pixels leave out those between. So there are at most 3 for each pixel.
    """
    place = np.arange(num_pixels) / size_n[:, None] + 1.0
    square = np.floor(place)
    step = np.minimum(np.diff(square, axis=1, prepend=square[:, :1]), 3.0)
    index = 1 + np.cumsum(step, axis=1).astype(np.int64)
    squares = np.zeros((len(size_n), int(index.max(initial=1)) + 2))
    for k in NEIGHBOURS:
        np.put_along_axis(squares, index + k, square + k, axis=1)
    return squares, index, place - square


def _offsets(
    row_nR: NDArray[np.float64], column_nC: NDArray[np.float64], seed_n: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far the point of each square lies below and right of its corner, in squares: twice (n, R, C)."""
    down, right = row_nR[:, :, None], column_nC[:, None, :]
    scale = seed_n[:, None, None] * 0.0025
    below, beside = (
        np.remainder(np.sin(w) * np.sqrt(w) * scale, 1.0)
        for w in (99.41 * right + 88.48 * down, 13.85 * right + 47.77 * down)
    )
    return below, beside
