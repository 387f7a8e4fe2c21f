"""Fog: the map point by point, the formula, and identities."""

import numpy as np
import pytest
import torch

from nversion.corruptions import create
from nversion.corruptions.pixels.fields import uniform_fields


def cloud(seed, side, decay):
    """Squares, then points between two corners of a row, then of a column; in the order of the grid."""
    drawn = uniform_fields(np.array([seed]), 0, (side**2 - 1,), torch.device("cpu"))[0]
    numbers, heights = iter(drawn.double().tolist()), {(0, 0): 0.0}
    step, spread = side, 100.0
    while step >= 2:
        half = step // 2
        diagonal = [(-half, -half), (half, -half), (-half, half), (half, half)]
        straight = [(-half, 0), (half, 0), (0, -half), (0, half)]
        for first_row, first_column, ways in (
            (half, half, diagonal),
            (0, half, straight),
            (half, 0, straight),
        ):
            for row in range(first_row, side, step):
                for column in range(first_column, side, step):
                    beside = [heights[(row + r) % side, (column + c) % side] for r, c in ways]
                    away = spread * (2 * spread * next(numbers) - spread)
                    heights[row, column] = sum(beside) / 4 + away
        step, spread = half, spread / decay
    result = np.array([[heights[row, column] for column in range(side)] for row in range(side)])
    result -= result.min()
    return result / result.max()


def noise_image(height, width):
    return np.random.default_rng(5).integers(0, 200, (3, height, width), dtype=np.uint8)


def fogged(image, name="fog", severity=3.0, seed=9):
    return create(name, severity).apply(torch.from_numpy(image)[None], [{"seed": seed}])[0].numpy()


@pytest.mark.parametrize(
    ("name", "severity", "thickness", "decay"),
    [("fog", 1, 1.5, 2.0), ("fog", 2.5, 2.25, 1.85), ("fog", 5, 3.0, 1.4), ("fog_cifar", 5, 1.5, 1.75)],
)
@pytest.mark.parametrize(("size", "side"), [((17, 30), 32), ((8, 3), 8), ((2, 1), 4), ((1, 9), 16)])
def test_fog_is_its_formula_at_every_pixel(name, severity, thickness, decay, size, side):
    image = noise_image(*size)
    most = image.max() / 255
    value = image / 255 + thickness * cloud(9, side, decay)[: size[0], : size[1]]
    expected = np.trunc(255 * np.clip(value * most / (most + thickness), 0, 1))
    away = np.abs(fogged(image, name, severity) - expected)
    assert away.max() <= 1  # sums in another order
    assert np.mean(away == 0) > 0.999


def test_no_value_exceeds_the_greatest_of_the_image_which_the_densest_point_keeps():
    image = np.full((3, 64, 64), 180, dtype=np.uint8)  # the map is not cut, so the point is inside
    result = fogged(image)
    assert result.max() in (179, 180)
    assert result.min() == int(180 * (180 / 255) / (180 / 255 + 2.5))


def test_a_black_image_stays_black():
    assert not fogged(np.zeros((3, 20, 30), dtype=np.uint8)).any()


def test_fog_is_grey_and_differs_by_seed():
    image = np.full((3, 40, 56), 90, dtype=np.uint8)
    result = fogged(image)
    assert (result == result[:1]).all()
    assert (result != fogged(image, seed=10)).mean() > 0.8


def test_fog_is_coarse():
    result = fogged(np.full((3, 64, 64), 255, dtype=np.uint8), severity=1)[0].astype(float)
    assert np.diff(result, axis=1).std() < 0.3 * result.std()
