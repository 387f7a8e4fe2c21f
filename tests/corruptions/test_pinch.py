"""pinch_and_twirl: its definition at every pixel, its grid, and what follows from it."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from nversion.core import UserError
from nversion.corruptions import create


def picture(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (1, 3, height, width), dtype=np.uint8))


def pinch(image, angles, amount=0.4):
    parameters = {"num_per_axis": len(angles), "angles": angles, "amount": amount}
    return create("pinch_and_twirl", 5.0).apply(image, [parameters])


def by_definition(image_3HW, angles, amount):
    height, width = image_3HW.shape[1:]
    sides = (height // len(angles), width // len(angles))
    padded = np.pad(image_3HW.astype(float), ((0, 0), (9, 9), (9, 9)))
    out = image_3HW.astype(float)
    for row, column in np.ndindex(sides[0] * len(angles), sides[1] * len(angles)):
        middle = [(place // side + 0.5) * side for place, side in zip((row, column), sides, strict=True)]
        down, right = row - middle[0], column - middle[1]
        d = math.hypot(down, right) / (min(sides) / 2)
        if 0 < d <= 1:
            t, a = math.sin(math.pi * d / 2) ** -amount, angles[column // sides[1]][row // sides[0]]
            a *= (1 - d) ** 2
            y = middle[0] + t * (down * math.cos(a) - right * math.sin(a))
            x = middle[1] + t * (down * math.sin(a) + right * math.cos(a))
            top, left = math.floor(y), math.floor(x)
            weights = np.outer([top + 1 - y, y - top], [left + 1 - x, x - left])
            around = padded[:, top + 9 : top + 11, left + 9 : left + 11]
            out[:, row, column] = (around * weights).sum(axis=(1, 2))
    return out


@pytest.mark.parametrize("size", [(26, 41), (33, 27)])
def test_every_pixel_of_an_oblong_image_follows_the_definition(size):
    image, angles = picture(*size), ((0.9, -0.4), (1.3, -2.0))
    exact = by_definition(image[0].numpy(), angles, 0.4)
    assert (np.abs(pinch(image, angles)[0].numpy() - (exact - 0.5)) <= 0.5 + 0.05).all()


def test_the_first_index_of_angles_is_the_column_of_the_grid():
    image = picture(40, 40)
    flat = pinch(image, ((0.0, 0.0), (0.0, 0.0)))
    changed = (pinch(image, ((0.0, 1.0), (0.0, 0.0))) != flat)[0].any(dim=0)
    assert changed[20:, :20].any()
    assert not changed[:20].any() and not changed[:, 20:].any()


def test_what_the_grid_does_not_cover_and_pixels_outside_the_discs_stay():
    image = picture(47, 52)
    changed = (pinch(image, ((1.0,) * 5,) * 5) != image)[0].any(dim=0)
    assert not changed[45:].any() and not changed[:, 50:].any()
    assert not changed[0, 1:5].any()  # a corner of the first cell


def test_without_amount_and_angle_nothing_moves():
    image = picture(45, 45)
    assert torch.equal(pinch(image, ((0.0,) * 3,) * 3, amount=0.0), image)


def test_an_even_area_keeps_its_value():
    even = torch.full((1, 3, 60, 60), 77, dtype=torch.uint8)
    assert (pinch(even, ((1.5,) * 3,) * 3)[..., :59, :59] == 77).all()


@pytest.mark.parametrize(("side", "num"), [(32, 3), (64, 3), (65, 5), (224, 5)])
def test_small_images_have_3_cells_an_axis_and_large_ones_5(side, num):
    drawn = create("pinch_and_twirl", 5.0).sample_parameters(np.random.default_rng(0), (side, side + 9))
    assert drawn["num_per_axis"] == len(drawn["angles"]) == len(drawn["angles"][0]) == num


def test_angles_are_of_either_sign_with_equal_chance():
    corruption, rng = create("pinch_and_twirl", 5.0), np.random.default_rng(11)
    angles = np.array([corruption.sample_parameters(rng, (224, 224))["angles"] for _ in range(80)])
    assert set(np.abs(angles).ravel()) == {math.pi / 4}
    assert stats.binomtest(int((angles > 0).sum()), angles.size).pvalue > 0.01


def test_angles_that_are_not_of_the_grid_are_told_so():
    parameters = {"num_per_axis": 3, "angles": ((0.0, 0.0),), "amount": 0.1}
    with pytest.raises(UserError, match=r"3×3 angles of pinch_and_twirl.*found 1×2 for image 0; pass what"):
        create("pinch_and_twirl", 5.0).apply(picture(9, 9), [parameters])
