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
from nversion.corruptions.base import CORRUPTIONS, SEED, Columns, Corruption, Parameter, severity_share
from nversion.corruptions.pixels.scratch import scratch
from nversion.corruptions.pixels.seeded import legacy_random

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

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "length": Parameter(low=0.0, high=1e3),
        "density": Parameter(low=0.0, high=1e3),
        "angle": Parameter(),
        "angle_variation": Parameter(),
        "seed": SEED,
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
        shape = (3, len(images_n3HW), height + 2 * BORDER, width + 2 * BORDER)
        canvas = scratch("canvas", shape, torch.uint8, images_n3HW.device).zero_()
        inner_n3HW = canvas[..., BORDER:-BORDER, BORDER:-BORDER].transpose(0, 1)
        inner_n3HW.copy_(images_n3HW)
        canvas_3p = canvas.view(3, -1)
        turn_Q, runs_Q7 = _runs(columns, height, width)
        # As many lines at once as have about the pixels of the chunk.
        for first, last in spans(int(turn_Q.max(initial=-1)) + 1, max(1, min(height, width) // 2)):
            start, stop = np.searchsorted(turn_Q, [first, last])
            runs = runs_Q7[start:stop]
            place_p, coverage_p = _covered(runs, canvas.device)
            per_turn = np.bincount(
                turn_Q[start:stop] - first, weights=3 * runs[:, STEPS], minlength=last - first
            )
            blend = _blend_on_cpu if canvas.device.type == "cpu" else _blend_anywhere
            blend(canvas_3p, place_p, coverage_p, per_turn.astype(np.int64).tolist())
        out_n3HW.copy_(inner_n3HW)


def _blend_anywhere(canvas_3p: Tensor, place_p: Tensor, coverage_p: Tensor, sizes: list[int]) -> None:
    """Blend lines onto the canvas one after another; the next `sizes[i]` places are those of line i."""
    kept_p, grey_p = 1.0 - coverage_p, coverage_p * GREY
    for place, kept, grey in zip(
        *(torch.split(of_all, sizes) for of_all in (place_p, kept_p, grey_p)), strict=True
    ):
        place_3P = place.expand(3, -1)
        blended_3P = canvas_3p.gather(1, place_3P).double().mul_(kept).add_(grey)
        canvas_3p.scatter_(1, place_3P, blended_3P.byte())


def _blend_on_cpu(canvas_3p: Tensor, place_p: Tensor, coverage_p: Tensor, sizes: list[int]) -> None:
    """`_blend_anywhere` with NumPy, the same bytes: starting its small operations takes half as long."""
    canvas = canvas_3p.numpy().reshape(-1)
    kept_p, grey_p = (1.0 - coverage_p).numpy(), (coverage_p * GREY).numpy()
    channels_31, places = canvas_3p.shape[1] * np.arange(3)[:, None], place_p.numpy()
    start = 0
    for size in sizes:
        line = slice(start, start + size)
        place_3P = channels_31 + places[line]
        blended_3P = canvas.take(place_3P) * kept_p[line]
        blended_3P += grey_p[line]
        canvas[place_3P] = blended_3P.astype(np.uint8)
        start += size


# Columns of a run: the part of a line inside the image. Steps go along the line's longer extent.
FIRST, STEPS, LONGER, SHORTER, PLACE, STRIDE, STRIDE_BESIDE = range(7)


def _runs(columns: Columns, height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of all lines: the turn, their number in their sample, (Q,), ascending; and the run, (Q, 7)."""
    counts_n = (columns["density"] * min(height, width)).astype(np.int64)
    runs = [np.empty((0, 7))]
    for sample, count in enumerate(counts_n):
        ends_L4 = _ends({name: column[sample] for name, column in columns.items()}, int(count), height, width)
        runs.append(_inside(ends_L4, height, width))
        place = sample * (height + 2 * BORDER) * (width + 2 * BORDER)
        runs[-1][:, PLACE] += place
    turn_Q = np.concatenate([np.arange(count) for count in counts_n])
    order = np.argsort(turn_Q, kind="stable")
    return turn_Q[order], np.concatenate(runs)[order]


def _ends(parameters: Mapping[str, Any], count: int, height: int, width: int) -> NDArray[np.int64]:
    """Row and column of both ends of the lines of one image, (L, 4)."""
    numbers_L3 = legacy_random(int(parameters["seed"])).uniform(size=(count, 3))
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


def _covered(runs_Q7: NDArray[np.float64], device: torch.device) -> tuple[Tensor, Tensor]:
    """Places on the canvas that runs cover, run after run, and how much: (3·steps,) int64, float64 in [0, 1].

    With M ≥ m the line's extents, step k along the longer one has its pixel at j = floor(m(2k+1)/(2M)) along
    the shorter, |jM − km|/length away from the line; its neighbours at j + 1 and j − 1 are (j+1)M − km and
    km − (j−1)M away. Coverage is 1 − distance, none beyond 1. The line's first pixel has no neighbour behind,
    its last none ahead. All but the quotients are whole numbers, exact in float64. A line covers no
    pixel twice.
    """
    runs_7Q = np.ascontiguousarray(runs_Q7.T)
    runs = torch.from_numpy(runs_7Q).to(device)
    steps_Q = runs_7Q[STEPS].astype(np.int64)
    behind_Q = np.cumsum(steps_Q)
    starts = (behind_Q - steps_Q)[(runs_7Q[FIRST] == 0) & (steps_Q > 0)]
    ends = (behind_Q - 1)[(runs_7Q[FIRST] + steps_Q == runs_7Q[LONGER] + 1) & (steps_Q > 0)]
    run_T = torch.repeat_interleave(runs[STEPS].to(torch.int64), output_size=int(steps_Q.sum()))

    def along(values_Q: Tensor) -> Tensor:
        return values_Q.index_select(0, run_T)

    num_steps = len(run_T)
    longer, shorter = along(runs[LONGER]), along(runs[SHORTER])
    length = (runs[LONGER].square() + runs[SHORTER].square()).sqrt_().clamp_(min=1.0)
    k = torch.arange(num_steps, dtype=torch.float64, device=device)
    k.add_(along(runs[FIRST] - torch.from_numpy(behind_Q - steps_Q).to(device)))
    j = (2.0 * k).add_(1.0).mul_(shorter).div_((2.0 * longer).clamp_(min=1.0)).floor_()
    away = (j * longer).sub_(k * shorter)
    ahead, behind = longer + away, longer - away
    ahead.index_fill_(0, torch.from_numpy(ends).to(device), math.inf)
    behind.index_fill_(0, torch.from_numpy(starts).to(device), math.inf)
    length_T, beside = along(length), along(runs[STRIDE_BESIDE])
    place = k.mul_(along(runs[STRIDE])).add_(along(runs[PLACE])).add_(j.mul_(beside))

    place_T3 = scratch("place", (num_steps, 3), torch.int64, device)
    coverage_T3 = scratch("coverage", (num_steps, 3), torch.float64, device)
    places = (place, place + beside, place - beside)
    for pixel, distance in enumerate((away.abs_(), ahead, behind)):
        place_T3[:, pixel] = places[pixel]
        coverage_T3[:, pixel] = distance.div_(length_T).neg_().add_(1.0).clamp_(min=0.0)
    return place_T3.view(-1), coverage_T3.view(-1)
