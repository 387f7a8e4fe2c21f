"""perlin_noise: its definition at every pixel, its random stream, and what follows from it."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from nversion.corruptions import create

BASE = {"seed": 5, "turbulence": 16.0, "gain": 0.7, "bias": 0.3, "alpha": 0.6}
UPRIGHT = ((0.21, 0.0), (0.0, 0.34))


def picture(height, width, num_images=1):
    rng = np.random.default_rng(5)
    return torch.from_numpy(rng.integers(0, 256, (num_images, 3, height, width), dtype=np.uint8))


def corrupted(images, *kinds):
    return create("perlin_noise", 5.0).apply(images, kinds)


class Lattice:
    """Gradients and permutation, drawn number by number from one stream."""

    def __init__(self, seed):
        random = np.random.RandomState(seed)
        vectors = [(random.randint(0, 2**31, size=2) % 512 - 256) / 256 for _ in range(514)]
        with np.errstate(invalid="ignore"):
            self.gradients = [vector / np.linalg.norm(vector) for vector in vectors]
        self.order = list(range(256))
        for here in range(255, -1, -1):
            there = random.randint(0, 2**31) % 256
            self.order[here], self.order[there] = self.order[there], self.order[here]

    def noise(self, x, y):
        places = (x + 4096, y + 4096)
        before, rest = [int(place) for place in places], [place % 1 for place in places]
        total = 0.0
        for i in (0, 1):
            for j in (0, 1):
                line = self.order[(before[0] + i) % 256]
                gradient = self.gradients[self.order[(line + (before[1] + j) % 256) % 256]]
                ramp = (rest[0] - i) * gradient[0] + (rest[1] - j) * gradient[1]
                weight = [r * r * (3 - 2 * r) for r in rest]
                total += ramp * (weight[0] if i else 1 - weight[0]) * (weight[1] if j else 1 - weight[1])
        return 1.5 * total


def by_definition(image_3HW, m, seed, turbulence, gain, bias, alpha):
    lattice, out = Lattice(seed), np.zeros(image_3HW.shape)
    scales = [2**n for n in range(11) if 2**n <= turbulence]
    for row, column in np.ndindex(*image_3HW.shape[1:]):
        x, y = row * m[0][0] + column * m[1][0], row * m[0][1] + column * m[1][1]
        if turbulence == 1.0:
            total = lattice.noise(x, y)
        else:
            total = sum(abs(lattice.noise(scale * x, scale * y)) / scale for scale in scales)
        cloud = np.clip(gain * total + bias, 0, 1)
        out[:, row, column] = (1 - alpha) * image_3HW[:, row, column] + 255 * alpha * cloud
    return np.trunc(np.clip(out, 0, 255))


@pytest.mark.parametrize(
    "m",
    [
        UPRIGHT,
        ((0.21, 0.13), (-0.4, 0.34)),  # turned
        ((0.0, 0.3), (0.3, 0.0)),  # rows and columns change places
        ((-800.3, 0.0), (0.0, 60.7)),  # beyond −4096: cut towards zero
        ((-800.3, 0.1), (0.0, 60.7)),
        ((0.0, 0.0), (0.0, 0.0)),
    ],
)
@pytest.mark.parametrize("turbulence", [0.5, 1.0, 5.0, 16.0])
def test_perlin_is_its_definition_at_every_pixel_of_an_oblong_image(m, turbulence):
    image, kind = picture(9, 13), {**BASE, "m": m, "turbulence": turbulence}
    away = np.abs(corrupted(image, kind)[0].numpy() - by_definition(image[0].numpy(), **kind))
    assert away.max() <= 1
    assert (away == 0).mean() > 0.99


def test_lattices_along_and_across_the_axes_agree():
    image = picture(40, 50)
    almost = ((0.21, 1e-12), (0.0, 0.34))
    away = corrupted(image, {**BASE, "m": UPRIGHT}).int() - corrupted(image, {**BASE, "m": almost}).int()
    assert away.abs().max() <= 1


def test_images_of_a_batch_take_their_own_matrix_and_octaves():
    images = picture(16, 20, num_images=5)
    kinds = [
        {**BASE, "m": m, "turbulence": turbulence, "seed": seed}
        for seed, (m, turbulence) in enumerate(
            [(UPRIGHT, 4.0), (((0.1, 0.2), (0.3, 0.1)), 4.0), (UPRIGHT, 1.0), (UPRIGHT, 4.0), (UPRIGHT, 16.0)]
        )
    ]
    batch = corrupted(images, *kinds)
    for i in range(5):
        assert torch.equal(batch[i], corrupted(images[i : i + 1], kinds[i])[0])


def test_a_gradient_without_direction_makes_its_squares_black_as_in_the_reference():
    seed = 83  # the first below 6000 of a handful whose 256 gradients have a (0, 0) among them
    assert any(np.isnan(vector).any() for vector in Lattice(seed).gradients[:256])
    image, kind = torch.full((1, 3, 32, 32), 200, dtype=torch.uint8), {**BASE, "seed": seed}
    result = corrupted(image, {**kind, "m": ((7 / 32, 0.0), (0.0, 7 / 32))})
    assert (result == 0).all(dim=1).sum() == 103
    assert result[result > 0].min() >= 80 + 45  # the rest is 0.4 · 200 + 255 · 0.6 · (0.3 + …)


def test_noise_is_zero_on_lattice_points():
    image = torch.full((1, 3, 7, 7), 100, dtype=torch.uint8)
    kind = {**BASE, "m": ((1.0, 0.0), (0.0, 1.0)), "bias": 0.5, "alpha": 0.5}
    assert (corrupted(image, kind) == math.trunc(50 + 63.75)).all()


def test_perlin_parameters_follow_the_shorter_side_and_the_seed_is_uniform():
    rng = np.random.default_rng(11)
    draws = [create("perlin_noise", 4.6).sample_parameters(rng, (320, 64)) for _ in range(2000)]
    assert {draw["m"] for draw in draws} == {((7 / 64, 0.0), (0.0, 7 / 64))}
    assert (draws[0]["turbulence"], draws[0]["gain"], draws[0]["bias"]) == (16.0, 0.5, 0.5)
    assert draws[0]["alpha"] == pytest.approx(0.23)
    seeds = np.array([draw["seed"] for draw in draws])
    assert stats.kstest(seeds, stats.uniform(0, 2**32).cdf).pvalue > 0.01
