"""perspective_no_bars and quadrilateral_no_bars: the image from aside, over the image itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, Columns, Corruption, Parameter, severity_share
from nversion.corruptions.pixels.bilinear import resample
from nversion.corruptions.pixels.columns import column_vector, row_vector
from nversion.corruptions.pixels.scratch import scratch


@CORRUPTIONS.register("perspective_no_bars")
class PerspectiveNoBars(Corruption):
    """A perspective view of the image, laid over the image itself (Mintun et al. 2021).

    With a…h the eight perspective_params and (x, y) = (column, row) + 1/2, pixel (x, y) reads from `x' = (ax
    + by + c)/(gx + hy + 1)`, `y' = (dx + ey + f)/(gx + hy + 1)`, as Pillow does: bilinear between the four
    pixels whose centres surround that point, those of the border repeated. A point that is not of the image,
    0 ≤ x' < W and 0 ≤ y' < H, leaves the pixel as it is, so that no black bars show.

    Parameters: perspective_params: a, e (no unit, 2^(±0.015·severity)), b, d (no unit, ±severity/100), c
    (pixels, ±severity/100 of the width), f (of the height), g (1/pixels, severity/50 over the width), h (over
    the height); each sign with equal chance. As in the reference g and h are never negative.

    Limit: two divisions a pixel, in float64, because the image's edge is a jump; then 4 gathers of 8 bytes.
    Weights of neighbours are whole numbers over 8192: against Pillow's float64 a byte differs by at most 1.

    >>> PerspectiveNoBars(0.0).sample_parameters(np.random.default_rng(0), size=(8, 8))["perspective_params"]
    (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {"perspective_params": Parameter(shape=(8,))}

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        share = partial(severity_share, self.severity)
        sizes = np.array(
            [share(0.15), share(0.1), share(width / 10), share(0.1), share(0.15), share(height / 10)]
        )
        a, b, c, d, e, f = (sizes * rng.choice([-1.0, 1.0], size=6) + 0.0).tolist()
        return {"perspective_params": (2.0**a, b, c, d, 2.0**e, f, share(0.2 / width), share(0.2 / height))}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        a, b, c, d, e, f, g, h = columns["perspective_params"].T[:, :, None]
        x, y, buffer = _pixels(images_n3HW)
        divisor = torch.add(*_both(g * x, h * y + 1.0, images_n3HW), out=buffer("divisor"))
        from_x = torch.add(*_both(a * x, b * y + c, images_n3HW), out=buffer("x")).div_(divisor)
        from_y = torch.add(*_both(d * x, e * y + f, images_n3HW), out=buffer("y")).div_(divisor)
        _view(images_n3HW, from_x, from_y, out_n3HW)


@CORRUPTIONS.register("quadrilateral_no_bars")
class QuadrilateralNoBars(Corruption):
    """A quadrilateral of the image, drawn to the image's size and laid over it (Mintun et al. 2021).

    With (u, v) = ((column + 1/2)/W, (row + 1/2)/H), a pixel reads from the point `(1 − u)(1 − v)·points[0] +
    (1 − u)v·points[1] + uv·points[2] + u(1 − v)·points[3]`, as Pillow does: bilinear between the four pixels
    whose centres surround it, those of the border repeated. A point that is not of the image leaves the pixel
    as it is, so that no black bars show.

    Parameters: points (the four corners as (x, y) in pixels: top left, bottom left, bottom right, top right;
    each number moved by U(−1, 1)·severity/30 of the width or height, and kept as float32).

    Limit: a product a coordinate, in float64, because the image's edge is a jump; then 4 gathers of 8 bytes.
    Weights of neighbours are whole numbers over 8192: against Pillow's float64 a byte differs by at most 1.

    >>> QuadrilateralNoBars(0.0).sample_parameters(np.random.default_rng(0), size=(6, 8))["points"]
    ((0.0, 0.0), (0.0, 6.0), (8.0, 6.0), (8.0, 0.0))
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {"points": Parameter(shape=(4, 2))}

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        size = np.array([width, height])
        moved = np.array([(0, 0), (0, 1), (1, 1), (1, 0)]) * size
        moved = moved + severity_share(self.severity, 1 / 3) * size * rng.uniform(-1.0, 1.0, size=(4, 2))
        return {"points": tuple((float(x), float(y)) for x, y in moved.astype(np.float32))}

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        height, width = images_n3HW.shape[2:]
        x, y, buffer = _pixels(images_n3HW)
        sources = []
        for axis, name in enumerate("xy"):
            north_west, south_west, south_east, north_east = columns["points"][:, :, axis].T[:, :, None]
            per_x, per_y = (north_east - north_west) * (1 / width), (south_west - north_west) * (1 / height)
            per_xy = (south_east - south_west - north_east + north_west) * (1 / width) * (1 / height)
            source = torch.mul(*_both(x, per_xy * y, images_n3HW), out=buffer(name))
            for part in _both(north_west + per_x * x, per_y * y, images_n3HW):
                source.add_(part)
            sources.append(source)
        _view(images_n3HW, sources[0], sources[1], out_n3HW)


def _pixels(images_n3HW: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64], Callable[[str], Tensor]]:
    # The centres of pixels, (1, W) and (1, H), and working memory of float64 planes.
    num_samples, _, height, width = images_n3HW.shape
    buffer = partial(
        scratch, shape=(num_samples, height, width), dtype=torch.float64, device=images_n3HW.device
    )
    return np.arange(0.5, width)[None], np.arange(0.5, height)[None], buffer


def _both(
    per_column: NDArray[np.float64], per_row: NDArray[np.float64], like: Tensor
) -> tuple[Tensor, Tensor]:
    return row_vector(per_column, like, torch.float64), column_vector(per_row, like, torch.float64)


def _view(images_n3HW: Tensor, x: Tensor, y: Tensor, out_n3HW: Tensor) -> None:
    """Give each pixel what lies at (x, y), where pixel centres are at halves; without such a point, itself.

    Args:
        x, y: float64 (n, H, W), of any value, nan included; overwritten.
    """
    height, width = images_n3HW.shape[2:]
    beyond = (x >= 0).logical_and_(x < width).logical_and_(y >= 0).logical_and_(y < height).logical_not_()
    shifts = []
    for name, place, side, pixels in (
        ("down", y, height, torch.arange(height, dtype=y.dtype, device=y.device)[:, None]),
        ("right", x, width, torch.arange(width, dtype=x.dtype, device=x.device)),
    ):
        place.sub_(0.5).clamp_(0.0, side - 1.0).sub_(pixels).masked_fill_(beyond, 0.0)
        shifts.append(scratch(name, tuple(place.shape), torch.float32, place.device).copy_(place))
    resample(images_n3HW, shifts[0], shifts[1], out_n3HW)
