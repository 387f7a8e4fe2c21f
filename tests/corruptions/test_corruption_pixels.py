"""The pixels against the definitions, one pixel at a time."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import line_aa

from nversion.corruptions import create
from nversion.corruptions.kinds import lines as lines_module


def corrupted(name, image_HW3, parameters):
    images = torch.from_numpy(image_HW3).permute(2, 0, 1)[None]
    return create(name, 1.0).apply(images, [parameters])[0].permute(1, 2, 0).numpy()


def noise_image(height, width):
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)


def plasma_colour(row, column, time, iterations, sharpness, scale):
    x, y = column / scale, row / scale
    for step in range(iterations):
        a = math.cos(y * 1.93**step + time / 1.15**step) / (2.25 - sharpness) ** step
        b = math.sin(x * 1.93**step + time / 1.15**step) / (2.25 - sharpness) ** step
        x, y = x + a - 0.3 * b, y + b + 0.3 * a
    return math.sin(x - time), math.sin((x + y + math.sin(time)) / 2), math.sin(y + time)


@pytest.mark.parametrize("iterations", [1, 4, 6, 8])
def test_plasma_is_its_formula_at_every_pixel_of_an_oblong_image(iterations):
    image, kind = (
        noise_image(9, 14),
        {"time": 11.3, "iterations": iterations, "sharpness": 0.8, "scale": 1.7},
    )
    result = corrupted("plasma_noise", image, {**kind, "intensity": 50.0}).astype(float)
    for row, column in np.ndindex(9, 14):
        value = (1 - 50 / 255) * image[row, column] + 50 * np.array(plasma_colour(row, column, **kind))
        assert result[row, column] == pytest.approx(np.trunc(np.clip(value, 0, 255)), abs=1)


def test_samples_of_a_plasma_batch_take_their_own_number_of_iterations():
    kind = {"time": 2.0, "sharpness": 0.9, "scale": 4.0, "intensity": 64.0}
    images = torch.full((3, 3, 12, 12), 100, dtype=torch.uint8)
    parameters = [{**kind, "iterations": n} for n in (1, 4, 6)]
    batch = create("plasma_noise", 10).apply(images, parameters)
    for i in range(3):
        colour = np.array(plasma_colour(7, 5, 2.0, (1, 4, 6)[i], 0.9, 4.0))
        assert batch[i, :, 7, 5].tolist() == pytest.approx(100 * (1 - 64 / 255) + 64 * colour, abs=1.01)


def bilinear(image, row, column):
    top, left = math.floor(row), math.floor(column)
    value = np.zeros(3)
    for r, weight_r in ((top, 1 - row + top), (top + 1, row - top)):
        for c, weight_c in ((left, 1 - column + left), (left + 1, column - left)):
            if 0 <= r < image.shape[0] and 0 <= c < image.shape[1]:
                value += weight_r * weight_c * image[r, c]
    return value


def test_water_drop_is_its_formula_at_every_pixel_of_an_oblong_image():
    image, center = noise_image(21, 34), (9.3, 20.6)
    kind = {"radius": 10, "amplitude": 0.4, "wavelength": 3.9, "phase": 1.0}
    result = corrupted("water_drop", image, {**kind, "center": center}).astype(float)
    for row, column in np.ndindex(21, 34):
        down, right = row - center[0], column - center[1]
        distance = math.hypot(down, right)
        push = 0.0
        if distance <= 10:
            push = 0.4 * 3.9 * math.sin(2 * math.pi * distance / 3.9 - 1.0) / distance
        value = bilinear(image, row + push * down, column + push * right)
        assert result[row, column] == pytest.approx(np.floor(value), abs=1)


def test_water_drop_keeps_an_even_area_and_the_pixel_at_its_center():
    kind = {"radius": 8, "amplitude": 0.2, "wavelength": 4.0, "phase": 0.5, "center": (16.0, 16.0)}
    image = np.full((33, 33, 3), 201, dtype=np.uint8)
    assert (corrupted("water_drop", image, kind) == 201).all()
    image = noise_image(33, 33)
    assert (corrupted("water_drop", image, kind)[16, 16] == image[16, 16]).all()


def test_water_drop_reads_black_beyond_the_image():
    kind = {"radius": 20, "amplitude": 900.0, "wavelength": 30.0, "phase": 0.1, "center": (4.5, 4.5)}
    image = np.full((10, 10, 3), 255, dtype=np.uint8)
    assert (corrupted("water_drop", image, kind) == 0).all()


def checkerboard_pixel(row, column, angle, scales, grid):
    i = (math.cos(angle) * row + math.sin(angle) * column) / scales[0]
    j = (-math.sin(angle) * row + math.cos(angle) * column) / scales[1]
    return math.floor(i) % 2 == math.floor(j) % 2 and bool(grid[math.trunc(i), math.trunc(j)])


@pytest.mark.parametrize("angle", [0.0, 0.4, 2.0, 3.9, 5.9])
@pytest.mark.parametrize("size", [(40, 40), (25, 40), (40, 9)])
def test_checkerboard_is_its_definition_at_every_pixel(angle, size):
    image, longer = noise_image(*size), max(size)
    kind = {"angle": angle, "scales": (3.7, 4.0), "fraction": 0.6, "seed": 2**32 - 1}
    grid = np.random.RandomState(2**32 - 1).uniform(size=(int(4 * longer // 3.7), int(4 * longer // 4.0)))
    result = corrupted("checkerboard_cutout", image, kind)
    for row, column in np.ndindex(*size):
        cut = checkerboard_pixel(row, column, angle, (3.7, 4.0), grid < 0.6)
        assert result[row, column].tolist() == ([128] * 3 if cut else image[row, column].tolist())


def lines_drawn(image, length, density, angle, angle_variation, seed):
    height, width = image.shape[:2]
    side, random, result = min(height, width), np.random.RandomState(seed), image.copy()
    for _ in range(int(density * side)):
        row, column = height * random.uniform(), width * random.uniform()
        turned = angle + 2 * np.pi * angle_variation * (random.uniform() - 0.5)
        down, right = np.cos(turned) * length * side, np.sin(turned) * length * side
        before = result.copy()
        for r, c, coverage in zip(
            *line_aa(int(row - down), int(column - right), int(row + down), int(column + right)), strict=True
        ):
            if 0 <= r < height and 0 <= c < width:
                result[r, c] = ((1.0 - coverage) * before[r, c] + coverage * 128).astype(np.uint8)
    return result


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    length=st.sampled_from([0.0, 0.05, 0.3, 1.0, 3.0]),
    density=st.floats(0.0, 1.5),
    angle=st.one_of(st.floats(0, 6.3), st.sampled_from([0.0, math.pi / 4, math.pi / 2, math.pi])),
    angle_variation=st.sampled_from([0.0, 0.1, 0.7]),
    seed=st.integers(0, 2**32 - 1),
)
def test_lines_are_drawn_one_over_the_other_as_scikit_image_draws_each(size, **kind):
    image = noise_image(*size)
    assert np.array_equal(corrupted("lines", image, kind), lines_drawn(image, **kind))


def test_both_ways_to_blend_lines_give_the_same_bytes(monkeypatch):
    corruption = create("lines", 4.0)
    images = torch.from_numpy(noise_image(3 * 40, 56).reshape(3, 3, 40, 56))
    parameters = [corruption.sample_parameters(np.random.default_rng(i), (40, 56)) for i in range(3)]
    on_cpu = corruption.apply(images, parameters)
    monkeypatch.setattr(lines_module, "_blend_on_cpu", lines_module._blend_anywhere)
    assert torch.equal(corruption.apply(images, parameters), on_cpu)
