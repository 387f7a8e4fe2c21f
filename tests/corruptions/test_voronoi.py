"""voronoi_noise: its definition at every pixel, and what follows from it."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from nversion.corruptions import create


def corrupted(images, *parameters):
    return create("voronoi_noise", 5.0).apply(images, parameters)


def point(square, seed):
    w = (13.85 * square[0] + 47.77 * square[1], 99.41 * square[0] + 88.48 * square[1])
    return [g + (math.sin(v) * math.sqrt(v) * seed * 0.0025) % 1 for g, v in zip(square, w, strict=True)]


def noise(row, column, size, seed, density):
    place = (column / size + 1, row / size + 1)
    middle = [math.floor(v) for v in place]
    squares = [(middle[0] + i, middle[1] + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    nearest = min(1.0, *(math.dist(place, point(square, seed)) for square in squares))
    share = min(nearest * density, 1.0)
    return 3 * share**2 - 2 * share**3 - 0.5


@pytest.mark.parametrize("size", [0.07, 0.4, 1.0, 3.3, 5.0, 90.0])
@pytest.mark.parametrize("density", [0.7, 2.5])
def test_voronoi_is_its_definition_at_every_pixel_of_an_oblong_image(size, density):
    image = np.random.default_rng(5).integers(0, 256, (3, 12, 19), dtype=np.uint8)
    kind = {"size": size, "seed": 6.3, "density": density}
    result = corrupted(torch.from_numpy(image)[None], {**kind, "intensity": -150.0})[0].numpy().astype(int)
    expected = np.array([[-150.0 * noise(r, c, **kind) for c in range(19)] for r in range(12)])
    assert np.abs(result - np.trunc(np.clip(image + expected, 0, 255))).max() <= 1


def test_pixels_on_a_point_are_the_darkest():
    # Without a seed every point is the corner of its square: pixels on the lattice are at distance 0.
    image = torch.full((1, 3, 9, 9), 200, dtype=torch.uint8)
    result = corrupted(image, {"size": 4.0, "seed": 0.0, "density": 0.8, "intensity": 100.0})[0, 0]
    assert (result[::4, ::4] == 150).all()
    assert (result == 150).sum() == 9


def test_opposite_intensities_cancel():
    image = torch.full((1, 3, 30, 30), 128, dtype=torch.uint8)
    kind = {"size": 6.0, "seed": 3.0, "density": 0.8}
    plus, minus = (corrupted(image, {**kind, "intensity": level}).int() for level in (90.0, -90.0))
    assert ((plus + minus - 256).abs() <= 1).all()


def test_voronoi_parameters_have_the_references_distributions():
    rng = np.random.default_rng(11)
    draws = [create("voronoi_noise", 4.0).sample_parameters(rng, (320, 224)) for _ in range(2000)]
    for name, low, high in (("seed", 0, 10), ("density", 0.5, 0.9), ("size", 11.2, 44.8)):
        values = np.array([draw[name] for draw in draws])
        assert values.min() >= low and values.max() < high
        assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 0.01
    levels = [draw["intensity"] for draw in draws]
    assert set(levels) == {102.0, -102.0}
    assert stats.binomtest(levels.count(102.0), 2000).pvalue > 0.01
