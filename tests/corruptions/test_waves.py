"""single_frequency_greyscale and cocentric_sine_waves: their definitions and what follows from them."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from nversion.corruptions import CORRUPTIONS, create

NUM_DRAWS = 2000
RINGS = {"offset": (9.3, 4.6), "freq": 3.4, "amplitude": 1.5, "ring_width": 2.7}


def picture(height, width):
    rng = np.random.default_rng(5)
    return torch.from_numpy(rng.integers(0, 256, (1, 3, height, width), dtype=np.uint8))


def corrupted(name, images, **parameters):
    return create(name, 5.0).apply(images, [parameters])[0].numpy()


def grey(height, width, level=128):
    return torch.full((1, 3, height, width), level, dtype=torch.uint8)


def assert_added(result_3HW, image_3HW, noise_HW):
    expected = np.trunc(np.clip(image_3HW + noise_HW, 0, 255))
    assert np.abs(result_3HW - expected).max() <= 1
    assert (result_3HW == expected).mean() > 0.999


def drawn(name, size):
    rng = np.random.default_rng(11)
    draws = [create(name, 5.0).sample_parameters(rng, size) for _ in range(NUM_DRAWS)]
    return {key: np.array([draw[key] for draw in draws]) for key in draws[0]}


def assert_uniform(values, low, high):
    assert values.min() >= low and values.max() < high
    assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 0.01


def test_a_plane_wave_is_its_formula_at_every_pixel_of_an_oblong_image():
    image = picture(17, 40)
    result = corrupted("single_frequency_greyscale", image, freq=(-2.9, 0.7), phase=3.951, intensity=90.0)
    row, column = np.mgrid[:17, :40]
    assert_added(result, image[0].numpy(), 90.0 * np.sin(column * -2.9 + row * 0.7 + 3.951))


def test_a_plane_wave_of_frequency_0_is_one_level_and_the_same_in_all_channels():
    result = corrupted(
        "single_frequency_greyscale", grey(5, 7), freq=(0.0, 0.0), phase=math.pi / 2, intensity=20.0
    )
    assert (result == 148).all()


def test_a_plane_wave_of_half_a_turn_a_column_alternates():
    result = corrupted(
        "single_frequency_greyscale", grey(3, 6), freq=(math.pi, 0.0), phase=math.pi / 2, intensity=20.5
    )
    assert (result[:, :, ::2] == 148).all() and (result[:, :, 1::2] == 107).all()


def test_wave_numbers_have_the_references_distributions():
    freq = drawn("single_frequency_greyscale", (224, 320))["freq"]
    larger_first = np.abs(freq[:, 0]) > np.abs(freq[:, 1])
    assert stats.binomtest(int(larger_first.sum()), NUM_DRAWS).pvalue > 0.01
    larger = np.where(larger_first, freq[:, 0], freq[:, 1])
    smaller = np.where(larger_first, freq[:, 1], freq[:, 0])
    assert_uniform(larger, -math.pi, math.pi)
    assert_uniform(smaller / np.abs(larger), -1.0, 1.0)


def ring_noise(height, width, offset, freq, amplitude, ring_width):
    row, column = np.mgrid[:height, :width]
    x, y = column - offset[0], row - offset[1]
    place = np.sqrt(x**2 + y**2) + np.sin(np.arctan2(x, y) * freq) * amplitude
    return np.remainder(place, ring_width) / ring_width - 0.5


def test_rings_are_their_formula_at_every_pixel_of_an_oblong_image():
    image = picture(23, 41)
    result = corrupted("cocentric_sine_waves", image, **RINGS, intensity=(80.0,) * 3)
    assert_added(result, image[0].numpy(), 80.0 * ring_noise(23, 41, **RINGS))


def test_channels_take_their_own_intensity_also_beside_images_of_one_intensity():
    images = grey(12, 19).repeat(2, 1, 1, 1)
    parameters = [{**RINGS, "intensity": levels} for levels in ((40.0, 0.0, -40.0), (40.0,) * 3)]
    batch = create("cocentric_sine_waves", 5.0).apply(images, parameters).numpy()
    noise = ring_noise(12, 19, **RINGS)
    for channel, level in enumerate((40.0, 0.0, -40.0)):
        assert_added(batch[0, channel], 128, level * noise)
        assert_added(batch[1, channel], 128, 40.0 * noise)


def test_rings_without_amplitude_are_circles():
    circles = {**RINGS, "offset": (10.0, 10.0), "amplitude": 0.0}
    result = corrupted("cocentric_sine_waves", grey(21, 21), **circles, intensity=(90.0,) * 3)
    assert np.array_equal(result, result[:, ::-1]) and np.array_equal(result, result.transpose(0, 2, 1))


def test_a_ring_at_its_own_point_starts_at_minus_half_the_intensity():
    rings = {**RINGS, "offset": (3.0, 2.0)}
    result = corrupted("cocentric_sine_waves", grey(5, 7), **rings, intensity=(60.0,) * 3)
    assert result[:, 2, 3].tolist() == [98, 98, 98]


def test_ring_parameters_have_the_references_distributions():
    values = drawn("cocentric_sine_waves", (224, 320))
    assert_uniform(values["offset"][:, 0], 0, 320)
    assert_uniform(values["offset"][:, 1], 0, 224)
    assert_uniform(values["freq"], 0, 10)
    assert_uniform(values["amplitude"], 0, 22.4)
    assert_uniform(values["ring_width"], 0, 22.4)
    assert (values["intensity"] == 64.0).all()


def test_the_english_spelling_finds_the_rings_but_is_not_listed():
    assert CORRUPTIONS["concentric_sine_waves"] is CORRUPTIONS["cocentric_sine_waves"]
    assert "concentric_sine_waves" not in list(CORRUPTIONS)


@pytest.mark.parametrize("level", [-1e6, 1e6])
def test_noise_beyond_any_byte_is_cut_to_black_or_white(level):
    wave = {"freq": (0.0, 0.0), "phase": math.pi / 2, "intensity": level}
    assert (corrupted("single_frequency_greyscale", grey(2, 3), **wave) == (255 if level > 0 else 0)).all()
