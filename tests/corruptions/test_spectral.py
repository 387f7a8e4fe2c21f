"""Noise of given amplitude at each frequency: the definition as a sum over frequencies, and identities."""

import cmath
import math

import numpy as np
import pytest
import torch
from scipy import stats

from nversion.corruptions import create
from nversion.corruptions.kinds import spectral

POWERS = {
    "blue_noise": lambda frequency: frequency,
    "brownish_noise": lambda frequency: 1 / (frequency**2 + 1),
}


def phases(random, height, width):
    """Row by row; the right half mirrors the left one in the centre, the middle of odd sides has phase 0."""
    half = width // 2
    left = random.uniform(0, 2 * math.pi, size=(height, half))
    upper = random.uniform(0, 2 * math.pi, size=height // 2) if width % 2 else None
    result = np.empty((height, width))
    for row, column in np.ndindex(height, width):
        opposite_row, opposite = height - 1 - row, width - 1 - column
        if column == opposite:
            nearer = min(row, opposite_row)
            result[row, column] = 0.0 if row == opposite_row else upper[nearer]
        else:
            result[row, column] = left[row, column] if column < half else left[opposite_row, opposite]
    return result


def field(random, height, width, power):
    """The sum over all frequencies, at every pixel."""
    phase, shorter = phases(random, height, width), min(height, width)
    total = np.zeros((height, width), dtype=complex)
    row, column = np.mgrid[:height, :width]
    for k, j in np.ndindex(height, width):
        away = math.hypot(k - height / 2, (j - width / 2) * height / width) * shorter / height
        # Frequency zero of an odd side stands behind the middle.
        wave = ((k - (height + 1) // 2) * row / height + (j - (width + 1) // 2) * column / width) % 1
        total += power(away) * cmath.exp(1j * phase[k, j]) * np.exp(2j * math.pi * wave)
    return total.real / np.std(total.real)


SIZES = [(6, 10), (9, 6), (6, 9), (7, 11), (5, 5), (8, 8), (1, 9), (1, 4), (7, 1), (2, 1)]


@pytest.mark.parametrize("name", POWERS)
@pytest.mark.parametrize("size", SIZES)
def test_a_field_is_the_sum_of_its_frequencies(name, size):
    ours, theirs = np.random.RandomState(7), np.random.RandomState(7)
    power = {"blue_noise": spectral._blue, "brownish_noise": spectral._brownish}[name]
    for _ in range(2):  # the second continues the first's numbers
        found = spectral._field(ours, *size, spectral._spectrum(*size, power))
        assert np.abs(found - field(theirs, *size, POWERS[name])).max() < 1e-12


@pytest.mark.parametrize("name", POWERS)
def test_noise_is_its_formula_at_every_pixel_of_an_oblong_image(name):
    image = np.random.default_rng(2).integers(0, 256, (3, 10, 13), dtype=np.uint8)
    parameters = {"seed": 2**32 - 1, "intensity": 61.7}
    ours = create(name, 1).apply(torch.from_numpy(image)[None], [parameters])[0].numpy()
    random = np.random.RandomState(2**32 - 1)
    noise = np.stack([field(random, 10, 13, POWERS[name]) for _ in range(3)])
    assert np.array_equal(ours, np.trunc(np.clip(image + 61.7 * noise, 0, 255)))


def test_a_pixel_is_black_exactly_where_the_first_blue_field_is_not_above_the_threshold():
    image = np.random.default_rng(2).integers(1, 256, (3, 12, 17), dtype=np.uint8)
    parameters = {"seed": 5, "threshold": -0.3}
    ours = create("blue_noise_sample", 1).apply(torch.from_numpy(image)[None], [parameters])[0].numpy()
    kept = field(np.random.RandomState(5), 12, 17, POWERS["blue_noise"]) > -0.3
    assert 0.3 < kept.mean() < 0.9
    assert np.array_equal(ours, image * kept)


@pytest.mark.parametrize("name", POWERS)
def test_the_deviation_of_the_noise_is_its_intensity(name):
    grey = torch.full((1, 3, 64, 96), 128, dtype=torch.uint8)
    corrupted = create(name, 1).apply(grey, [{"seed": 3, "intensity": 12.0}]).double()
    assert corrupted.std(dim=(2, 3), correction=0)[0].tolist() == pytest.approx([12.0] * 3, abs=0.1)


def test_blue_noise_is_fine_and_brownish_noise_coarse():
    grey, parameters = torch.full((1, 3, 64, 64), 128, dtype=torch.uint8), {"seed": 3, "intensity": 20.0}
    step = {name: create(name, 1).apply(grey, [parameters]).double().diff(dim=3).std() for name in POWERS}
    assert step["blue_noise"] > 20.0
    assert step["brownish_noise"] < 10.0


@pytest.mark.parametrize("name", POWERS)
def test_an_image_of_one_pixel_gets_no_noise(name):
    image = torch.tensor([10, 20, 30], dtype=torch.uint8).view(1, 3, 1, 1)
    assert torch.equal(create(name, 9).apply(image, [{"seed": 1, "intensity": 99.0}]), image)


def test_spectra_that_are_not_kept_give_the_same_bytes(monkeypatch):
    images, parameters = torch.full((1, 3, 9, 14), 100, dtype=torch.uint8), [{"seed": 1, "intensity": 50.0}]
    kept = create("blue_noise", 1).apply(images, parameters)
    monkeypatch.setattr(spectral, "KEPT_PIXELS", 0)
    assert torch.equal(create("blue_noise", 1).apply(images, parameters), kept)


def test_points_on_the_circle_are_those_of_sine_and_cosine():
    turns = np.concatenate([np.random.default_rng(0).random(9999), [0.0, 0.25, 0.5, 1 - 2**-53]])
    angle = 2 * math.pi * turns
    assert np.abs(spectral._on_circle(turns) - (np.cos(angle) + 1j * np.sin(angle))).max() < 2e-15


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("blue_noise", "intensity", 78.4),
        ("brownish_noise", "intensity", 25.6),
        ("blue_noise_sample", "threshold", -1.3),
    ],
)
def test_seeds_are_uniform_and_the_rest_follows_the_severity(name, key, value):
    rng = np.random.default_rng(11)
    draws = [create(name, 4).sample_parameters(rng, (50, 70)) for _ in range(2000)]
    assert {round(draw[key], 12) for draw in draws} == {value}
    seeds = np.array([draw["seed"] for draw in draws]) / 2**32
    assert stats.kstest(seeds, "uniform").pvalue > 0.01
