"""glass_blur: seen through frosted glass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.corruptions.base import CORRUPTIONS, SEED, Columns, Parameter
from nversion.corruptions.levels import Levelled, cifar_variant
from nversion.corruptions.pixels.columns import plane
from nversion.corruptions.pixels.fields import uniform_fields
from nversion.corruptions.pixels.gaussian import LARGEST_SIGMA, blur
from nversion.corruptions.pixels.runs import runs_of_equals


@cifar_variant(((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)))
@CORRUPTIONS.register("glass_blur")
class GlassBlur(Levelled):
    """Blurred, each pixel replaced by one nearby, blurred again (Hendrycks & Dietterich 2019).

    Between two blurs of `gaussian_blur`, each cut to bytes, `iterations` times: for each row from H −
    max_delta down to max_delta + 1, and in it each column from W − max_delta down to max_delta + 1, the pixel
    takes the value of the one dy rows and dx columns away, each whole, from −max_delta to max_delta − 1. One
    that came earlier gives the value that it has taken. The reference means to swap the two, but NumPy's
    views make the second assignment read the first one's result: the other pixel stays as it is.

    Parameters: sigma (pixels, 0.7 to 1.5 by severity; `_cifar`: 0.05 to 0.4), max_delta (pixels, whole, 1 to
    4; `_cifar`: 1), iterations (whole, 1 to 3), seed (whole, below 2³²: iteration i takes dx and dy from its
    field i, in the order of the pixels).

    Limit: drawing 2 numbers a pixel and iteration, and gathers of 8 bytes: one for each iteration and pixel,
    and as many as the chains of pixels that hand a value on can be halved, about 4. No loop over pixels.

    >>> kind = GlassBlur(3).sample_parameters(np.random.default_rng(0), size=(224, 224))
    >>> kind["sigma"], kind["max_delta"], kind["iterations"]
    (1, 2, 3)
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "sigma": Parameter(low=0.0, high=LARGEST_SIGMA),
        "max_delta": Parameter(low=1, high=1000, whole=True),
        "iterations": Parameter(low=0, high=20, whole=True),
        "seed": SEED,
    }
    table = (
        (0.7, 1, 2),
        (0.9, 2, 1),
        (1, 2, 3),
        (1.1, 3, 2),
        (1.5, 4, 2),
    )

    def _draw(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        sigma, max_delta, iterations = self.row
        return {
            "sigma": sigma,
            "max_delta": int(max_delta + 0.5),
            "iterations": int(iterations + 0.5),
            "seed": int(rng.integers(0, 2**32)),
        }

    def _render(self, images_n3HW: Tensor, columns: Columns, out_n3HW: Tensor) -> None:
        kinds = (columns[name] for name in ("sigma", "max_delta", "iterations"))
        for (sigma, max_delta, iterations), run in runs_of_equals(*kinds):
            out_r3HW = out_n3HW[run]
            blur(images_n3HW[run], sigma, out_r3HW)
            _shuffle_(out_r3HW, columns["seed"][run], int(iterations), int(max_delta))
            blur(out_r3HW, sigma, out_r3HW)


def _shuffle_(images_n3HW: Tensor, seeds_n: NDArray[np.int64], iterations: int, max_delta: int) -> None:
    """Replace the pixels of all images, in place."""
    num_samples, _, height, width = images_n3HW.shape
    if iterations == 0 or min(height, width) <= 2 * max_delta:
        return  # there is no pixel whose neighbours all lie inside
    source_P = _sources(seeds_n, 0, max_delta, images_n3HW)
    for iteration in range(1, iterations):
        source_P = source_P.index_select(0, _sources(seeds_n, iteration, max_delta, images_n3HW))
    within_n1P = source_P.view(num_samples, 1, -1) - _first(images_n3HW)
    pixels_n3P = images_n3HW.view(num_samples, 3, -1)
    pixels_n3P.copy_(pixels_n3P.gather(2, within_n1P.expand(-1, 3, -1)))


def _sources(seeds_n: NDArray[np.int64], iteration: int, max_delta: int, like_n3HW: Tensor) -> Tensor:
    """Where the value of each pixel comes from, (n·H·W,), both counted from the first pixel of the batch."""
    num_samples, _, height, width = like_n3HW.shape
    device = like_n3HW.device
    shape = (height - 2 * max_delta, width - 2 * max_delta)
    # Products of 24 bits and few are exact in float64.
    drawn_nRC2 = uniform_fields(seeds_n, iteration, (*shape, 2), device).double()
    right_nRC, down_nRC = drawn_nRC2.mul_(2.0 * max_delta).floor_().sub_(float(max_delta)).unbind(3)
    moved_nRC = down_nRC.mul_(float(width)).add_(right_nRC).long().flip(1, 2)  # the loop goes backwards
    # A place p of 0 or more stands for what pixel p becomes, ~p for what it was. Only what comes after a
    # pixel in memory has changed before it; what lies outside the loop's range never changes.
    place_nHW = torch.arange(num_samples * height * width, device=device).view(num_samples, height, width)
    inner = (slice(None), *(slice(max_delta + 1, side - max_delta + 1) for side in (height, width)))
    moved_nRC.add_(place_nHW[inner])
    torch.where(moved_nRC > place_nHW[inner], moved_nRC, ~moved_nRC, out=moved_nRC)
    place_P = place_nHW.bitwise_not_()
    place_P[inner] = moved_nRC
    place_P = place_P.view(-1)
    # Chains of pixels that hand a value on: each round halves them.
    open_Q = torch.nonzero(place_P >= 0).view(-1)
    while len(open_Q):
        onwards_Q = place_P[place_P[open_Q]]
        place_P[open_Q] = onwards_Q
        open_Q = open_Q[onwards_Q >= 0]
    return place_P.bitwise_not_()


def _first(images_n3HW: Tensor) -> Tensor:
    # The first pixel of each sample, counted from that of the batch, (n, 1, 1).
    num_samples, _, height, width = images_n3HW.shape
    return plane(np.arange(num_samples) * height * width, images_n3HW, torch.int64)
