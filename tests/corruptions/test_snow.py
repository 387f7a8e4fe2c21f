"""snow: the formula at every pixel, the zoom against scipy, its symmetry."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from nversion.corruptions import create
from nversion.corruptions.kinds import snow
from nversion.corruptions.pixels.fields import normal_fields
from nversion.corruptions.pixels.motion import motion_blur


def flakes(seed, angle, size, mean, deviation, zoom, least, radius, sigma):
    shape = tuple(math.ceil(side / zoom) for side in size)
    field = normal_fields(np.array([seed]), 0, shape, torch.device("cpu")).double() * deviation + mean
    zoomed = snow._zoomed(field, *size, zoom)[0].numpy()
    layer = torch.from_numpy((np.clip(np.where(zoomed < least, 0, zoomed), 0, 1) * 255).astype(np.uint8))
    blown = torch.empty_like(layer[None, None])
    motion_blur(layer[None, None], radius, sigma, np.array([angle]), blown)
    return blown[0, 0].numpy()


@pytest.mark.parametrize(
    ("name", "severity", "row"),
    [
        ("snow", 1, (0.1, 0.3, 3.0, 0.5, 10.0, 4.0, 0.8)),
        ("snow", 4.5, (0.55, 0.3, 3.5, 0.85, 12.0, 10.0, 0.6)),
        ("snow_cifar", 2, (0.1, 0.2, 1.0, 0.5, 10.0, 4.0, 0.9)),
    ],
)
def test_snow_is_its_formula_at_every_pixel_of_an_oblong_image(name, severity, row):
    image = np.random.default_rng(5).integers(0, 256, (3, 21, 34), dtype=np.uint8)
    ours = create(name, severity).apply(torch.from_numpy(image)[None], [{"seed": 6, "angle": -60.0}])
    layer, kept = flakes(6, -60.0, (21, 34), *row[:-1]) / 255, row[-1]
    for r, c in np.ndindex(21, 34):
        value = image[:, r, c] / 255
        pale = np.maximum(value, 1.5 * np.dot(value, (0.299, 0.587, 0.114)) + 0.5)
        both = layer[r, c] + layer[20 - r, 33 - c]
        expected = np.clip(kept * value + (1 - kept) * pale + both, 0, 1) * 255
        assert ours[0, :, r, c].tolist() == pytest.approx(np.floor(expected), abs=1)


@pytest.mark.parametrize(("length", "zoom"), [(224, 3.0), (224, 4.5), (224, 2.5), (32, 1.75), (7, 2.25)])
def test_the_zoom_is_scipys_and_keeps_the_middle(length, zoom):
    shown = snow.crop_length(length, zoom)
    field = np.random.default_rng(0).normal(size=(shown, shown))
    wide = ndimage.zoom(field, zoom, order=1, mode="nearest")
    trim = (len(wide) - length) // 2
    ours = snow._zoomed(torch.from_numpy(field)[None], length, length, zoom)[0].numpy()
    assert ours == pytest.approx(wide[trim : trim + length, trim : trim + length], abs=1e-12)


def test_a_zoom_of_one_shows_the_field():
    field = torch.randn(2, 5, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(snow._zoomed(field, 5, 9, 1.0), field)


def test_snow_on_black_is_symmetric_by_half_a_turn():
    snowy = create("snow", 3).apply(
        torch.zeros(1, 3, 33, 40, dtype=torch.uint8), [{"seed": 3, "angle": -80.0}]
    )
    assert torch.equal(snowy, snowy.flip(2, 3))
    assert snowy.min() >= math.floor(0.3 * 0.5 * 255) and snowy.max() > 200


def test_snow_angles_are_uniform_from_upwards_left_to_upwards_right():
    corruption, rng = create("snow", 2), np.random.default_rng(11)
    draws = [corruption.sample_parameters(rng, (224, 224)) for _ in range(2000)]
    for key, low, width in (("angle", -135, 90), ("seed", 0, 2**32)):
        assert stats.kstest([draw[key] for draw in draws], stats.uniform(low, width).cdf).pvalue > 0.01
