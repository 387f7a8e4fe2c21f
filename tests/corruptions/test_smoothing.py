"""Smoothing of fields: against scipy, and that its sums are exact."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from nversion.corruptions.pixels import smoothing


@pytest.mark.parametrize(("mirrored", "mode"), [(True, "reflect"), (False, "nearest")])
@pytest.mark.parametrize(("sigma", "truncate"), [(0.0, 3.0), (0.4, 4.0), (3.1, 3.0), (70.0, 3.0)])
@pytest.mark.parametrize("size", [(9, 1), (40, 13), (130, 75)])
def test_smoothing_is_scipys(size, sigma, truncate, mirrored, mode):
    field = np.random.default_rng(0).integers(-(2**23), 2**23 + 1, size).astype(np.float64)
    ours = smoothing.smoothed(torch.from_numpy(field.copy())[None], sigma, truncate, mirrored)[0].numpy()
    assert ours == pytest.approx(ndimage.gaussian_filter(field, sigma, mode=mode, truncate=truncate), abs=1)


@pytest.mark.parametrize(("length", "sigma"), [(300, 170.8), (300, 0.7), (1, 5.0)])
def test_weights_are_whole_and_sum_to_one_so_that_float64_holds_every_sum(length, sigma):
    _, weights = smoothing._rows(0, min(64, length), length, sigma, 3.0, True)
    assert np.array_equal(weights, np.rint(weights)) and weights.min() >= 0
    assert (weights.sum(axis=1) == 2**28).all()
    assert 2.0 ** (smoothing.VALUE_BITS + 1) * 2**28 < 2**53


def test_an_even_field_stays_what_it_is():
    field = torch.full((2, 100, 70), -(2.0**23), dtype=torch.float64)
    assert (smoothing.smoothed(field, 5.0, 4.0, False) == -(2.0**23)).all()
