"""sparkles, inverse_sparkles: stars of rays that glow white, and the dark side of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, SEED, Columns, Corruption, Parameter, severity_share
from nversion.corruptions.pixels.columns import column_vector, plane, row_vector
from nversion.corruptions.pixels.elementary import arctangent2_, power_
from nversion.corruptions.pixels.scratch import scratch
from nversion.corruptions.pixels.seeded import legacy_random

NUM_STARS = 5
WHITE = (255, 255, 255)
COMMON: Mapping[str, Parameter] = {
    "color": Parameter(low=0.0, high=255.0, shape=(3,)),
    "randomness": Parameter(),
    "seed": SEED,
}
RAYS_LOW, RAYS_HIGH = 1, 10_000


@CORRUPTIONS.register("sparkles")
class Sparkles(Corruption):
    """Five stars of 50 to 199 rays each glow over the image (Mintun et al. 2021).

    With (down, right) a pixel's way from a star's center, `ray = (arctan2(right, down) + π)/2π · rays` and f
    its fraction: the length L there lies linearly between those of the two rays beside it, and the glow is
    `clip((1 − (f − 1/2)²)·(L²/(down² + right² + 0.0001))^((100 − amount)/50), 0, 1)`. Star after star, `pixel
    += glow·(color − pixel)`; at the end it is truncated. The length of ray i is `max(1, radius +
    randomness/100·radius·z)`, z the next of `RandomState(seed).randn()`. A radius of 0 leaves f itself as the
    glow, a wheel over the whole image, as in the reference: severity 0 is none of its levels.

    Parameters: centers (5 rows and columns in pixels, U(0, H) and U(0, W)), radii (5, pixels, severity/100 of
    the shorter side), amounts (5, percent, 50, so the power is 1), color (255, 255, 255), randomness (percent
    of the radius, 25), seed (whole, below 2³²), nrays (5 whole numbers, 50 to 199).

    Limit: for each star one arctangent, two divisions and two look-ups a pixel; a power, where it is not 1,
    costs as much again. Planes are float32, in which glow differs by at most 1e-5: a byte by 1, rarely.

    >>> Sparkles(4.0).sample_parameters(np.random.default_rng(0), size=(100, 224))["radii"]
    (4.0, 4.0, 4.0, 4.0, 4.0)
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "centers": Parameter(shape=(NUM_STARS, 2)),
        "radii": Parameter(low=0.0, shape=(NUM_STARS,)),
        "amounts": Parameter(shape=(NUM_STARS,)),
        "nrays": Parameter(low=RAYS_LOW, high=RAYS_HIGH, whole=True, shape=(NUM_STARS,)),
        **COMMON,
    }

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        centers = rng.uniform(0.0, 1.0, size=(NUM_STARS, 2)) * (height, width)
        return {
            "centers": tuple((float(row), float(column)) for row, column in centers),
            "radii": (severity_share(self.severity, 0.1) * min(height, width),) * NUM_STARS,
            "amounts": (50,) * NUM_STARS,
            "color": WHITE,
            "randomness": 25,
            "seed": int(rng.integers(0, 2**32)),
            "nrays": tuple(int(rays) for rays in rng.integers(50, 200, size=NUM_STARS)),
        }

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        rays_n5, radii_n5 = columns["nrays"], columns["radii"]
        lengths_n5R = np.maximum(_ray_lengths(columns, radii_n5, rays_n5), 1.0)
        stars = (columns["centers"], radii_n5, columns["amounts"], rays_n5, lengths_n5R)
        kept = scratch("kept", _planes(images_n3HW), torch.float32, images_n3HW.device).fill_(1.0)
        for star in range(NUM_STARS):
            glow = _glow(images_n3HW, *(of_all[:, star] for of_all in stars))
            kept.mul_(glow.neg_().add_(1.0))
        _blend(images_n3HW, kept, columns["color"], out_n3HW)


