"""hue_shift, brightness and saturate: exact arithmetic, and the detour by hue, saturation and value."""

import colorsys
from fractions import Fraction

import numpy as np
import pytest
import torch

from nversion.corruptions import create


def pixels(height, width, seed=0):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image[0] = image[0, :, :1]  # greys
    image[1, :, 2] = image[1, :, 0]  # two equal channels
    image[2:4] = image[2:4] % 3  # nearly black
    return image


def corrupted(name, image_HW3, **parameters):
    images = torch.from_numpy(np.ascontiguousarray(image_HW3)).permute(2, 0, 1)[None]
    return create(name, 1.0).apply(images, [parameters])[0].permute(1, 2, 0).numpy()


def by_hsv(image, change):
    out = np.empty(image.shape)
    for place in np.ndindex(image.shape[:2]):
        hue, saturation, value = change(*colorsys.rgb_to_hsv(*(image[place] / 255)))
        out[place] = 255 * np.array(colorsys.hsv_to_rgb(hue % 1, *np.clip([saturation, value], 0, 1)))
    return out


def is_cut(ours, exact):
    """Cut to a byte; what is nearly whole counts as whole."""
    return (ours == np.floor(exact + 2e-4)).all()


@pytest.mark.parametrize("amount", [-0.45, -0.1, 0.05, 0.25, 0.61])
def test_hue_shift_turns_the_hue_of_every_pixel(amount):
    image = pixels(21, 33)
    exact = by_hsv(image, lambda h, s, v: (h + amount, s, v))
    assert is_cut(corrupted("hue_shift", image, amount=amount), exact)


def test_a_third_of_a_turn_passes_the_channels_on():
    image = pixels(40, 50)
    assert (corrupted("hue_shift", image, amount=1 / 3) == np.roll(image, 1, axis=2)).all()
    assert (corrupted("hue_shift", image, amount=-1 / 3) == np.roll(image, -1, axis=2)).all()


def test_no_turn_and_a_whole_turn_give_the_image_back():
    image = pixels(200, 300)
    for amount in (0.0, 1.0, -2.0):
        assert (corrupted("hue_shift", image, amount=amount) == image).all()


def test_any_turn_keeps_the_largest_and_the_least_byte():
    image = pixels(50, 60)
    for amount in np.linspace(-0.5, 0.5, 11):
        result = corrupted("hue_shift", image, amount=float(amount))
        assert (result.max(axis=2) == image.max(axis=2)).all()
        assert (result.min(axis=2) == image.min(axis=2)).all()


@pytest.mark.parametrize("shift", [-0.2, 0.05, 0.13, 0.3, 0.5])
def test_brightness_adds_to_the_value_of_every_pixel(shift):
    image = pixels(21, 33)
    exact = by_hsv(image, lambda h, s, v: (h, s, v + shift))
    assert is_cut(corrupted("brightness", image, shift=shift), exact)


@pytest.mark.parametrize(("factor", "shift"), [(0.3, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2), (1.4, 0.03)])
def test_saturate_scales_and_shifts_the_saturation_of_every_pixel(factor, shift):
    image = pixels(21, 33)
    exact = by_hsv(image, lambda h, s, v: (h, s * factor + shift, v))
    assert is_cut(corrupted("saturate", image, factor=factor, shift=shift), exact)


def test_saturation_by_one_and_brightness_by_nothing_give_the_image_back():
    image = pixels(200, 300)
    assert (corrupted("saturate", image, factor=1.0, shift=0.0) == image).all()
    assert (corrupted("brightness", image, shift=0.0) == image).all()


def test_a_shift_of_saturation_makes_greys_red():
    grey = np.full((1, 1, 3), 200, dtype=np.uint8)
    assert corrupted("saturate", grey, factor=5.0, shift=0.1).tolist() == [[[200, 180, 180]]]


@pytest.mark.parametrize("name", ["brightness", "brightness_cifar"])
@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
def test_brightness_is_the_exact_fraction_cut_at_every_level(name, level):
    image = pixels(24, 24, seed=level)
    corruption = create(name, level)
    drawn = corruption.sample_parameters(np.random.default_rng(0), (24, 24))
    shift, ours = Fraction(str(drawn["shift"])), corrupted(name, image, **drawn)
    for place in np.ndindex(24, 24):
        bytes_3 = [int(byte) for byte in image[place]]
        value = max(bytes_3)
        target = min(value + 255 * shift, 255)
        exact = [Fraction(byte, value) * target if value else target for byte in bytes_3]
        assert ours[place].tolist() == [int(number) for number in exact]


@pytest.mark.parametrize("name", ["saturate", "saturate_cifar"])
@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
def test_saturate_is_the_exact_fraction_cut_at_every_level(name, level):
    image = pixels(24, 24, seed=level)[1:]
    image[0, :3] = image[0, :3] | np.array([1, 0, 1], dtype=np.uint8)
    corruption = create(name, level)
    drawn = corruption.sample_parameters(np.random.default_rng(0), image.shape[:2])
    factor, shift = (Fraction(str(drawn[key])) for key in ("factor", "shift"))
    ours = corrupted(name, image, **drawn)
    for place in np.ndindex(image.shape[:2]):
        bytes_3 = [int(byte) for byte in image[place]]
        value, spread = max(bytes_3), max(bytes_3) - min(bytes_3)
        if spread == 0:
            continue
        times_value = min(factor * spread + shift * value, value)
        exact = [value - times_value * (value - byte) / spread for byte in bytes_3]
        assert ours[place].tolist() == [int(number) for number in exact]
