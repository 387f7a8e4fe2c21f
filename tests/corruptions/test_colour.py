"""bleach_bypass, technicolor, pseudocolor and color_balance: their definitions at every pixel."""

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from scipy import stats

from nversion.corruptions import create


def pixels(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def corrupted(name, image_HW3, **parameters):
    images = torch.from_numpy(np.ascontiguousarray(image_HW3)).permute(2, 0, 1)[None]
    return create(name, 1.0).apply(images, [parameters])[0].permute(1, 2, 0).numpy()


def lightness(pixel):
    return (0.2126 * pixel[0] + 0.7152 * pixel[1] + 0.0722 * pixel[2]) / 255


def agree(ours, exact):
    """Cut to bytes that wrap: all but the whole numbers that float32 may miss by its last digit."""
    theirs = np.trunc(exact).astype(np.int64) % 256
    away = np.abs(ours - theirs)
    near_whole = np.abs(exact - np.round(exact)) < 1e-3
    return ((away == 0) | (near_whole & np.isin(away, [1, 255]))).all() and np.mean(away == 0) > 0.99


@pytest.mark.parametrize("amount", [0.3, 1.0])
def test_bleach_bypass_is_its_formula_with_bytes_doubled_modulo_256(amount):
    image = pixels(37, 53)
    image[:3] //= 2
    exact = np.empty(image.shape)
    for place in np.ndindex(37, 53):
        byte = image[place].astype(float)
        y = lightness(byte)
        bright = min(max(10 * (y - 0.45), 0), 1)
        dark_look = (2 * image[place].astype(int) % 256) * y / 255
        look = (1 - bright) * dark_look + bright * (1 - 2 * (1 - y) * (1 - byte / 255))
        exact[place] = (1 - amount) * byte + amount * 255 * look
    assert agree(corrupted("bleach_bypass", image, amount=amount).astype(int), exact)


def test_bleached_white_stays_white_and_black_black():
    image = np.array([[[255] * 3, [0] * 3]], dtype=np.uint8)
    for amount in (0.1, 0.3, 0.7, 1.0):
        assert (corrupted("bleach_bypass", image, amount=amount) == image).all()


def test_a_dark_channel_of_a_middling_pixel_wraps_around():
    image = np.array([[[0, 170, 0]]], dtype=np.uint8)  # lightness 0.4768: the look of its zeros is −3.2
    assert corrupted("bleach_bypass", image, amount=1.0)[0, 0, 0] == 253


@pytest.mark.parametrize("amount", [0.3, 1.0])
def test_technicolor_is_its_formula_wrapped(amount):
    image = pixels(37, 53)
    exact = np.empty(image.shape)
    for place in np.ndindex(37, 53):
        red, green, blue = image[place] / 255
        mattes = [
            1 - (red - (green + blue) / 2),
            1 - (green - (red + blue) / 2),
            1 - (blue - (red + green) / 2),
        ]
        product = np.array([mattes[1] * mattes[2], mattes[0] * mattes[2], mattes[0] * mattes[1]])
        exact[place] = (1 - amount) * image[place] + amount * product * image[place]
    assert (exact > 256).any()
    assert agree(corrupted("technicolor", image, amount=amount).astype(int), exact)


def test_greys_stay_in_technicolor():
    image = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    for amount in (0.1, 0.3, 0.7, 1.0):
        assert (corrupted("technicolor", image, amount=amount) == image).all()


def test_pure_red_in_technicolor_is_2_25_times_red_modulo_256():
    image = np.array([[[255, 0, 0]]], dtype=np.uint8)
    assert corrupted("technicolor", image, amount=1.0).tolist() == [[[math.floor(2.25 * 255) % 256, 0, 0]]]


def some_colours():
    colours = np.random.default_rng(7).integers(0, 255, (5, 3))
    return {f"color{k}": tuple(colour) for k, colour in enumerate(colours.tolist())}


def test_pseudocolor_is_its_formula_with_differences_modulo_256():
    image, colours, smoothness, amount = pixels(37, 53), some_colours(), 0.4, 0.35
    exact = np.empty(image.shape)
    for place in np.ndindex(37, 53):
        y = lightness(image[place])
        k = min(int(4 * y), 3)
        t = 4 * y - k
        start, end = np.array(colours[f"color{k}"]), np.array(colours[f"color{k + 1}"])
        smooth = (3 * t**2 - 2 * t**3) * ((end - start) % 256)
        look = start + (1 - smoothness) * t * (end - start) + smoothness * smooth
        exact[place] = np.clip((1 - amount) * image[place] + amount * look, 0, 255)
    ours = corrupted("pseudocolor", image, **colours, smoothness=smoothness, amount=amount)
    assert agree(ours.astype(int), exact)


def test_the_whole_pseudocolor_of_white_is_the_last_colour():
    image = np.full((2, 3, 3), 255, dtype=np.uint8)
    colours = {f"color{k}": (50 * k, 10, 10 + k) for k in range(5)}
    result = corrupted("pseudocolor", image, **colours, smoothness=0.5, amount=1.0)
    assert (np.abs(result.astype(int) - [200, 10, 14]) <= 1).all()


def test_samples_of_a_pseudocolor_batch_take_their_own_colours():
    corruption, images = create("pseudocolor", 8.0), torch.full((3, 3, 4, 4), 90, dtype=torch.uint8)
    draws = [corruption.sample_parameters(np.random.default_rng(seed), (4, 4)) for seed in range(3)]
    batch = corruption.apply(images, draws)
    assert len({tuple(colour) for colour in batch[:, :, 0, 0].tolist()}) == 3


@pytest.mark.parametrize("factor", [-0.4, 0.0, 0.3, 1.0, 1.3, 1.7, 2.0, 5.1])
def test_color_balance_is_pillows_to_the_byte(factor):
    image = pixels(120, 160)
    pillows = np.asarray(ImageEnhance.Color(Image.fromarray(image)).enhance(factor))
    assert (corrupted("color_balance", image, factor=factor) == pillows).all()


def drawn(name, severity):
    corruption, rng = create(name, severity), np.random.default_rng(11)
    draws = [corruption.sample_parameters(rng, (224, 224)) for _ in range(2000)]
    return {key: np.array([draw[key] for draw in draws]) for key in draws[0]}


def test_pseudocolor_parameters_have_the_references_distributions():
    values = drawn("pseudocolor", severity=5.5)
    assert stats.kstest(values["smoothness"], stats.uniform(0.25, 0.5).cdf).pvalue > 0.01
    assert (values["amount"] == 0.275).all()
    for k in range(5):
        colours = values[f"color{k}"]
        assert colours.shape == (2000, 3) and colours.min() == 0 and colours.max() == 254
        assert stats.kstest((colours + 0.5).ravel(), stats.uniform(0, 255).cdf).pvalue > 0.01


@pytest.mark.parametrize(
    ("name", "key", "low", "high"),
    [("color_balance", "factor", 0.6, 1.4), ("hue_shift", "amount", -0.2, 0.2)],
)
def test_either_sign_is_drawn_half_the_time(name, key, low, high):
    values, counts = np.unique(drawn(name, severity=4.0)[key], return_counts=True)
    assert values.tolist() == [low, high]
    assert stats.binomtest(int(counts[0]), 2000).pvalue > 0.01


@pytest.mark.parametrize("name", ["bleach_bypass", "technicolor"])
def test_the_amount_is_a_tenth_of_the_severity(name):
    assert create(name, 3.0).sample_parameters(np.random.default_rng(0), (9, 9)) == {"amount": 0.3}
