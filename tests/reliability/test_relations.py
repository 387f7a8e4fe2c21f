"""Correlations and slopes agree with SciPy, and are undefined exactly where they should be."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from scipy import stats

from nversion.reliability import average_ranks, num_points, partial, pearson, relation, slope, spearman

nan = math.nan


def columns(seed, *shape, num=3):
    rng = torch.Generator().manual_seed(seed)
    common = torch.randn(*shape, generator=rng, dtype=torch.float64)
    return [common + torch.randn(*shape, generator=rng, dtype=torch.float64) for _ in range(num)]


@pytest.mark.parametrize("seed", range(3))
def test_pearson_spearman_and_slope_are_scipys(seed):
    x, y, _ = columns(seed, 40)
    assert pearson(x, y).item() == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    assert spearman(x, y).item() == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert slope(x, y).item() == pytest.approx(stats.linregress(x, y).slope, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_partial_correlation_is_the_formula_of_three_correlations(seed):
    x, y, z = columns(seed, 30)
    r = np.corrcoef(np.stack([x, y, z]))
    expected = (r[0, 1] - r[0, 2] * r[1, 2]) / math.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    assert partial(x, y, z).item() == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_ranks_are_scipys_average_ranks(values):
    assert average_ranks(torch.tensor(values).double()).tolist() == stats.rankdata(values).tolist()


def test_spearman_with_ties_is_scipys():
    x, y, _ = (column.round() for column in columns(7, 50))
    assert spearman(x, y).item() == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


def test_leading_axes_are_taken_one_by_one():
    x, y, z = columns(1, 2, 3, 15)
    together = relation(x, y, z)
    assert set(together) == {"pearson", "spearman", "partial", "slope"}
    for name, value in together.items():
        assert value.shape == (2, 3)
        assert value[1, 2].item() == pytest.approx(
            relation(x[1, 2], y[1, 2], z[1, 2])[name].item(), abs=1e-14
        )


def test_a_pair_with_nan_is_dropped_and_counted():
    x, y, z = columns(2, 20)
    kept = torch.ones(20, dtype=torch.bool)
    kept[[3, 11, 12]] = False
    x[3], y[11], x[12] = nan, math.inf, -math.inf
    assert num_points(x, y).item() == 17
    for name, value in relation(x, y, z).items():
        assert value.item() == pytest.approx(relation(x[kept], y[kept], z[kept])[name].item(), abs=1e-14)


def test_without_z_there_is_no_partial_correlation():
    assert set(relation(*columns(3, 9, num=2))) == {"pearson", "spearman", "slope"}


@pytest.mark.parametrize("constant", [0.0, 0.1, 1 / 3])
def test_a_constant_has_no_correlation_and_a_slope_of_zero(constant):
    x = torch.linspace(0, 1, 10, dtype=torch.float64)
    same = torch.full_like(x, constant)
    for statistic in (pearson, spearman):
        assert statistic(x, same).isnan()
        assert statistic(same, x).isnan()
    assert slope(x, same).item() == 0.0
    assert slope(same, x).isnan()


def test_a_constant_up_to_rounding_has_no_correlation():
    x = torch.linspace(0, 1, 10, dtype=torch.float64)
    assert pearson(x, 0.3 + 1e-16 * x.sin()).isnan()


def test_fewer_than_three_points_have_no_correlation():
    x, y = torch.tensor([1.0, 2.0, nan]), torch.tensor([1.0, 3.0, 2.0])
    assert all(value.isnan() for value in relation(x, y).values())
    assert all(value.isnan() for value in relation(x[:0], y[:0]).values())


def test_three_points_have_no_partial_correlation():
    x, y, z = columns(4, 3)
    assert partial(x, y, z).isnan()
    assert pearson(x, y).isfinite()


def test_what_z_explains_wholly_has_no_partial_correlation():
    x, y, z = columns(5, 12)
    assert partial(3 * z - 1, y, z).isnan()
    assert partial(x, y, torch.ones(12)).isnan()


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=12), st.floats(0.5, 4), st.floats(-5, 5))
@settings(max_examples=50, deadline=None)
def test_correlations_stay_within_one_and_ignore_scale_and_shift(values, scale, shift):
    x = torch.tensor(values, dtype=torch.float64)
    y = x.flip(0).sin() + 0.01 * x
    for statistic in (pearson, spearman):
        value = statistic(x, y)
        assert value.isnan() or -1 <= value <= 1
    if x.std() > 1e-3 and y.std() > 1e-3:
        torch.testing.assert_close(pearson(scale * x + shift, y), pearson(x, y), rtol=0, atol=1e-8)
        torch.testing.assert_close(pearson(-x, y), -pearson(x, y), rtol=0, atol=1e-12)


@given(st.permutations(range(8)))
@settings(max_examples=25, deadline=None)
def test_the_order_of_the_points_does_not_matter(order):
    x, y, z = columns(6, 8)
    for name, value in relation(x[order], y[order], z[order]).items():
        assert value.item() == pytest.approx(relation(x, y, z)[name].item(), abs=1e-12)
