"""Elementary functions against NumPy's in float64, and the bytes of a value wherever it stands."""

import numpy as np
import pytest
import torch

from nversion.corruptions.pixels import elementary


def planes(low, high, count=40_001, seed=0):
    values = np.random.default_rng(seed).uniform(low, high, count)
    return torch.from_numpy(values).float()


def test_sine_and_cosine_are_within_a_few_units_of_the_last_place():
    turns = planes(-40, 40)
    exact = turns.double().numpy() * 2 * np.pi
    assert np.abs(elementary.sine_of_turns_(turns.clone()).numpy() - np.sin(exact)).max() < 3e-7
    assert np.abs(elementary.cosine_of_turns_(turns.clone()).numpy() - np.cos(exact)).max() < 3e-7


def test_arctangent_has_numpys_quadrants_and_values():
    y, x = planes(-5, 5, seed=1), planes(-5, 5, seed=2)
    exact = np.arctan2(y.double().numpy(), x.double().numpy()) / (2 * np.pi)
    assert np.abs(elementary.arctangent2_(y, x).numpy() - exact).max() < 5e-8


def test_arctangent_on_the_axes():
    pairs = [(0.0, 0.0), (0.0, 1.0), (0.0, -1.0), (-0.0, -1.0), (2.0, 0.0), (-2.0, 0.0), (1e-30, 1e-30)]
    y, x = (torch.tensor(column) for column in zip(*pairs, strict=True))
    exact = np.arctan2(y.numpy(), x.numpy()) / (2 * np.pi)
    assert elementary.arctangent2_(y, x).numpy() == pytest.approx(exact, abs=1e-7)


def test_logarithm_and_power_of_two():
    x = torch.cat([planes(0.5, 2.0), torch.logspace(-37, 38, 5001)])
    log2 = elementary.logarithm2_(x.clone()).double().numpy()
    exact = np.log2(x.double().numpy())
    assert (np.abs(log2 - exact) <= 2e-7 * np.maximum(np.abs(exact), 1.0)).all()
    exponent = planes(-30, 30)
    power = elementary.power_of_2_(exponent.clone()).double().numpy()
    assert np.abs(power / 2.0 ** exponent.double().numpy() - 1).max() < 3e-7


def test_power_of_two_stays_finite_beyond_the_range_of_float32():
    assert elementary.power_of_2_(torch.tensor([-1e4, 1e4])).tolist() == [2.0**-126, 2.0**127]


def test_power_of_a_base():
    base = planes(0.1, 3.0)
    assert elementary.power_(base.clone(), 1.4).numpy() == pytest.approx(base.numpy() ** 1.4, rel=1e-6)


@pytest.mark.parametrize("name", ["sine_of_turns_", "cosine_of_turns_", "logarithm2_", "power_of_2_"])
def test_a_value_has_the_same_bytes_wherever_it_stands(name):
    function, x = getattr(elementary, name), planes(0.1, 3.0, 1003)
    whole = function(x.clone())
    for start in (0, 1, 3, 7, 990):
        assert torch.equal(function(x[start : start + 11].clone()), whole[start : start + 11])


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["sine_of_turns_", "cosine_of_turns_", "logarithm2_", "power_of_2_"])
def test_a_gpu_gives_the_same_bytes(name):
    function, x = getattr(elementary, name), planes(0.1, 3.0)
    assert torch.equal(function(x.clone().cuda()).cpu(), function(x.clone()))
    y = planes(-1, 1, seed=4)
    on_gpu = elementary.arctangent2_(y.clone().cuda(), x.clone().cuda())
    assert torch.equal(on_gpu.cpu(), elementary.arctangent2_(y.clone(), x.clone()))
