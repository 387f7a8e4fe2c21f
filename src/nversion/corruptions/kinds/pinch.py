"""pinch_and_twirl: a grid of discs, each drawn to its middle and twisted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.core import UserError
from nversion.corruptions.base import CORRUPTIONS, Columns, Corruption, Parameter, severity_share
from nversion.corruptions.pixels.bilinear import resample
from nversion.corruptions.pixels.scratch import scratch
from nversion.corruptions.severities import SMALL_IMAGE


@CORRUPTIONS.register("pinch_and_twirl")
class PinchAndTwirl(Corruption):
    """The disc in each cell of a grid is stretched along its radius and twisted (Mintun et al. 2021).

    The image has num_per_axis² cells of whole sides H // num_per_axis and W // num_per_axis, what is left
    over below and to the right stays. A pixel at `v = (row, column)` from the middle of its cell, with d =
    |v| over the disc's radius (half the cell's shorter side), reads from `sin(πd/2)^(−amount)·v` turned by
    `angle·(1 − d)²` from rows towards columns, bilinear between its four neighbours, black beyond the image;
    d > 1 and the middle itself stay. As in the reference `angles[i][j]` is of column i and row j of the grid.

    Parameters: num_per_axis (5; 3 for images of a shorter side up to 64 pixels), angles (radians,
    num_per_axis², each severity·π/20 or its negative with equal chance), amount (no unit, severity/25 + 0.1,
    so that severity 0 pinches, too).

    Limit: all cells of one angle are alike, so sines and powers are those of two cells; then 4 gathers of 8
    bytes. In the reference a cell reads what earlier ones have written; below an amount of 1 (severity 22.5)
    that does not matter: sources lie in the disc, their neighbours at most a row below or a column to the
    right of the cell, and those cells come later.

    >>> PinchAndTwirl(5.0).sample_parameters(np.random.default_rng(0), size=(32, 32))["num_per_axis"]
    3
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "num_per_axis": Parameter(low=1, high=1e3, whole=True),
        "angles": Parameter(shape=(None, None)),
        "amount": Parameter(low=-50.0, high=50.0),
    }

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        num_per_axis = 5 if min(height, width) > SMALL_IMAGE else 3
        angle = severity_share(self.severity, math.pi / 2)
        clockwise = rng.integers(0, 2, size=(num_per_axis, num_per_axis)).tolist()
        return {
            "num_per_axis": num_per_axis,
            "angles": tuple(tuple(angle if turn else -angle for turn in row) for row in clockwise),
            "amount": severity_share(self.severity, 0.4) + 0.1,
        }

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        num_samples, _, height, width = images_n3HW.shape
        num = _cells_per_axis(columns)
        cell = (height // num, width // num)
        angles_ncc, amount_n11 = columns["angles"].transpose(0, 2, 1), columns["amount"][:, None, None]
        kinds_T, which = np.unique(angles_ncc + 1j * amount_n11, return_inverse=True)
        kind = torch.from_numpy(which.ravel()).to(images_n3HW.device)
        shifts = []
        for axis, table_Thw in zip(
            ("down", "right"), _shifts(kinds_T.real, kinds_T.imag, *cell), strict=True
        ):
            shift = scratch(axis, (num_samples, height, width), torch.float32, images_n3HW.device).zero_()
            of_cells = torch.from_numpy(table_Thw).to(shift.device).index_select(0, kind)
            grid = shift[:, : num * cell[0], : num * cell[1]].view(num_samples, num, cell[0], num, cell[1])
            grid.copy_(of_cells.view(num_samples, num, num, *cell).transpose(2, 3))
            shifts.append(shift)
        resample(images_n3HW, shifts[0], shifts[1], out_n3HW)


def _cells_per_axis(columns: Columns) -> int:
    num = int(columns["angles"].shape[1])
    for sample, asked in enumerate(columns["num_per_axis"]):
        if columns["angles"].shape[1:] != (asked, asked):
            raise UserError(
                expected=f"{asked}×{asked} angles of pinch_and_twirl, as num_per_axis says",
                found=f"{'×'.join(map(str, columns['angles'].shape[1:]))} for image {sample}",
                next_step="pass what sample_parameters gives",
            )
    return num


def _shifts(
    angle_T: NDArray[np.float64], amount_T: NDArray[np.float64], height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How far below and to the right a cell's pixels read, for T angles and amounts: (T, h, w) each."""
    row, column = np.arange(height)[:, None] - height / 2, np.arange(width) - width / 2
    distance = np.hypot(row, column) / (min(height, width) / 2)
    distance[(distance > 1) | (distance == 0)] = 1.0  # where the shift is exactly 0
    angle, amount = angle_T[:, None, None], amount_T[:, None, None]
    stretch, turn = np.sin(np.pi / 2 * distance) ** -amount, angle * (1 - distance) ** 2
    sine, cosine = stretch * np.sin(turn), stretch * np.cos(turn)
    down, right = row * cosine - column * sine - row, row * sine + column * cosine - column
    return down.clip(-1e6, 1e6).astype(np.float32), right.clip(-1e6, 1e6).astype(np.float32)
