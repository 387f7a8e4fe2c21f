"""ImageMagick's motion blur: against a sum pixel by pixel, and by hand."""

import math

import numpy as np
import pytest
import torch

from nversion.corruptions.pixels import motion


def blurred(planes, radius, sigma, degrees):
    out = torch.empty_like(planes)
    motion.motion_blur(planes, radius, sigma, np.array(degrees), out)
    return out


def noise(*shape):
    return torch.from_numpy(np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8))


@pytest.mark.parametrize(("radius", "sigma"), [(2, 0.7), (3.5, 2.0), (10, 4.0)])
def test_motion_blur_is_its_sum_at_every_pixel_of_oblong_planes(radius, sigma):
    planes, degrees = noise(2, 3, 9, 14), [-100.0, 33.0]
    ours = blurred(planes, radius, sigma, degrees)
    count = 2 * math.ceil(radius) + 1
    weights = [math.exp(-i * i / (2 * sigma**2)) for i in range(count)]
    for sample, channel, row, column in np.ndindex(planes.shape):
        angle, total = math.radians(degrees[sample]), 0.0
        for i, weight in enumerate(weights):
            down, right = (math.ceil(i * of(angle) - 0.5) for of in (math.sin, math.cos))
            source = min(max(row + down, 0), 8), min(max(column + right, 0), 13)
            total += weight * int(planes[(sample, channel, *source)]) / sum(weights)
        assert abs(int(ours[sample, channel, row, column]) - math.floor(total + 1 / 514)) <= (
            0 if abs(total + 1 / 514 - round(total + 1 / 514)) > 1e-3 else 1
        )


@pytest.mark.parametrize(
    ("degrees", "step"), [(0.0, (0, 1)), (90.0, (1, 0)), (180.0, (0, -1)), (-90.0, (-1, 0)), (45.0, (1, 1))]
)
def test_the_pixels_ahead_lie_along_the_angle(degrees, step):
    assert motion.offsets(5, degrees)[1] == step


def test_a_dot_is_drawn_out_against_the_angle():
    planes = torch.zeros(1, 1, 9, 9, dtype=torch.uint8)
    planes[..., 4, 4] = 255
    ours = blurred(planes, 1, 10.0, [90.0])
    assert ours[0, 0, :, 4].tolist() == [0, 0, 84, 85, 85, 0, 0, 0, 0]
    assert ours.sum() == 254


def test_an_even_area_stays_what_it_is():
    planes = torch.arange(256, dtype=torch.uint8).view(1, 256, 1, 1).repeat(1, 1, 4, 3)
    assert torch.equal(blurred(planes, 12, 8.0, [-77.0]), planes)


@pytest.mark.parametrize(("radius", "sigma"), [(1, 0.3), (10, 4.0), (20, 15.0)])
def test_weights_sum_to_one_exactly(radius, sigma):
    assert motion.weights(radius, sigma).sum() == 2**22
    assert (motion.weights(radius, sigma) >= 0).all()
