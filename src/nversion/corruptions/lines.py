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
from .scratch import scratch

GREY = 128.0
BORDER = 2  # spare pixels around the canvas: a line's neighbours need no test whether they are inside


@CORRUPTIONS.register("lines")
class Lines(Corruption):
    """`int(density·side)` grey lines through random points, at angles about one angle (Mintun et al. 2021).

    Line i takes three numbers u, v, w of `RandomState(seed)`: its point (u·H, v·W), its angle `angle +
    2π·angle_variation·(w − 1/2)`, and reaches length·side to both sides; its ends are cut towards zero. It is
    drawn by Zingl's anti-aliased algorithm ("A Rasterizing Algorithm for Drawing Curves", 2012, §6) and
    blended: `pixel = trunc((1 − coverage)·pixel + coverage·128)`, line after line, each truncated to a byte.
    The side is the shorter one.

    Parameters: length (sides, 1), density (lines per pixel of side, severity/10), angle (radians, U(0, 2π)),
    angle_variation (turns, U(0.1, 1)), seed (whole, below 2³²).

    Limit: 6 bytes a pixel read and written; at most 3·(longer side) covered pixels a line, in the order of
    lines.

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
        height, width = images_n3HW.shape[2:]
        shape = (len(images_n3HW), 3, height + 2 * BORDER, width + 2 * BORDER)
        canvas = scratch("canvas", shape, torch.uint8, images_n3HW.device).zero_()
        inner = canvas[..., BORDER:-BORDER, BORDER:-BORDER]
        inner.copy_(images_n3HW)
        flat = canvas.view(-1)
        turn_Q, runs_Q = _runs(columns, height, width)
        # As many lines at once as have about the pixels of the chunk.
        for first, last in spans(int(turn_Q.max(initial=-1)) + 1, max(1, min(height, width) // 2)):
            start, stop = np.searchsorted(turn_Q, [first, last])
            place_p, coverage_p = _covered(runs_Q[start:stop], shape[2] * shape[3], canvas.device)
            kept_p = torch.sub(
                1.0, coverage_p, out=scratch("kept", coverage_p.shape, torch.float64, canvas.device)
            )
            grey_p = coverage_p.mul_(GREY)
            lengths_Q = 9 * runs_Q[start:stop, STEPS].astype(np.int64)
            per_turn = np.bincount(turn_Q[start:stop] - first, weights=lengths_Q, minlength=last - first)
            sizes = per_turn.astype(np.int64).tolist()
            for place, kept, grey in zip(
                *(torch.split(of_all, sizes) for of_all in (place_p, kept_p, grey_p)), strict=True
            ):
                blended = flat.index_select(0, place).to(torch.float64).mul_(kept).add_(grey)
                flat.scatter_(0, place, blended.to(torch.uint8))
        out_n3HW.copy_(inner)


# Columns of a run: the part of a line inside the image. Steps go along the line's longer extent.
FIRST, STEPS, LONGER, SHORTER, PLACE, STRIDE, STRIDE_BESIDE = range(7)


def _runs(columns: Columns, height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of all lines: the turn, their number in their sample, (Q,), ascending; and the run, (Q, 7)."""
    counts_n = (columns["density"] * min(height, width)).astype(np.int64)
    runs = [np.empty((0, 7))]
    for sample, count in enumerate(counts_n):
        ends_L4 = _ends({name: column[sample] for name, column in columns.items()}, int(count), height, width)
        runs.append(_inside(ends_L4, height, width))
        place = 3 * sample * (height + 2 * BORDER) * (width + 2 * BORDER)
        runs[-1][:, PLACE] += place
    turn_Q = np.concatenate([np.arange(count) for count in counts_n])
    order = np.argsort(turn_Q, kind="stable")
    return turn_Q[order], np.concatenate(runs)[order]


def _ends(parameters: Mapping[str, Any], count: int, height: int, width: int) -> NDArray[np.int64]:
    """Row and column of both ends of the lines of one image, (L, 4)."""
    numbers_L3 = np.random.RandomState(int(parameters["seed"])).uniform(size=(count, 3))
    row, column = height * numbers_L3[:, 0], width * numbers_L3[:, 1]
    angle = parameters["angle"] + 2 * np.pi * parameters["angle_variation"] * (numbers_L3[:, 2] - 0.5)
    reach = parameters["length"] * min(height, width)
    down, right = np.cos(angle) * reach, np.sin(angle) * reach
    ends = np.stack([row - down, column - right, row + down, column + right], axis=1)
    return np.asarray(np.trunc(ends), dtype=np.int64)