@CORRUPTIONS.register("inverse_sparkles")
class InverseSparkles(Corruption):
    """All but one star of 50 to 199 rays turns white (Mintun et al. 2021).

    `pixel = trunc(color + glow·(pixel − color))` with the glow of `sparkles`, whose rays may here be shorter
    than a pixel.

    Parameters: center (row, column in pixels, U(0.25, 0.75) of the height and of the width), radius
    (pixels, a quarter of the shorter side), amount (percent, 100 − 6.5·severity: the power of the glow is
    0.13·severity, and severity 0 still whitens by up to a quarter), color (255, 255, 255), randomness
    (percent of the radius, 25), seed (whole, below 2³²), rays (whole, 50 to 199).

    Limit: one arctangent, one power, two divisions and two look-ups a pixel.

    >>> InverseSparkles(4.0).sample_parameters(np.random.default_rng(0), size=(100, 224))["amount"]
    74.0
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "center": Parameter(shape=(2,)),
        "radius": Parameter(low=0.0),
        "amount": Parameter(),
        "rays": Parameter(low=RAYS_LOW, high=RAYS_HIGH, whole=True),
        **COMMON,
    }

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        center = rng.uniform(0.25, 0.75, size=2)
        return {
            "center": (float(center[0] * height), float(center[1] * width)),
            "radius": 0.25 * min(height, width),
            "amount": 100.0 - severity_share(self.severity, 65.0),
            "color": WHITE,
            "randomness": 25,
            "seed": int(rng.integers(0, 2**32)),
            "rays": int(rng.integers(50, 200)),
        }

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        radius, rays = columns["radius"], columns["rays"]
        lengths_n1R = _ray_lengths(columns, radius[:, None], rays[:, None])
        glow = _glow(images_n3HW, columns["center"], radius, columns["amount"], rays, lengths_n1R[:, 0])
        _blend(images_n3HW, glow, columns["color"], out_n3HW)


def _ray_lengths(
    columns: Columns, radii_nS: NDArray[np.float64], rays_nS: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Of each star, in turn again after the last ray and at least once more, (n, S, R)."""
    num_samples, num_stars = rays_nS.shape
    normal_nSR = np.empty((num_samples, num_stars, int(rays_nS.max()) + 2))
    turn_R = np.arange(normal_nSR.shape[2])
    for normal_SR, rays_S, seed in zip(normal_nSR, rays_nS, columns["seed"], strict=True):
        numbers = legacy_random(int(seed)).randn(int(rays_S.sum()))
        first_S = np.cumsum(rays_S) - rays_S
        normal_SR[:] = numbers[first_S[:, None] + turn_R % rays_S[:, None]]
    spread_nS = columns["randomness"][:, None] / 100.0 * radii_nS
    return np.asarray(radii_nS[..., None] + spread_nS[..., None] * normal_nSR)


def _glow(
    images_n3HW: Tensor,
    center_n2: NDArray[np.float64],
    radius_n: NDArray[np.float64],
    amount_n: NDArray[np.float64],
    rays_n: NDArray[np.int64],
    lengths_nR: NDArray[np.float64],
) -> Tensor:
    """The glow of one star of each sample, in [0, 1], (n, H, W)."""
    shape, device = _planes(images_n3HW), images_n3HW.device
    right, down, square, length, slope = (
        scratch(name, shape, torch.float32, device) for name in ("right", "down", "square", "length", "slope")
    )
    down_nH, right_nW = (np.arange(side) - center_n2[:, i, None] for i, side in enumerate(shape[1:]))
    torch.add(column_vector(down_nH**2 + 1e-4, down), row_vector(right_nW**2, down), out=square)
    right.copy_(row_vector(right_nW, right))
    ray = arctangent2_(right, down.copy_(column_vector(down_nH, down))).add_(0.5).mul_(plane(rays_n, right))
    whole = torch.floor(ray, out=down)
    fraction = ray.sub_(whole)
    # A ray before the last of a row, so that each has its slope to the next.
    num_places = lengths_nR.shape[1] - 1
    place = scratch("place", shape, torch.int32, device).copy_(whole)
    place.add_(plane(np.arange(shape[0]) * num_places, place, torch.int32))
    for out, table in ((length, lengths_nR[:, :-1]), (slope, np.diff(lengths_nR))):
        flat = torch.from_numpy(table.ravel()).to(device=device, dtype=torch.float32)
        torch.index_select(flat, 0, place.view(-1), out=out.view(-1))
    length.add_(slope.mul_(fraction))
    glow = length.mul_(length).div_(square)
    exponent_n = (100.0 - amount_n) / 50.0
    if bool(np.any(exponent_n != 1.0)):
        powered = power_(slope.copy_(glow).clamp_(min=torch.finfo(slope.dtype).tiny), plane(exponent_n, glow))
        torch.where(plane(exponent_n != 1.0, glow, torch.bool), powered, glow, out=glow)
    hill = torch.sub(fraction, 0.5, out=square)
    glow.mul_(hill.mul_(hill).neg_().add_(1.0)).clamp_(0.0, 1.0)
    if bool(np.any(radius_n == 0.0)):
        torch.where(plane(radius_n == 0.0, glow, torch.bool), fraction, glow, out=glow)
    return glow


def _blend(images_n3HW: Tensor, kept_nHW: Tensor, color_n3: NDArray[Any], out_n3HW: Tensor) -> None:
    # A share of each pixel is kept, the rest is color.
    color = plane(np.asarray(color_n3, dtype=np.float64).ravel(), kept_nHW).view(-1, 3, 1, 1)
    shape, device = tuple(images_n3HW.shape), images_n3HW.device
    values = scratch("values", shape, torch.float32, device).copy_(images_n3HW)
    values.sub_(color).mul_(kept_nHW[:, None]).add_(color)
    out_n3HW.copy_(scratch("whole", shape, torch.int32, device).copy_(values))  # truncates on every device


def _planes(images_n3HW: Tensor) -> tuple[int, int, int]:
    num_samples, _, height, width = images_n3HW.shape
    return num_samples, height, width
