"""Stars: the published kernel at every pixel, and identities."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from nversion.corruptions import create

WHITE = (255, 255, 255)


def noise_image(height, width):
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)


def corrupted(name, image_HW3, parameters):
    images = torch.from_numpy(image_HW3).permute(2, 0, 1)[None]
    return create(name, 1.0).apply(images, [parameters])[0].permute(1, 2, 0).numpy()


def glow(row, column, center, lengths, amount, radius):
    down, right = row - center[0], column - center[1]
    ray = (math.atan2(right, down) + math.pi) / (2 * math.pi) * len(lengths)
    before, share = int(ray), ray - int(ray)
    if radius != 0:
        here, following = (lengths[(before + i) % len(lengths)] for i in range(2))
        length = here + share * (following - here)
        power = (length**2 / (down**2 + right**2 + 1e-4)) ** ((100 - amount) / 50)
        share = (1 - (share - 0.5) ** 2) * power
    return min(max(share, 0.0), 1.0)


def sparkled(image, centers, radii, amounts, nrays, color, randomness, seed):
    random, result = np.random.RandomState(seed), image.astype(float)
    for center, radius, amount, rays in zip(centers, radii, amounts, nrays, strict=True):
        lengths = [max(1, radius + randomness / 100 * radius * random.randn()) for _ in range(rays)]
        for row, column in np.ndindex(image.shape[:2]):
            share = glow(row, column, center, lengths, amount, radius)
            result[row, column] += share * (np.array(color) - result[row, column])
    return np.trunc(result)


STARS = {
    "centers": ((3.2, 4.7), (14.0, 20.0), (-2.5, 8.0), (9.9, 30.1), (6.0, 6.0)),
    "radii": (1.5, 3.0, 2.2, 4.0, 1.0),
    "amounts": (50, 50, 50, 50, 50),
    "nrays": (50, 7, 199, 1, 2),
    **{"color": WHITE, "randomness": 25, "seed": 4},
}
BESIDE = [
    {},
    {"amounts": (50, 30.0, 80.0, 100.0, 120.0)},
    {"radii": (1.5, 0.0, 2.2, 0.0, 1.0)},
    {"color": (255, 0, 37.5), "randomness": 90, "seed": 2**32 - 1},
]


@pytest.mark.parametrize("beside", BESIDE)
def test_sparkles_are_their_kernel_at_every_pixel_of_an_oblong_image(beside):
    image, parameters = noise_image(17, 29), {**STARS, **beside}
    away = np.abs(corrupted("sparkles", image, parameters) - sparkled(image, **parameters))
    assert away.max() <= 1
    assert np.mean(away == 0) > 0.998


def test_images_of_other_powers_and_radii_in_the_batch_do_not_show():
    images = torch.from_numpy(noise_image(4 * 17, 29)).view(4, 17, 29, 3).permute(0, 3, 1, 2).contiguous()
    corruption, parameters = create("sparkles", 1.0), [{**STARS, **beside} for beside in BESIDE]
    batch = corruption.apply(images, parameters)
    for i in range(4):
        assert torch.equal(batch[i], corruption.apply(images[i : i + 1], parameters[i : i + 1])[0])


STAR = {"center": (8.3, 11.0), "radius": 4.0, "rays": 61, "amount": 61.0} | {
    key: STARS[key] for key in ("color", "randomness", "seed")
}


@pytest.mark.parametrize("amount", [100.0, 93.5, 61.0, 50.0, 35.0, -20.0])
@pytest.mark.parametrize("radius", [0.0, 4.0])
def test_an_inverse_sparkle_is_its_kernel_at_every_pixel_of_an_oblong_image(amount, radius):
    image, parameters = noise_image(17, 29), {**STAR, "amount": amount, "radius": radius}
    random, expected = np.random.RandomState(4), np.empty((17, 29, 3))
    lengths = [radius + 0.25 * radius * random.randn() for _ in range(61)]
    for row, column in np.ndindex(17, 29):
        share = glow(row, column, parameters["center"], lengths, amount, radius)
        expected[row, column] = np.trunc(255 + share * (image[row, column] - 255.0))
    away = np.abs(corrupted("inverse_sparkles", image, parameters) - expected)
    assert away.max() <= 1
    assert np.mean(away == 0) > 0.998


def test_a_center_takes_the_color_itself_and_an_image_of_that_color_stays():
    color = (250, 128, 3)
    assert corrupted("sparkles", noise_image(17, 29), {**STARS, "color": color})[6, 6].tolist() == list(color)
    image = np.full((17, 29, 3), color, dtype=np.uint8)
    assert np.array_equal(corrupted("sparkles", image, {**STARS, "color": color}), image)
    assert np.array_equal(corrupted("inverse_sparkles", image, {**STAR, "color": color}), image)


def test_an_inverse_sparkle_keeps_its_center_and_whitens_what_is_far():
    black = np.zeros((81, 81, 3), dtype=np.uint8)
    result = corrupted("inverse_sparkles", black, {**STAR, "center": (40.0, 40.0), "amount": 35.0})
    assert result[40, 40].tolist() == [0, 0, 0]
    assert result[0].min() > 240
    assert result[[0, -1]].min() > result[38:43, 38:43].max()


def test_sparkles_parameters_have_the_references_distributions():
    rng, size = np.random.default_rng(11), (100, 224)
    draws = [create("sparkles", 4).sample_parameters(rng, size) for _ in range(2000)]
    centers = np.array([draw["centers"] for draw in draws])
    assert stats.kstest(centers[..., 0].ravel(), stats.uniform(0, 100).cdf).pvalue > 0.01
    assert stats.kstest(centers[..., 1].ravel(), stats.uniform(0, 224).cdf).pvalue > 0.01
    rays, counts = np.unique([draw["nrays"] for draw in draws], return_counts=True)
    assert rays.tolist() == list(range(50, 200))
    assert stats.chisquare(counts).pvalue > 0.01
    fixed = ("radii", "amounts", "color", "randomness")
    assert {tuple(draw[key] for key in fixed) for draw in draws} == {((4.0,) * 5, (50,) * 5, WHITE, 25)}


def test_inverse_sparkles_parameters_have_the_references_distributions():
    rng, size = np.random.default_rng(11), (100, 224)
    draws = [create("inverse_sparkles", 4).sample_parameters(rng, size) for _ in range(2000)]
    centers = np.array([draw["center"] for draw in draws])
    assert stats.kstest(centers[:, 0], stats.uniform(25, 50).cdf).pvalue > 0.01
    assert stats.kstest(centers[:, 1], stats.uniform(56, 112).cdf).pvalue > 0.01
    rays = [draw["rays"] for draw in draws]
    assert (min(rays), max(rays)) == (50, 199)
    fixed = ("radius", "amount", "color", "randomness")
    assert {tuple(draw[key] for key in fixed) for draw in draws} == {(25.0, 74.0, WHITE, 25)}