def _inside(ends_L4: NDArray[np.int64], height: int, width: int) -> NDArray[np.float64]:
    """The runs of the lines: their steps whose pixel is at most one beyond the image, (L, 7)."""
    extent_L2 = np.abs(ends_L4[:, 2:] - ends_L4[:, :2])
    sign_L2 = np.where(ends_L4[:, :2] < ends_L4[:, 2:], 1, -1)
    stride_L2 = sign_L2 * np.array([width + 2 * BORDER, 1])
    # Pixels a line may go, in the direction of its sign, before it enters (negative: is inside) and leaves.
    last = np.array([height - 1, width - 1])
    enters_L2 = np.where(sign_L2 > 0, -ends_L4[:, :2], ends_L4[:, :2] - last) - 1
    leaves_L2 = enters_L2 + last + 2
    # The longer extent first; a diagonal goes along the columns, as in the published loop.
    axes_L2 = np.where(extent_L2[:, :1] > extent_L2[:, 1:], [[0, 1]], [[1, 0]])
    (longer, shorter), (stride, stride_beside), (enters, enters_beside), (leaves, leaves_beside) = (
        np.take_along_axis(pair_L2, axes_L2, axis=1).T
        for pair_L2 in (extent_L2, stride_L2, enters_L2, leaves_L2)
    )
    # j(k) = floor(m(2k + 1)/(2M)), see _covered, is at least a from k = ceil((2Ma − m)/(2m)) on.
    twice = np.maximum(2 * shorter, 1)
    first = -((shorter - 2 * longer * enters_beside) // twice)
    beyond = -((shorter - 2 * longer * (leaves_beside + 1)) // twice)
    flat = shorter == 0
    first = np.where(flat, 0, first)
    beyond = np.where(flat, np.where((enters_beside <= 0) & (leaves_beside >= 0), longer + 1, 0), beyond)
    first = np.maximum(np.maximum(first, enters), 0)
    steps = np.maximum(np.minimum(np.minimum(beyond, leaves + 1), longer + 1) - first, 0)
    place = (ends_L4[:, 0] + BORDER) * (width + 2 * BORDER) + ends_L4[:, 1] + BORDER
    columns = (first, steps, longer, shorter, place, stride, stride_beside)
    return np.stack(columns, axis=1).astype(np.float64)


def _covered(runs_Q7: NDArray[np.float64], plane: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Places on the canvas that runs cover, run after run, and how much: (9·steps,) int64, float64 in [0, 1].

    With M ≥ m the line's extents, step k along the longer one has its pixel at j = floor(m(2k+1)/(2M)) along
    the shorter, |jM − km|/length away from the line; its neighbours at j + 1 and j − 1 are (j+1)M − km and
    km − (j−1)M away. Coverage is 1 − distance, none beyond 1. The line's first pixel has no neighbour behind,
    its last none ahead. All but the quotients are whole numbers, exact in float64. Each pixel comes for three
    channels, `plane` places apart; a line covers no pixel twice.
    """
    runs = torch.from_numpy(np.ascontiguousarray(runs_Q7.T)).to(device)
    steps = runs[STEPS].to(torch.int64)
    run_T = torch.repeat_interleave(steps)
    before = steps.cumsum(0).sub_(steps)
    longer, shorter = runs[LONGER], runs[SHORTER]
    length = (longer * longer + shorter * shorter).sqrt_().clamp_(min=1.0)
    k = torch.arange(len(run_T), dtype=torch.float64, device=device).add_((runs[FIRST] - before)[run_T])
    longer_T, shorter_T = longer[run_T], shorter[run_T]
    j = (2.0 * k).add_(1.0).mul_(shorter_T).div_((2.0 * longer.clamp(min=0.5))[run_T]).floor_()
    away = j * longer_T - k * shorter_T
    ahead = (away + longer_T).masked_fill_(k == longer_T, math.inf)
    behind = (longer_T - away).masked_fill_(k == 0, math.inf)
    distance_T3 = torch.stack([away.abs_(), ahead, behind], 1).div_(length[run_T, None])
    coverage_T31 = (1.0 - distance_T3).clamp_(min=0.0)[..., None]

    beside_T = runs[STRIDE_BESIDE][run_T]
    place_T = k.mul_(runs[STRIDE][run_T]).add_(runs[PLACE][run_T]).add_(j.mul_(beside_T)).to(torch.int64)
    beside_T = beside_T.to(torch.int64)
    place_T31 = torch.stack([place_T, place_T + beside_T, place_T - beside_T], 1)[..., None]
    shape = (len(run_T), 3, 3)
    place_T33 = scratch("place", shape, torch.int64, device)
    torch.add(place_T31, torch.arange(3, device=device) * plane, out=place_T33)
    coverage_T33 = scratch("coverage", shape, torch.float64, device).copy_(coverage_T31)
    return place_T33.view(-1), coverage_T33.view(-1)
