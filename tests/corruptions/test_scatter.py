"""scatter: its noise and its definition at every pixel."""

import math
from functools import partial

import numpy as np
import torch
from scipy import stats

from nversion.corruptions import create
from nversion.corruptions.kinds.scatter import shader_noise
from nversion.corruptions.pixels.columns import column_vector, row_vector


def picture(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (1, 3, height, width), dtype=np.uint8))


def scatter(image, seed=4.321, radius=2.5):
    return create("scatter", 5.0).apply(image, [{"seed": seed, "radius": radius}])


def noise(s, t, seed):
    return math.sin(12.9898 * math.sin(s * seed) + 78.233 * math.cos(t * seed)) * 43758.5453 % 1


def by_definition(image_3HW, seed, radius):
    height, width = image_3HW.shape[1:]
    padded = np.pad(image_3HW.astype(float), ((0, 0), (0, 1), (0, 1)))
    out = np.empty(image_3HW.shape)
    for row, column in np.ndindex(height, width):
        y = min(max(0, row + radius * (2 * noise(row, column, seed) - 1)), height - 1)
        x = min(max(0, column + radius * (2 * noise(column, row, seed) - 1)), width - 1)
        top, left = int(y), int(x)
        weights = np.outer([top + 1 - y, y - top], [left + 1 - x, x - left])
        out[:, row, column] = (padded[:, top : top + 2, left : left + 2] * weights).sum(axis=(1, 2))
    return out


def test_every_pixel_of_an_oblong_image_follows_the_definition():
    image = picture(17, 29)
    ours = scatter(image)[0].numpy()
    exact = by_definition(image[0].numpy(), 4.321, 2.5)
    assert (np.abs(ours - (exact - 0.5)) <= 0.5 + 0.05).all()  # cut to a byte; weights are over 8192


def test_the_noise_of_a_sum_of_products_is_the_noise_of_a_sine():
    like = torch.empty(1)
    rows, columns = (
        partial(vector, like=like, dtype=torch.float64) for vector in (column_vector, row_vector)
    )
    places = np.arange(200.0)[None] * 9.87
    ours = shader_noise(12.9898 * np.sin(places), columns, 78.233 * np.cos(places), rows)[0]
    exact = np.array([[noise(x, y, 9.87) for x in range(200)] for y in range(200)])
    away = np.abs(ours.numpy() - exact)
    assert np.mean(np.minimum(away, 1 - away) < 2e-9) == 1.0


def test_every_pixel_comes_from_within_the_radius():
    rows = torch.arange(60, dtype=torch.uint8).view(1, 1, 60, 1).expand(1, 3, 60, 40).contiguous() * 4
    moved = (scatter(rows, radius=7.0).int() - rows.int()).abs()
    assert 24 < moved.max() <= 28


def test_the_border_is_repeated_rather_than_black():
    assert scatter(torch.full((1, 3, 30, 20), 200, dtype=torch.uint8), radius=50.0).eq(200).all()


def test_drawn_parameters_have_the_references_distributions():
    corruption, rng = create("scatter", 4.0), np.random.default_rng(11)
    draws = [corruption.sample_parameters(rng, (224, 320)) for _ in range(2000)]
    assert stats.kstest([draw["seed"] for draw in draws], stats.uniform(0, 10).cdf).pvalue > 0.01
    assert all(math.isclose(draw["radius"], 8.96) for draw in draws)
