"""fish_eye: spheres one after another by the law of refraction, and what follows from it."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from nversion.corruptions import create
from nversion.corruptions.kinds.fish_eye import _turns


def picture(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (1, 3, height, width), dtype=np.uint8))


def spheres(**changes):
    return {"seed": 5, "density": 0.13, "eta": 1.7, "radius": 4.3, **changes}


def fish_eye(image, **changes):
    return create("fish_eye", 1.0).apply(image, [spheres(**changes)])


def nearer(step, height, eta):
    """How much nearer to the centre a ray lands that is bent by Snell's law at `step` from the centre."""
    angle = math.pi / 2 - math.acos(step / math.hypot(step, height))
    return math.tan(angle - math.asin(math.sin(angle) / eta)) * height


def by_definition(image_3HW, seed, density, eta, radius):
    rows, columns = image_3HW.shape[1:]
    random = np.random.RandomState(seed)
    now = np.pad(image_3HW.astype(float), ((0, 0), (0, 2), (0, 2)))
    for _ in range(int(density * min(rows, columns) ** 2)):
        centre, before = random.uniform(size=2) * (rows, columns), now.copy()
        for row, column in np.ndindex(rows, columns):
            down, right = row - centre[0], column - centre[1]
            height2 = radius**2 - down**2 - right**2
            if height2 > 0:
                y = row - nearer(down, math.sqrt(height2), eta)
                x = column - nearer(right, math.sqrt(height2), eta)
                top, left = math.floor(y), math.floor(x)
                weights = np.outer([top + 1 - y, y - top], [left + 1 - x, x - left])
                around = before[:, top : top + 2, left : left + 2]
                now[:, row, column] = (around * weights).sum(axis=(1, 2))
    return now[:, :rows, :columns]


@pytest.mark.parametrize("size", [(13, 19), (20, 12)])
@pytest.mark.parametrize("radius", [0.8, 4.3, 30.0])
def test_every_pixel_of_an_oblong_image_follows_snells_law_sphere_by_sphere(size, radius):
    image, parameters = picture(*size), spheres(radius=radius)
    ours = create("fish_eye", 1.0).apply(image, [parameters])[0].numpy()
    exact = by_definition(image[0].numpy(), **parameters)
    assert not np.array_equal(ours, image[0].numpy())
    assert (np.abs(ours - (exact - 0.5)) <= 0.5 + 5e-3).all()  # cut to a byte


def test_spheres_of_one_turn_do_not_touch_and_each_touched_one_comes_first():
    centres, radius = np.random.default_rng(3).uniform(size=(300, 2)) * (60, 90), 5.0
    turns = _turns(centres, radius)
    apart = np.hypot(*(centres[:, None] - centres).transpose(2, 0, 1))
    touches = np.tril(apart < radius + math.hypot(radius, 1.0), -1)
    assert (turns[:, None] > turns)[touches].all()
    waited = np.where(touches, turns, -1).max(axis=1)
    assert np.array_equal(turns, waited + 1)


def test_spheres_of_air_change_nothing():
    image = picture(40, 30)
    assert torch.equal(fish_eye(image, eta=1.0, density=2.0), image)


def test_an_even_area_keeps_its_value_where_no_border_is_near():
    even = torch.full((1, 3, 40, 50), 77, dtype=torch.uint8)
    assert (fish_eye(even)[..., :25, :35] == 77).all()


def test_images_of_differing_radii_and_densities_share_a_batch():
    images = picture(30, 30).repeat(3, 1, 1, 1)
    parameters = [spheres(radius=2.0), spheres(radius=9.0, density=0.5), spheres(density=0.0)]
    corruption = create("fish_eye", 1.0)
    batch = corruption.apply(images, parameters)
    for i in range(3):
        assert torch.equal(batch[i], corruption.apply(images[i : i + 1], parameters[i : i + 1])[0])
    assert torch.equal(batch[2], images[2])


@pytest.mark.parametrize(("side", "radius"), [(32, 3.0), (224, 11.2), (1000, 50.0)])
def test_there_are_501_spheres_of_a_radius_that_follows_the_side(side, radius):
    drawn = create("fish_eye", 2.0).sample_parameters(np.random.default_rng(0), (side, side + 50))
    assert int(drawn["density"] * side**2) == 501
    assert drawn["radius"] == pytest.approx(radius) and drawn["eta"] == 1.4


def test_drawn_seeds_are_even_over_all_32_bits():
    corruption, rng = create("fish_eye", 2.0), np.random.default_rng(11)
    seeds = [corruption.sample_parameters(rng, (64, 64))["seed"] for _ in range(1000)]
    assert stats.kstest(seeds, stats.uniform(0, 2**32).cdf).pvalue > 0.01
