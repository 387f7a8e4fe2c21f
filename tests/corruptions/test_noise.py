"""Noise of ImageNet-C: the definition at every value, the distributions, and the Poisson look-up."""

import numpy as np
import pytest
import torch
from scipy import stats

from nversion.corruptions import create
from nversion.corruptions.pixels.fields import normal_fields, uniform_fields

SEEDS = [{"seed": 7}, {"seed": 2**32 - 1}]


def every_value():
    """Two oblong images in which each channel has all values, (2, 3, 16, 48)."""
    return (
        torch.from_numpy(np.random.default_rng(0).permuted(np.tile(np.arange(256), (6, 3)), axis=1))
        .to(torch.uint8)
        .view(2, 3, 16, 48)
    )


def fields(kind, stream, shape):
    seeds = np.array([parameters["seed"] for parameters in SEEDS])
    return kind(seeds, stream, shape, torch.device("cpu")).numpy().astype(np.float64)


def cut(values):
    return np.trunc(np.clip(values, 0, 1) * 255)


@pytest.mark.parametrize(("severity", "deviation"), [(1, 0.08), (4.5, 0.32), (5, 0.38)])
def test_gaussian_noise_is_its_formula_at_every_value(severity, deviation):
    images = every_value()
    noisy = images.numpy() / 255.0 + deviation * fields(normal_fields, 0, (3, 16, 48))
    ours = create("gaussian_noise", severity).apply(images, SEEDS).numpy()
    assert np.abs(ours - cut(noisy)).max() <= 1
    assert (ours == cut(noisy)).mean() > 0.999


@pytest.mark.parametrize(("severity", "deviation"), [(1, 0.15), (2.5, 0.275), (5, 0.6)])
def test_speckle_noise_is_its_formula_at_every_value(severity, deviation):
    images = every_value()
    noisy = images.numpy() / 255.0 * (1 + deviation * fields(normal_fields, 0, (3, 16, 48)))
    ours = create("speckle_noise", severity).apply(images, SEEDS).numpy()
    assert np.abs(ours - cut(noisy)).max() <= 1
    assert (ours == cut(noisy)).mean() > 0.999


@pytest.mark.parametrize(("name", "share"), [("impulse_noise", 0.09), ("impulse_noise_cifar", 0.03)])
def test_impulse_noise_is_its_definition_to_the_byte(name, share):
    images = every_value()
    flipped, salted = (fields(uniform_fields, stream, (3, 16, 48)) for stream in range(2))
    expected = np.where(flipped <= share, np.where(salted <= 0.5, 255, 0), images.numpy())
    assert np.array_equal(create(name, 3).apply(images, SEEDS).numpy(), expected)


@pytest.mark.parametrize(
    ("name", "severity", "photons"),
    [
        *(("shot_noise", level, photons) for level, photons in enumerate((60, 25, 12, 5, 3), 1)),
        ("shot_noise", 3.25, 10.25),
        ("shot_noise_cifar", 1, 500),
        ("shot_noise_cifar", 5, 50),
    ],
)
def test_shot_noise_is_the_quantile_of_scipy_to_the_byte(name, severity, photons):
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 256, 1).repeat(2, 3, 1, 99)
    counts = stats.poisson.ppf(fields(uniform_fields, 0, (3, 256, 99)), images.numpy() / 255.0 * photons)
    ours = create(name, severity).apply(images, SEEDS).numpy()
    assert np.array_equal(ours, cut(counts / photons))


def test_shot_noise_has_the_moments_of_counted_light():
    images = torch.full((1, 3, 300, 300), 102, dtype=torch.uint8)  # 0.4 of white: 24 of 60 photons
    counts = np.ceil(create("shot_noise", 1).apply(images, [{"seed": 5}]).double().numpy() * 60 / 255)
    assert counts.mean() == pytest.approx(24, abs=0.05)
    assert counts.var() == pytest.approx(24, abs=0.3)


def test_gaussian_noise_is_normal_and_independent_between_neighbours_and_channels():
    images = torch.full((1, 3, 200, 200), 128, dtype=torch.uint8)
    noise = create("gaussian_noise", 1).apply(images, [{"seed": 5}])[0].numpy() + 0.5 - 128
    within = np.abs(noise) < 100
    assert stats.kstest(noise[within] / (0.08 * 255), "norm").statistic < 0.015  # a byte's steps are 0.01
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.02


def test_impulse_noise_strikes_its_share_half_of_it_white():
    images = torch.full((1, 3, 300, 300), 128, dtype=torch.uint8)
    ours = create("impulse_noise", 5).apply(images, [{"seed": 5}])
    assert (ours != 128).float().mean().item() == pytest.approx(0.27, abs=0.004)
    assert (ours == 255).float().mean().item() == pytest.approx(0.135, abs=0.003)


@pytest.mark.parametrize("name", ["gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"])
def test_seeds_of_noise_are_uniform(name):
    corruption, rng = create(name, 3), np.random.default_rng(11)
    seeds = [corruption.sample_parameters(rng, (8, 8))["seed"] for _ in range(2000)]
    assert stats.kstest(seeds, stats.uniform(0, 2**32).cdf).pvalue > 0.01


@pytest.mark.parametrize("name", ["gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"])
def test_cifars_noise_is_the_same_formula_weaker(name):
    images = torch.full((1, 3, 64, 64), 128, dtype=torch.uint8)
    away = [
        (create(kind, 3).apply(images, [{"seed": 3}]).float() - 128).square().mean()
        for kind in (f"{name}_cifar", name)
    ]
    assert 0 < away[0] < 0.6 * away[1]
