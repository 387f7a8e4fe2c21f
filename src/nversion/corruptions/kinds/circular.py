"""circular_motion_blur: the camera rolls while the shutter is open."""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse, special
from torch import Tensor

from nversion.core import spans
from nversion.corruptions.base import CORRUPTIONS, Columns, Corruption, Parameter, severity_share
from nversion.corruptions.pixels.banded import Band, side_by_side
from nversion.corruptions.pixels.runs import runs_of_equals
from nversion.corruptions.pixels.scratch import scratch
from nversion.corruptions.pixels.splines import coefficient_taps, mirrored, spline_weights

NUM_TURNS = 21
# Bits behind the point: of the weights of the two passes to the coefficients, between the passes, of these,
# of the turned image's weights. Sums stay below 2^53: a pass makes bytes at most 3 times as large.
PASS_BITS, BETWEEN_BITS, COEFFICIENT_BITS, WEIGHT_BITS = 24, 16, 14, 27
# What a sum lacks to a whole number by rounding of weights is less than this, so that it is not cut to the
# number below.
LENIENCE = 2.0**-10

KEPT_PIXELS = (
    65_536  # up to this size a table is kept: 7 to 15 MB at 224×224; beyond it is computed each time
)
KEPT_BYTES = 128 << 20  # of all tables
OUTPUTS_PER_PART = 8192  # of 337 weights each: 45 MB while a part is made


FLIPS: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (0, 1))
"""Along rows, along columns: what flips the result as it flips the image; so does transposing a square."""


@CORRUPTIONS.register("circular_motion_blur")
class CircularMotionBlur(Corruption):
    """The mean of the image turned about its middle by 21 small angles (Mintun et al. 2021).

    With t = −1, −0.9, …, 1 a pixel is the mean of the image turned by t·amount, with weights `exp(−2t²)`: the
    cubic spline through the pixels, 0 where a turned pixel lies beyond the image; cut to [0, 255] and to a
    whole number.

    Parameters: amount (degrees, 1.5·severity).

    Limit: for a size and an amount it is one fixed linear map, a sparse matrix with 100 to 230 numbers a
    pixel at 224 × 224, so that many multiplications of float64 a value. Of its rows one in eight is made (of
    oblong and large images one in four), the others are its mirror images. Up to 65 536 pixels the matrix is
    kept, so that the first image of a size and an amount takes 0.3 s more; a larger image takes longer by its
    making, about 2 µs a pixel.

    >>> CircularMotionBlur(4.0).sample_parameters(np.random.default_rng(0), size=(224, 224))
    {'amount': 6.0}
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {"amount": Parameter()}

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        return {"amount": severity_share(self.severity, 15.0)}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        for (amount,), run in runs_of_equals(columns["amount"]):
            _turn(images_n3HW[run], amount, out_n3HW[run])


@dataclass(frozen=True)
class Part:
    """Some outputs: their places and, for each, the whole-number weights of all pixels (O, P), sparse."""

    row_O: Tensor
    column_O: Tensor
    weights_OP: Tensor


def _turn(images_n3HW: Tensor, amount: float, out_n3HW: Tensor) -> None:
    num_samples, _, height, width = images_n3HW.shape
    device = images_n3HW.device
    pixels_HWp = _coefficients(images_n3HW.view(-1, height, width))
    stride = pixels_HWp.shape[2]
    # The four flipped images side by side: products with a sparse matrix like more columns.
    flipped_HWq = torch.cat([_flipped(pixels_HWp, flips) for flips in FLIPS], dim=2)
    bytes_Pp = scratch("bytes", (height * width, stride), torch.uint8, device)
    parts = (_KEPT.parts if height * width <= KEPT_PIXELS else _parts)(height, width, amount, device)
    for transposed in (False, True) if _is_small_square(height, width) else (False,):
        source_HWq = flipped_HWq.transpose(0, 1) if transposed else flipped_HWq
        source_Pq = source_HWq.reshape(height * width, -1)
        for part in parts:
            sums_Oq = part.weights_OP @ source_Pq
            sums_Oq.mul_(2.0 ** -(COEFFICIENT_BITS + WEIGHT_BITS)).add_(LENIENCE).clamp_(0.0, 255.0)
            for flips, sums_Op in zip(
                FLIPS, torch.split(sums_Oq.to(torch.uint8), stride, dim=1), strict=True
            ):
                bytes_Pp.index_copy_(0, _places(part, height, width, transposed, flips), sums_Op)
    image_HWn3 = bytes_Pp.view(height, width, num_samples, 3)
    out_n3HW.copy_(image_HWn3.permute(2, 3, 0, 1))


def _coefficients(planes_pHW: Tensor) -> Tensor:
    """The cubic spline's coefficients, float64 whole numbers over 2^14, pixel by pixel: (H, W, p)."""
    planes_HpW = side_by_side(planes_pHW, torch.float64)
    height, num_planes, width = planes_HpW.shape
    once, twice = (
        scratch(name, (height * num_planes, width), torch.float64, planes_HpW.device)
        for name in ("once", "twice")
    )
    _to_coefficients(width, planes_HpW.device).along_columns(planes_HpW.view(-1, width), once)
    once.mul_(2.0 ** (BETWEEN_BITS - PASS_BITS)).round_()
    _to_coefficients(height, planes_HpW.device).along_rows(once.view(height, -1), twice.view(height, -1))
    twice.mul_(2.0 ** (COEFFICIENT_BITS - BETWEEN_BITS - PASS_BITS)).round_()
    pixels_HWp = scratch("pixels", (height, width, num_planes), torch.float64, planes_HpW.device)
    return pixels_HWp.copy_(twice.view(height, num_planes, width).transpose(1, 2))


