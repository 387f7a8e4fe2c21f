"""Banded filters and spline weights: against plain sums and SciPy, and that sums are exact."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from nversion.corruptions.pixels import banded, splines
from nversion.corruptions.pixels.runs import runs_of_equals

CPU = torch.device("cpu")


@pytest.mark.parametrize("num_outputs", [1, 15, 16, 100])
@pytest.mark.parametrize("reach", [0, 3, 40])
def test_a_band_is_the_sum_of_its_sources_times_their_weights(num_outputs, reach):
    rng = np.random.default_rng(0)
    source = np.clip(np.arange(num_outputs)[:, None] + np.arange(-reach, reach + 1), 0, num_outputs - 1)
    weight, planes = rng.integers(-9, 9, source.shape), rng.integers(0, 256, (num_outputs, 7)).astype(float)
    expected = (weight[:, :, None] * planes[source]).sum(axis=1)
    band, given = banded.Band.of(source, weight, CPU), torch.from_numpy(planes)
    assert np.array_equal(band.along_rows(given, torch.empty(num_outputs, 7).double()), expected)
    assert np.array_equal(band.add_along_rows_(given, torch.ones(num_outputs, 7).double()), expected + 1)
    across = band.along_columns(given.t().contiguous(), torch.empty(7, num_outputs).double())
    assert np.array_equal(across.t(), expected)


def test_blocks_far_from_the_ends_share_one_table():
    source = np.clip(np.arange(4000)[:, None] + np.arange(-3, 4), 0, 3999)
    band = banded.Band.of(source, np.ones_like(source), CPU)
    assert len(band.blocks) == 250
    assert len({block.weights_OK.data_ptr() for block in band.blocks}) == 3


def test_lower_precision_of_products_is_not_trusted_with_a_first_pass():
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert banded.first_precision(CPU) == torch.float64
    finally:
        torch.set_float32_matmul_precision(before)
    assert banded.first_precision(torch.device("cuda")) == torch.float64


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("size", [1, 2, 5, 30])
def test_spline_taps_read_as_scipy_reads(order, size):
    line = np.random.default_rng(0).uniform(0, 255, size)
    position = np.linspace(-0.6, size - 0.4, 61)
    source, weight = splines.spline_taps(position, size, order, total=1 << 40)
    expected = ndimage.map_coordinates(line, position[None], order=order, mode="constant", prefilter=False)
    assert (weight * line[source]).sum(axis=1) / 2**40 == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("size", [1, 2, 3, 40])
def test_coefficient_taps_are_scipys_spline_filter(size):
    line = np.random.default_rng(0).uniform(0, 255, size)
    source, weight = splines.coefficient_taps(size, total=1 << 40)
    expected = ndimage.spline_filter1d(line, order=3, mode="mirror") if size > 1 else line
    assert (weight * line[source]).sum(axis=1) / 2**40 == pytest.approx(expected, abs=1e-5)


def test_whole_weights_sum_to_the_total_also_where_all_round_down():
    weights = banded.whole(np.full((1, 7), 1.0), total=10)
    assert weights.tolist() == [[4, 1, 1, 1, 1, 1, 1]]


def test_runs_end_where_any_column_changes():
    runs = list(runs_of_equals(np.array([1, 1, 1]), np.array([0.5, 0.5, 2.0])))
    assert runs == [((1.0, 0.5), slice(0, 2)), ((1.0, 2.0), slice(2, 3))]
