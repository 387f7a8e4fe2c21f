"""ripple: rows and columns sway to and fro in two standing waves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, Columns, Corruption, Parameter, severity_share
from nversion.corruptions.pixels.scratch import scratch


@CORRUPTIONS.register("ripple")
class Ripple(Corruption):
    """A wave along the rows moves whole rows, one along the columns whole columns (Mintun et al. 2021).

    A pixel at `p = (row, column)` reads from `p + amplitudes·sin(2πp/wavelengths + phases)`, each axis by
    itself, bilinear between its four neighbours, black beyond the image.

    Parameters, pairs of (row, column): amplitudes (pixels, severity/400 of the shorter side, both equal),
    wavelengths (pixels, U(0.1, 0.3) of the shorter side), phases (radians, U(0, 2π)).

    Limit: a row's source depends on the row alone and a column's on the column, so the image is read twice
    by whole rows, once turned on its side: no gather, H + W sines, 6 bytes read and written. float32 between;
    an even area stays what it is, where the reference's rounding can lose 1.

    >>> Ripple(10.0).sample_parameters(np.random.default_rng(0), size=(200, 320))["amplitudes"]
    (5.0, 5.0)
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "amplitudes": Parameter(shape=(2,)),
        "wavelengths": Parameter(low=1e-3, shape=(2,)),
        "phases": Parameter(shape=(2,)),
    }

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        side = min(height, width)
        amplitude = severity_share(self.severity, 0.025) * side
        wavelengths, phases = rng.uniform(0.1, 0.3, size=2) * side, rng.uniform(0.0, 2 * math.pi, size=2)
        return {
            "amplitudes": (amplitude, amplitude),
            "wavelengths": (float(wavelengths[0]), float(wavelengths[1])),
            "phases": (float(phases[0]), float(phases[1])),
        }

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        num_samples, _, height, width = images_n3HW.shape
        device = images_n3HW.device
        aside_n3WH = scratch("aside", (num_samples, 3, width + 1, height), torch.uint8, device)
        aside_n3WH[:, :, width] = 0
        aside_n3WH[:, :, :width] = images_n3HW.transpose(2, 3)
        moved_n3WH = _rows_between(aside_n3WH, _sources(columns, 1, width), "columns")
        upright_n3HW = scratch("upright", (num_samples, 3, height + 1, width), torch.float32, device)
        upright_n3HW[:, :, height] = 0
        upright_n3HW[:, :, :height] = moved_n3WH.transpose(2, 3)
        moved_n3HW = _rows_between(upright_n3HW, _sources(columns, 0, height), "rows")
        out_n3HW.copy_(scratch("whole", tuple(out_n3HW.shape), torch.int32, device).copy_(moved_n3HW))


def _sources(columns: Columns, axis: int, length: int) -> NDArray[np.float64]:
    # Where the rows (axis 0) or columns (axis 1) of each sample are read from, (n, length).
    amplitude, wavelength, phase = (
        columns[name][:, axis, None] for name in ("amplitudes", "wavelengths", "phases")
    )
    places = np.arange(length)
    return np.asarray(places + amplitude * np.sin(2 * np.pi * places / wavelength + phase))


def _rows_between(padded_n3LK: Tensor, sources_nL: NDArray[np.float64], name: str) -> Tensor:
    """Rows between whole places, float32 (n, 3, L, K); of the L + 1 given rows the last is black."""
    (num_samples, length), row_size = sources_nL.shape, padded_n3LK.shape[3]
    device, shape = padded_n3LK.device, (num_samples, 3, length, row_size)
    before_nL = np.floor(sources_nL)
    share_nL = torch.from_numpy((sources_nL - before_nL).astype(np.float32)).to(device)
    first_n31 = np.arange(3 * num_samples).reshape(-1, 3, 1) * (length + 1)

    def rows(row_nL: NDArray[np.float64], at: str) -> Tensor:
        inside_nL = np.where((row_nL >= 0) & (row_nL < length), row_nL, length).astype(np.int64)
        index = torch.from_numpy((first_n31 + inside_nL[:, None]).ravel()).to(device)
        picked = scratch(f"{name} {at}", (len(index), row_size), padded_n3LK.dtype, device)
        torch.index_select(padded_n3LK.view(-1, row_size), 0, index, out=picked)
        between = scratch(f"{name} {at}, float", shape, torch.float32, device)
        return between.copy_(picked.view(shape))

    blend, behind = rows(before_nL, "before"), rows(before_nL + 1, "behind")
    return blend.add_(behind.sub_(blend).mul_(share_nL[:, None, :, None]))
