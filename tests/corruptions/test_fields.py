"""Random fields: their distribution, their independence, and the published hash behind them."""

import numpy as np
import pytest
import torch
from scipy import stats

from nversion.corruptions.pixels.fields import normal_fields, uniform_fields

CPU = torch.device("cpu")
SEEDS = np.array([0, 1, 7, 2**32 - 1])


def splitmix64(state, count):
    """The published generator, one number at a time."""
    numbers = []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        numbers.append(z ^ (z >> 31))
    return numbers


def test_values_are_the_bits_of_splitmix64():
    assert splitmix64(1234567, 2) == [6457827717110365317, 3203168211198807973]  # its published test vector
    key = splitmix64((splitmix64(7, 1)[0] + 3 * 0x9E3779B97F4A7C15) % 2**64, 1)[0]
    expected = [number >> 40 for number in splitmix64(key, 5)]
    expected += [number >> 16 & 0xFFFFFF for number in splitmix64(key, 5)]
    field = uniform_fields(np.array([7]), 3, (9,), CPU)[0].double().numpy() * 2**24
    assert field.tolist() == expected[:9]


@pytest.mark.parametrize("stream", [0, 5])
def test_uniform_values_are_uniform(stream):
    for field in uniform_fields(SEEDS, stream, (200, 301), CPU):
        values = field.flatten().double().numpy()
        assert values.min() >= 0 and values.max() < 1
        assert stats.kstest(values, "uniform").pvalue > 1e-3


def test_normal_values_are_normal():
    for field in normal_fields(SEEDS, 0, (200, 301), CPU):
        values = field.flatten().double().numpy()
        assert stats.kstest(values, "norm").pvalue > 1e-3
        assert abs(stats.kurtosis(values)) < 0.05


@pytest.mark.parametrize("draw", [uniform_fields, normal_fields])
def test_seeds_streams_and_neighbours_are_not_correlated(draw):
    fields = torch.cat([draw(np.arange(4), stream, (20_000,), CPU) for stream in (0, 1)])
    correlation = np.corrcoef(fields.numpy()) - np.eye(8)
    assert np.abs(correlation).max() < 0.035  # five standard errors
    lagged = [np.corrcoef(field[:-lag], field[lag:])[0, 1] for field in fields.numpy() for lag in (1, 2, 100)]
    halves = [np.corrcoef(field[:10_000], field[10_000:])[0, 1] for field in fields.numpy()]
    assert max(map(abs, [*lagged, *halves])) < 0.05


@pytest.mark.parametrize("draw", [uniform_fields, normal_fields])
def test_a_field_does_not_depend_on_its_batch(draw):
    batch = draw(SEEDS, 2, (3, 5, 7), CPU)
    for i in range(len(SEEDS)):
        assert torch.equal(draw(SEEDS[i : i + 1], 2, (3, 5, 7), CPU)[0], batch[i])


@pytest.mark.gpu
@pytest.mark.parametrize("draw", [uniform_fields, normal_fields])
def test_a_gpu_draws_the_same_bytes(draw):
    assert torch.equal(draw(SEEDS, 1, (33, 47), torch.device("cuda")).cpu(), draw(SEEDS, 1, (33, 47), CPU))
