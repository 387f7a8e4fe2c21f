"""elastic_transform: the definition pixel by pixel, its smoothing against scipy, its drawn points."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from nversion.corruptions import create
from nversion.corruptions.kinds import elastic
from nversion.corruptions.pixels.fields import uniform_fields


def field(seed, stream, size):
    return uniform_fields(np.array([seed]), stream, size, torch.device("cpu"))


def scipy_smoothed(seed, stream, size, sigma):
    uniform = 2 * field(seed, stream, size)[0].numpy().astype(np.float64) - 1
    return ndimage.gaussian_filter(uniform, sigma, mode="reflect", truncate=3)


def read(image, row, column, mirror):
    top, left = math.floor(row), math.floor(column)
    value = np.zeros(3)
    for r, weight_r in ((top, 1 - row + top), (top + 1, row - top)):
        for c, weight_c in ((left, 1 - column + left), (left + 1, column - left)):
            value += weight_r * weight_c * image[mirror(r, len(image)), mirror(c, image.shape[1])]
    return value


def at_pixel(index, length):
    """… 2 1 | 0 1 2 …"""
    index %= 2 * (length - 1)
    return min(index, 2 * (length - 1) - index)


def at_edge(index, length):
    """… 1 0 | 0 1 …"""
    index %= 2 * length
    return min(index, 2 * length - 1 - index)


@pytest.mark.parametrize("severity", [1.0, 2.0, 3.5, 5.0])
def test_elastic_transform_is_its_definition_at_every_pixel_of_an_oblong_image(severity):
    height, width = 18, 31
    image = np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)
    shift = np.array([(1.5, -2.0), (0.25, 3.0), (-1.0, 0.75)])
    square, center = 6, np.array([15.0, 9.0])
    points = center + square * np.array([(1, 1), (1, -1), (-1, -1)])
    forward = np.linalg.solve(np.column_stack([points, np.ones(3)]), points + shift).T
    backward = np.linalg.inv(np.vstack([forward, [0, 0, 1]]))
    tilted = np.empty((height, width, 3))
    for row, column in np.ndindex(height, width):
        from_column, from_row, _ = backward @ (column, row, 1)
        tilted[row, column] = read(image.astype(float), from_row, from_column, at_pixel)
    alpha, sigma, _ = create("elastic_transform", severity)._lengths(height, width)
    right, down = (alpha * scipy_smoothed(9, stream, (height, width), sigma) for stream in range(2))
    images = torch.from_numpy(image).permute(2, 0, 1)[None]
    ours = create("elastic_transform", severity).apply(images, [{"shift": shift, "seed": 9}])
    for row, column in np.ndindex(height, width):
        value = read(tilted, row + down[row, column], column + right[row, column], at_edge)
        assert ours[0, :, row, column].tolist() == pytest.approx(np.floor(value), abs=1)


def test_the_three_points_read_from_where_they_were():
    shift = np.random.default_rng(0).uniform(-20, 20, (5, 3, 2))
    square, center = 66, np.array([150.0, 100.0])
    points = center + square * np.array([(1, 1), (1, -1), (-1, -1)])
    for backward, moved in zip(elastic._inverses(shift, 200, 300), points + shift, strict=True):
        assert np.column_stack([moved, np.ones(3)]) @ backward.T == pytest.approx(points, abs=1e-4)


@pytest.mark.parametrize("shift", [0.0, 7.3, 1e6])
def test_an_even_image_stays_even_however_far_its_points_move(shift):
    shifts = shift * np.array([(1.0, 0.2), (-0.5, 1.0), (0.1, -1.0)])
    images = torch.full((1, 3, 20, 33), 201, dtype=torch.uint8)
    assert (create("elastic_transform", 2).apply(images, [{"shift": shifts, "seed": 1}]) == 201).all()


def test_points_that_fall_together_read_one_pixel():
    images = torch.randint(
        0, 256, (1, 3, 9, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    to_center = [(-3.0, -3.0), (-3.0, 3.0), (3.0, 3.0)]
    ours = create("elastic_transform", 3).apply(images, [{"shift": to_center, "seed": 1}])
    assert (ours == images[..., :1, :1]).all()


def test_cifars_first_level_only_tilts():
    images = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    still = np.zeros((3, 2))
    assert torch.equal(
        create("elastic_transform_cifar", 1).apply(images, [{"shift": still, "seed": 1}]), images
    )


@pytest.mark.parametrize(
    ("name", "severity", "size", "greatest"),
    [
        ("elastic_transform", 1, (224, 224), 24.4),
        ("elastic_transform", 2, (448, 600), 97.6),
        ("elastic_transform_cifar", 1, (32, 32), 2.56),
    ],
)
def test_points_move_uniformly_by_a_share_of_the_shorter_side(name, severity, size, greatest):
    corruption, rng = create(name, severity), np.random.default_rng(11)
    shifts = np.array([corruption.sample_parameters(rng, size)["shift"] for _ in range(2000)])
    for values in shifts.reshape(2000, 6).T:
        assert np.abs(values).max() <= greatest
        assert stats.kstest(values, stats.uniform(-greatest, 2 * greatest).cdf).pvalue > 0.005