@lru_cache(maxsize=16)
def _to_coefficients(size: int, device: torch.device) -> Band:
    return Band.of(*coefficient_taps(size, 1 << PASS_BITS), device)


def _is_small_square(height: int, width: int) -> bool:
    return height == width and height * width <= KEPT_PIXELS


def _flipped(pixels_HWp: Tensor, flips: tuple[int, ...]) -> Tensor:
    return pixels_HWp.flip(flips) if flips else pixels_HWp


def _places(part: Part, height: int, width: int, transposed: bool, flips: tuple[int, ...]) -> Tensor:
    # Where what stands at the part's places in the flipped and then transposed image stands in the image.
    row_O, column_O = (part.column_O, part.row_O) if transposed else (part.row_O, part.column_O)
    row_O = height - 1 - row_O if 0 in flips else row_O
    column_O = width - 1 - column_O if 1 in flips else column_O
    return row_O * width + column_O


def _parts(height: int, width: int, amount: float, device: torch.device) -> Iterator[Part]:
    """The outputs of which all others are mirror images, in the order of memory."""
    row_O, column_O = (
        grid.ravel() for grid in np.mgrid[: (height + 1) // 2, : (width + 1) // 2].astype(np.int64)
    )
    if _is_small_square(height, width):
        row_O, column_O = row_O[row_O <= column_O], column_O[row_O <= column_O]
    for start, stop in spans(len(row_O), OUTPUTS_PER_PART):
        rows, columns = row_O[start:stop], column_O[start:stop]
        weights_OP = _weights(rows, columns, height, width, amount)
        if height * width <= KEPT_PIXELS:  # else it takes longer than what it saves
            weights_OP.sum_duplicates()
            weights_OP.eliminate_zeros()
        yield _part(rows, columns, weights_OP, device)


def _part(
    row_O: NDArray[np.int64], column_O: NDArray[np.int64], weights_OP: Any, device: torch.device
) -> Part:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        table = torch.sparse_csr_tensor(
            torch.from_numpy(weights_OP.indptr.astype(np.int32)),
            torch.from_numpy(weights_OP.indices.astype(np.int32)),
            torch.from_numpy(weights_OP.data),
            size=weights_OP.shape,
            device=device,
            check_invariants=False,
        )
    return Part(torch.from_numpy(row_O).to(device), torch.from_numpy(column_O).to(device), table)


def _weights(
    row_O: NDArray[np.int64], column_O: NDArray[np.int64], height: int, width: int, amount: float
) -> Any:
    """The map's rows for some outputs, (O, H·W), as a sparse matrix in which a pixel may come several times.

    Weights are whole numbers over 2^27; what their rounding leaves goes to the output's own pixel, so that
    an even area stays what it is.
    """
    t_K = 2 * np.arange(NUM_TURNS) / (NUM_TURNS - 1) - 1
    share_K = np.exp(-2 * t_K**2)
    share_K /= share_K.sum()
    source_OKT = np.empty((len(row_O), NUM_TURNS, 16), dtype=np.int32)
    weight_OKT = np.empty((len(row_O), NUM_TURNS, 16))
    inside_OK = np.empty((len(row_O), NUM_TURNS), dtype=bool)
    middle_row, middle_column = (height - 1) / 2, (width - 1) / 2
    for turn, degrees in enumerate(t_K * amount):
        cosine, sine = special.cosdg(degrees), special.sindg(degrees)
        # The offset first and then the products, as SciPy adds: who is inside may hang on the last bit.
        y = (middle_row - (cosine * middle_row + sine * middle_column)) + cosine * row_O + sine * column_O
        x = (middle_column - (cosine * middle_column - sine * middle_row)) - sine * row_O + cosine * column_O
        inside_OK[:, turn] = (y >= 0) & (y <= height - 1) & (x >= 0) & (x <= width - 1)
        (row_O4, down_O4), (column_O4, right_O4) = _taps(y, height), _taps(x, width)
        source_OKT[:, turn] = (row_O4[:, :, None] * width + column_O4[:, None, :]).reshape(-1, 16)
        weight_OKT[:, turn] = (down_O4[:, :, None] * right_O4[:, None, :]).reshape(-1, 16)
    share_OK = inside_OK * share_K
    whole_OT = np.rint(weight_OKT * share_OK[:, :, None] * 2**WEIGHT_BITS).reshape(len(row_O), -1)
    rest_O1 = np.rint(share_OK.sum(axis=1, keepdims=True) * 2**WEIGHT_BITS) - whole_OT.sum(
        axis=1, keepdims=True
    )
    source_OT = np.hstack([source_OKT.reshape(len(row_O), -1), (row_O * width + column_O)[:, None]])
    data_OT = np.hstack([whole_OT, rest_O1])
    starts_O = np.arange(len(row_O) + 1) * data_OT.shape[1]
    return sparse.csr_matrix(
        (data_OT.ravel(), source_OT.ravel(), starts_O), shape=(len(row_O), height * width)
    )


def _taps(position_O: NDArray[np.float64], size: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    before_O = np.floor(np.clip(position_O, 0, size - 1))
    source_O4 = before_O.astype(np.int64)[:, None] + np.arange(-1, 3)
    return mirrored(source_O4, size), spline_weights(np.clip(position_O - before_O, 0, 1), order=3)


class _Kept:
    """Tables of the last sizes and amounts, of `KEPT_BYTES` in all, or the last one alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tables: OrderedDict[Any, tuple[list[Part], int]] = OrderedDict()

    def parts(self, height: int, width: int, amount: float, device: torch.device) -> list[Part]:
        key = (height, width, amount, device)
        with self._lock:
            if key not in self._tables:
                parts = list(_parts(*key))
                num_bytes = sum(12 * part.weights_OP.values().numel() for part in parts)
                self._tables[key] = (parts, num_bytes)
            self._tables.move_to_end(key)
            while len(self._tables) > 1 and sum(of[1] for of in self._tables.values()) > KEPT_BYTES:
                self._tables.popitem(last=False)
            return self._tables[key][0]


_KEPT = _Kept()
