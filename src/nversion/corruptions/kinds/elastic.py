"""elastic_transform: the image tilts as a whole, and each pixel moves by a smooth random field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, SEED, Columns, Parameter
from nversion.corruptions.levels import Levelled, cifar_variant
from nversion.corruptions.pixels.columns import column_vector, row_vector
from nversion.corruptions.pixels.fields import BITS, uniform_fields
from nversion.corruptions.pixels.scratch import scratch
from nversion.corruptions.pixels.smoothing import VALUE_BITS, smoothed

ONE = 1 << 20  # a pixel, where places are whole numbers
TRUNCATE = 3.0  # the smoothing's reach, in sigmas


@cifar_variant(
    (
        (32 * 0.0, 32 * 0.0, 32 * 0.08),
        (32 * 0.05, 32 * 0.2, 32 * 0.07),
        (32 * 0.08, 32 * 0.06, 32 * 0.06),
        (32 * 0.1, 32 * 0.04, 32 * 0.05),
        (32 * 0.1, 32 * 0.03, 32 * 0.03),
    ),
    side=32,
)
@CORRUPTIONS.register("elastic_transform")
class ElasticTransform(Levelled):
    """A random affine map, then shifts by a smooth random field (Hendrycks & Dietterich 2019).

    The affine map takes three points of the image, `centre ± square` with square a third of the shorter
    side, to themselves plus `shift`; reads between pixels are bilinear, and the image is mirrored at its
    outermost pixels. The result, not rounded, is read at `(row + dy, column + dx)`, bilinear, mirrored at its
    edges: dx and dy are uniform fields in [−1, 1), smoothed by a Gaussian of `sigma` cut off at 3 sigma
    (mirrored at the edges, too), times `alpha`. A byte is cut to a whole number.

    Kept from the reference: its lengths are shares of 244, not of 224. OpenCV before its version 5 rounded
    the affine map's places to 1/32 of a pixel; ours, as the current one, does not. An image of less than 3
    pixels has no three points: its affine map is left out.

    Parameters: shift (three pairs of column and row in pixels, each U(−c, c), c of the severity), seed
    (whole, below 2³²) of the two fields.

    Limit: two products of a field with matrices of its height and width in float64 (45 million
    multiplications at 224 pixels, 3 ms; fewer where 3 sigma is less than the image); 24 gathers of 4 bytes;
    about 80 passes. The matrices are of whole numbers, so that the sums are exact in any order.

    >>> ElasticTransform(1).sample_parameters(np.random.default_rng(0), size=(224, 320))["seed"] < 2**32
    True
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "shift": Parameter(shape=(3, 2)),
        "seed": SEED,
    }
    # alpha, sigma and greatest shift, in pixels at the side beside them; they follow the shorter side.
    table = (
        (244 * 2, 244 * 0.7, 244 * 0.1),
        (244 * 2, 244 * 0.08, 244 * 0.2),
        (244 * 0.05, 244 * 0.01, 244 * 0.02),
        (244 * 0.07, 244 * 0.01, 244 * 0.02),
        (244 * 0.12, 244 * 0.01, 244 * 0.02),
    )
    side: ClassVar[int] = 224

    def _lengths(self, height: int, width: int) -> tuple[float, ...]:
        return tuple(length * min(height, width) / self.side for length in self.row)

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        greatest = self._lengths(height, width)[2]
        shift = rng.uniform(-greatest, greatest, size=(3, 2))
        return {
            "shift": tuple(tuple(float(number) for number in pair) for pair in shift),
            "seed": int(rng.integers(0, 2**32)),
        }

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        num_samples, _, height, width = images_n3HW.shape
        device = images_n3HW.device
        alpha, sigma, _ = self._lengths(height, width)
        shape = (3, num_samples, height + 1, width + 1)
        image, tilted = (scratch(name, shape, torch.float32, device) for name in ("image", "tilted"))
        for padded in (image, tilted):  # behind the last pixel only weights of 0 read
            padded[..., -1, :] = 0.0
            padded[..., -1] = 0.0
        image[..., :-1, :-1].copy_(images_n3HW.transpose(0, 1))
        row, column = _affine_places(columns["shift"], images_n3HW)
        _read(image, row, column, tilted[..., :-1, :-1])

        seeds = columns["seed"]
        for place, stream, length in ((column, 0, width), (row, 1, height)):
            field = uniform_fields(seeds, stream, (height, width), device).double()
            shift = smoothed(field.mul_(2.0**BITS).sub_(2.0**VALUE_BITS), sigma, TRUNCATE, mirrored=True)
            place.copy_(shift.mul_(alpha * ONE / 2.0**VALUE_BITS).round_())
            own = torch.arange(length, device=device).mul_(ONE)
            place.add_(own if place is column else own[:, None])
            # Mirrored half a pixel beyond the first and the last: what lies between reads as that pixel.
            _mirror_(place.add_(ONE // 2), length * ONE).sub_(ONE // 2).clamp_(0, (length - 1) * ONE)
        moved = scratch("moved", (3, num_samples, height, width), torch.float32, device)
        _read(tilted, row, column, moved)
        out_n3HW.copy_(moved.clamp_(0.0, 255.0).transpose(0, 1))


def _affine_places(shift_n32: NDArray[np.float64], like: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column that each pixel reads from, in 2^-20 pixels, inside the image: int64 (n, H, W)."""
    height, width = like.shape[2:]
    shape = (len(like), height, width)
    row, column = (scratch(name, shape, torch.int64, like.device) for name in ("row", "column"))
    of_column_n3, of_row_n3 = np.moveaxis(_inverses(shift_n32, height, width), 1, 0)
    for place, (by_column, by_row, offset), length in (
        (column, of_column_n3.T[..., None], width),
        (row, of_row_n3.T[..., None], height),
    ):
        # Whole periods of the mirrored image come off before the sum, so that nothing overflows.
        period = 2 * max(length - 1, 1)
        along_row = np.rint(np.mod(by_column * np.arange(width) + offset, period) * ONE)
        along_column = np.rint(np.mod(by_row * np.arange(height), period) * ONE)
        torch.add(
            row_vector(along_row, like, torch.int64),
            column_vector(along_column, like, torch.int64),
            out=place,
        )
        _mirror_(place, (length - 1) * ONE).clamp_(min=0)
    return row, column


def _inverses(shift_n32: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """The maps from a place to the place it reads, (n, 2, 3): rows give column and row, of (x, y, 1)."""
    square = min(height, width) // 3
    if square == 0:
        return np.broadcast_to(np.eye(2, 3), (len(shift_n32), 2, 3))
    x, y = float(width // 2), float(height // 2)
    from_32 = np.array([[x + square, y + square], [x + square, y - square], [x - square, y - square]])
    to_n32 = from_32.astype(np.float32) + shift_n32.astype(
        np.float32
    )  # single precision, as OpenCV takes points
    solve_33 = np.linalg.inv(np.column_stack([from_32, np.ones(3)]))
    # Point by point, not by a matrix product, whose rounding could depend on the number of samples.
    maps_23n = np.zeros((2, 3, len(to_n32)))
    for point in range(3):
        maps_23n += to_n32[:, point].T[:, None] * solve_33[:, point, None]
    (a, b, u), (c, d, v) = maps_23n
    determinant = a * d - b * c
    factor = np.divide(1.0, determinant, out=np.zeros_like(a), where=determinant != 0)
    inverse = np.array([[d, -b, b * v - d * u], [-c, a, c * u - a * v]]) * factor
    return np.moveaxis(inverse, 2, 0)


def _mirror_(place: Tensor, length: int) -> Tensor:
    # A line mirrored at 0 and at `length`, for places up to four lengths away.
    return place.abs_().sub_(2 * length).abs_().sub_(length).abs_().neg_().add_(length)


def _read(padded: Tensor, row: Tensor, column: Tensor, out: Tensor) -> None:
    """Bilinear reading of float32 planes (3, n, H + 1, W + 1); an even area stays what it is."""
    _, num_samples, rows, stride = padded.shape
    device = padded.device
    index = scratch("index", tuple(row.shape), torch.int64, device)
    whole = scratch("whole", tuple(row.shape), torch.int64, device)
    down, right, first, second, third, fourth = (
        scratch(name, tuple(row.shape), torch.float32, device)
        for name in ("down", "right", "first", "second", "third", "fourth")
    )
    torch.bitwise_right_shift(row, 20, out=index).mul_(stride)
    index.add_(torch.bitwise_right_shift(column, 20, out=whole))
    index.add_((torch.arange(num_samples, device=device) * (rows * stride))[:, None, None])
    down.copy_(torch.bitwise_and(row, ONE - 1, out=whole)).mul_(1 / ONE)
    right.copy_(torch.bitwise_and(column, ONE - 1, out=whole)).mul_(1 / ONE)
    for channel in range(3):
        plane = padded[channel].reshape(-1)
        for offset, neighbour in ((0, first), (1, second), (stride, third), (stride + 1, fourth)):
            # The last pixel's neighbours behind the plane's end have weight 0; the index stops before it.
            torch.index_select(plane[offset:], 0, index.view(-1), out=neighbour.view(-1))
        first.add_(second.sub_(first).mul_(right))
        third.add_(fourth.sub_(third).mul_(right))
        first.add_(third.sub_(first).mul_(down))
        out[channel] = first
