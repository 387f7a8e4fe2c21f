"""gaussian_noise, shot_noise, impulse_noise, speckle_noise: every value of every pixel for itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import poisson
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, SEED, Columns, Parameter
from nversion.corruptions.levels import Levelled, cifar_variant
from nversion.corruptions.pixels.fields import BITS, normal_fields, uniform_fields
from nversion.corruptions.pixels.scratch import scratch


class _Noise(Levelled):
    parameters: ClassVar[Mapping[str, Parameter]] = {"seed": SEED}

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        return {"seed": int(rng.integers(0, 2**32))}


@cifar_variant((0.04, 0.06, 0.08, 0.09, 0.10))
@CORRUPTIONS.register("gaussian_noise")
class GaussianNoise(_Noise):
    """Normal noise on every value (Hendrycks & Dietterich 2019).

    `255·(value/255 + deviation·normal)`, cut to [0, 255] and to whole numbers; the deviation is that of the
    severity.

    Parameters: seed (whole, below 2³²) of the field of normals.

    Limit: drawing 3 normals a pixel, about 60 passes; then 3 passes.

    >>> sorted(GaussianNoise(3).sample_parameters(np.random.default_rng(0), size=(224, 224)))
    ['seed']
    """

    table = (0.08, 0.12, 0.18, 0.26, 0.38)

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        noise = normal_fields(columns["seed"], 0, tuple(images_n3HW.shape[1:]), images_n3HW.device)
        noise.mul_(255.0 * self.value).add_(images_n3HW)
        out_n3HW.copy_(noise.clamp_(0.0, 255.0))


@cifar_variant((0.06, 0.1, 0.12, 0.16, 0.2))
@CORRUPTIONS.register("speckle_noise")
class SpeckleNoise(_Noise):
    """Normal noise in proportion to the value (Hendrycks & Dietterich 2019).

    `value + value·deviation·normal`, cut to [0, 255] and to whole numbers; the deviation is that of the
    severity.

    Parameters: seed (whole, below 2³²) of the field of normals.

    Limit: drawing 3 normals a pixel, about 60 passes; then 5 passes.

    >>> black = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    >>> int(SpeckleNoise(5).apply(black, [{"seed": 1}]).max())
    0
    """

    table = (0.15, 0.2, 0.35, 0.45, 0.6)

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        noise = normal_fields(columns["seed"], 0, tuple(images_n3HW.shape[1:]), images_n3HW.device)
        noise.mul_(self.value).mul_(images_n3HW).add_(images_n3HW)
        out_n3HW.copy_(noise.clamp_(0.0, 255.0))


@cifar_variant((0.01, 0.02, 0.03, 0.05, 0.07))
@CORRUPTIONS.register("impulse_noise")
class ImpulseNoise(_Noise):
    """A share of the values becomes 0 or 255, salt and pepper in each channel (Hendrycks & Dietterich 2019).

    Where the first uniform field is at most the share of the severity, the value becomes 255 if the second
    field is at most 1/2, else 0.

    Parameters: seed (whole, below 2³²) of both fields.

    Limit: drawing 6 uniform values a pixel, about 30 passes; then 6 passes over bytes.

    >>> grey = torch.full((1, 3, 4, 4), 128, dtype=torch.uint8)
    >>> ImpulseNoise(5).apply(grey, [{"seed": 1}]).unique().tolist()
    [0, 128, 255]
    """

    table = (0.03, 0.06, 0.09, 0.17, 0.27)

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        shape = tuple(images_n3HW.shape[1:])
        # The largest value of the field's grid that the share does not exceed: as float32 it is exact.
        share = math.floor(self.value * 2**BITS) / 2**BITS
        flipped = uniform_fields(columns["seed"], 0, shape, images_n3HW.device) <= share
        salted = uniform_fields(columns["seed"], 1, shape, images_n3HW.device) <= 0.5
        out_n3HW.copy_(images_n3HW).masked_fill_(flipped, 0)
        out_n3HW.masked_fill_(salted.logical_and_(flipped), 255)


@cifar_variant((500.0, 250.0, 100.0, 75.0, 50.0))
@CORRUPTIONS.register("shot_noise")
class ShotNoise(_Noise):
    """The light of each value is counted in photons, few of them (Hendrycks & Dietterich 2019).

    The count is a Poisson number of rate `value/255·photons`, the quantile at a uniform field; the result is
    `255·min(count/photons, 1)`, cut to a whole number. The photons of white are those of the severity.

    Parameters: seed (whole, below 2³²) of the field.

    Limit: drawing 3 uniform values a pixel, about 15 passes; then one look-up of 2 bytes in a table of 2 MiB
    that holds the result by value and first bits of the field, and a search for the few per cent of values
    where those bits do not decide. The tables of the latest 8 severities are kept, at most 2.5 MiB each.

    >>> white = torch.full((1, 3, 64, 64), 255, dtype=torch.uint8)
    >>> ShotNoise(5).apply(white, [{"seed": 1}]).unique().tolist()  # of at most 3 photons
    [0, 85, 170, 255]
    """

    table = (60.0, 25.0, 12.0, 5.0, 3.0)

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        device = images_n3HW.device
        limits, guide, results = (torch.from_numpy(table).to(device) for table in _poisson(self.value))
        field = uniform_fields(columns["seed"], 0, tuple(images_n3HW.shape[1:]), device)
        place, first_bits = (
            scratch(name, tuple(field.shape), torch.int32, device) for name in ("place", "first bits")
        )
        place.copy_(images_n3HW).bitwise_left_shift_(GUIDE_BITS)
        place.add_(first_bits.copy_(field.mul_(2.0**GUIDE_BITS)))
        guided = torch.index_select(guide.view(-1), 0, place.view(-1))
        undecided = (guided < 0).nonzero().view(-1)
        values = images_n3HW.view(-1)[undecided].int()
        counts = _counts(limits, values, field.reshape(-1)[undecided].mul_(2.0 ** (BITS - GUIDE_BITS)))
        guided.index_copy_(0, undecided, results.index_select(0, counts))
        out_n3HW.copy_(guided.view(field.shape))


GUIDE_BITS = 12  # of the field decide nearly every count


@lru_cache(maxsize=8)
def _poisson(photons: float) -> tuple[NDArray[np.float32], NDArray[np.int16], NDArray[np.int16]]:
    """Tables of the quantile, of a field u·2^24 with u on a grid of 2^-24.

    Returns:
        limits, (256, L): the count of a value is the number of its limits below u·2^24. Counts from
            ceil(photons) on all give 255, so there are no more; infinite ones fill L to a power of 2, less 1.
        guide, (256, 2^12): the result by value and first 12 bits of u, −1 where they do not decide.
        results, (L + 1,): by count.
    """
    most = math.ceil(photons)
    counts = np.arange(most)
    rates = np.arange(256) / 255.0 * photons
    # Exact: a whole number u·2^24 is above a real limit if and only if it is above its floor.
    limits = np.floor(poisson.cdf(counts[None], rates[:, None]) * 2**BITS)
    results = np.trunc(np.minimum(np.arange(most + 1) / photons, 1.0) * 255.0).astype(np.int16)

    cell = 2 ** (BITS - GUIDE_BITS)

    def counts_where(first_bits: NDArray[np.float64]) -> NDArray[np.int64]:
        # From which first bits on each limit counts, to how many count there.
        num_cells = 2**GUIDE_BITS + 2
        places = num_cells * np.arange(256)[:, None] + first_bits.astype(np.int64)
        histogram = np.bincount(places.ravel(), minlength=256 * num_cells).reshape(256, num_cells)
        return np.cumsum(histogram, axis=1)[:, : 2**GUIDE_BITS]

    lowest = results[counts_where(limits // cell + 1)]
    highest = results[counts_where((limits + 1) // cell)]
    guide = np.where(lowest == highest, lowest, -1).astype(np.int16)
    filled = np.full((256, 2 ** most.bit_length() - 1), np.inf, dtype=np.float32)
    filled[:, :most] = limits
    return filled, guide, results


def _counts(limits: Tensor, values: Tensor, field: Tensor) -> Tensor:
    # How many limits of its value lie below a number of the field: a search by halves, without branches.
    width = limits.shape[1]
    start = values * width
    counts = torch.zeros_like(values)
    half = (width + 1) // 2
    while half:
        above = limits.view(-1)[start + counts + (half - 1)] < field
        counts.add_(above.int().mul_(half))
        half //= 2
    return counts
