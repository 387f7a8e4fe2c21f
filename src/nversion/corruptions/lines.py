"""lines: thin grey anti-aliased lines across the image, one over the other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.core import spans

from .base import CORRUPTIONS, Columns, Corruption, Parameter, severity_share

GREY = 128.0
LINES_PER_BLOCK = 64


@CORRUPTIONS.register("lines")
class Lines(Corruption):
    """`int(density·side)` grey lines through random points, at angles about one angle (Mintun et al. 2021).

    Line i takes three numbers u, v, w of `RandomState(seed)`: its point (u·H, v·W), its angle `angle +
    2π·angle_variation·(w − 1/2)`, and reaches length·side to both sides; its ends are cut towards zero. It is drawn
    by Zingl's anti-aliased algorithm ("A Rasterizing Algorithm for Drawing Curves", 2012, §6) and blended:
    `pixel = trunc((1 − coverage)·pixel + coverage·128)`, line after line, each truncated to a byte. The side is
    the shorter one.

    Parameters: length (sides, 1), density (lines per pixel of side, severity/10), angle (radians, U(0, 2π)),
    angle_variation (turns, U(0.1, 1)), seed (whole, below 2³²).

    Limit: 6 bytes a pixel read and written; at most 3·(longer side) covered pixels a line, in the order of lines.

    >>> Lines(1.6).sample_parameters(np.random.default_rng(0), size=(224, 224))["density"]
    0.16
    """

    name: ClassVar[str] = "lines"
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "length": Parameter(low=0.0, high=1e3),
        "density": Parameter(low=0.0, high=1e3),
        "angle": Parameter(),
        "angle_variation": Parameter(),
        "seed": Parameter(low=0, high=2**32 - 1, whole=True),
    }

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        return {
            "length": 1.0,
            "density": severity_share(self.severity, 1.0),
            "angle": rng.uniform(0.0, 2 * math.pi),
            "angle_variation": rng.uniform(0.1, 1.0),
            "seed": int(rng.integers(0, 2**32)),
        }

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        num_samples, _, height, width = images_n3HW.shape
        # Pixels of all samples in a row, channels last; the last place takes what falls beyond an image.
        canvas_p3 = torch.empty(
            (num_samples * height * width + 1, 3), dtype=torch.float64, device=images_n3HW.device
        )
        pixels_nHW3 = canvas_p3[:-1].view(num_samples, height, width, 3)
        pixels_nHW3.copy_(images_n3HW.permute(0, 2, 3, 1))
        ends_Ln4 = _ends(columns, height, width)
        for start, stop in spans(len(ends_Ln4), LINES_PER_BLOCK):
            ends = torch.from_numpy(ends_Ln4[start:stop]).to(canvas_p3.device)
            place_LP, coverage_LP = _covered(ends, height, width)
            kept_LP1, grey_LP1 = (1.0 - coverage_LP)[..., None], (coverage_LP * GREY)[..., None]
            for place_P, kept_P1, grey_P1 in zip(place_LP, kept_LP1, grey_LP1, strict=True):
                blended = canvas_p3.index_select(0, place_P).mul_(kept_P1).add_(grey_P1).trunc_()
                canvas_p3.index_copy_(0, place_P, blended)
        out_n3HW.copy_(pixels_nHW3.permute(0, 3, 1, 2))


def _ends(columns: Columns, height: int, width: int) -> NDArray[np.float64]:
    """Rows and columns of both ends of every line, (L, n, 4); nan pads samples with fewer lines."""
    side = min(height, width)
    counts = (columns["density"] * side).astype(np.int64)
    ends_Ln4 = np.full((int(counts.max()), len(counts), 4), np.nan)
    for sample, count in enumerate(counts):
        numbers_L3 = np.random.RandomState(int(columns["seed"][sample])).uniform(size=(count, 3))
        row, column = height * numbers_L3[:, 0], width * numbers_L3[:, 1]
        spread = 2 * np.pi * columns["angle_variation"][sample]
        angle = columns["angle"][sample] + spread * (numbers_L3[:, 2] - 0.5)
        reach = columns["length"][sample] * side
        down, right = np.cos(angle) * reach, np.sin(angle) * reach
        ends = np.stack([row - down, column - right, row + down, column + right], axis=1)
        ends_Ln4[:count, sample] = np.trunc(ends)
    return ends_Ln4


def _covered(ends_Ln4: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The places on the canvas that each line covers, (L, P) int64, and how much, (L, P) float64 in [0, 1].

    With M ≥ m the line's extents, step k along the longer one has its pixel at `j = floor(m(2k+1)/(2M))` along the
    shorter, `jM − km` over the line's length away from it; Zingl's loop adds the neighbour at j+1 when it is less
    than a pixel away, and the one at j−1 after a step of j. All are whole numbers, exact in float64. A line covers
    no pixel twice. Uncovered places are the canvas's last.
    """
    num_samples = ends_Ln4.shape[1]
    row0, column0, row1, column1 = ends_Ln4.unsqueeze(-1).unbind(2)
    rows, columns = (row1 - row0).abs(), (column1 - column0).abs()
    steep = rows > columns
    longer, shorter = torch.maximum(rows, columns), torch.minimum(rows, columns)
    length = (rows * rows + columns * columns).sqrt_().clamp_(min=1.0)
    row_sign, column_sign = 1.0 - 2.0 * (row0 >= row1), 1.0 - 2.0 * (column0 >= column1)

    # Only the steps inside the image along the longer extent: as many as that side has pixels.
    start, sign = torch.where(steep, row0, column0), torch.where(steep, row_sign, column_sign)
    side = torch.where(steep, float(height), float(width))
    first = torch.where(sign > 0, -start, start - side + 1)
    k = first + torch.arange(max(height, width), dtype=torch.float64, device=ends_Ln4.device)
    j = ((2 * k + 1) * shorter).div_(longer.clamp(min=0.5) * 2).floor_()
    on_line = (k >= 0) & (k <= longer) & (k < first + side)
    away = j * longer - k * shorter

    place, coverage = [], []
    for beside, distance, drawn in (
        (0, away, on_line),
        (1, away + longer, on_line & (k < longer) & (away + longer < length)),
        (-1, longer - away, on_line & (k >= 1) & (2 * away > -shorter) & (longer - away < length)),
    ):
        row = row0 + row_sign * torch.where(steep, k, j + beside)
        column = column0 + column_sign * torch.where(steep, j + beside, k)
        inside = drawn & (row >= 0) & (row < height) & (column >= 0) & (column < width)
        place.append(torch.where(inside, row * width + column, math.nan))
        coverage.append(1.0 - distance.abs_().div_(length))
    image = torch.arange(num_samples, dtype=torch.float64, device=ends_Ln4.device)[:, None] * (height * width)
    places = torch.stack(place, 1).add_(image).nan_to_num_(num_samples * height * width)
    return places.to(torch.int64).flatten(1), torch.stack(coverage, 1).nan_to_num_(0.0).flatten(1)
