"""caustic_noise and caustic_refraction: their definitions and what follows from them."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.ndimage import gaussian_filter

from nversion.corruptions import create
from nversion.corruptions.pixels.bilinear import resample

LENS = {"time": 1.3, "size": 17.0, "eta": 4.0, "lens_scale": 9.0, "lighting_amount": 0.6, "softening": 1.0}


def picture(height, width, num_images=1):
    rng = np.random.default_rng(5)
    return torch.from_numpy(rng.integers(0, 256, (num_images, 3, height, width), dtype=np.uint8))


def light(row, column, time, size):
    p = [(place / size) % 1 * 6.28318530718 - 250 for place in (row, column)]
    i, total = list(p), 1.0
    for n in range(1, 6):
        t = time * (1 - 3.5 / n)
        i = [
            p[0] + math.cos(t - i[0]) + math.sin(t + i[1]),
            p[1] + math.sin(t - i[1]) + math.cos(t + i[0]),
        ]
        total += 200 / math.hypot(p[0] / math.sin(i[0] + t), p[1] / math.cos(i[1] + t))
    return min(abs(1.17 - (total / 5) ** 1.4) ** 8, 1.0)


def lights(height, width, time, size):
    return np.array([[light(r, c, time, size) for c in range(width)] for r in range(height)])


@pytest.mark.parametrize("size", [5.5, 17.0, 60.0])
def test_caustic_noise_is_its_formula_at_every_pixel_of_an_oblong_image(size):
    image = picture(14, 23)
    parameters = {"time": 1.3, "size": size, "intensity": 140.0}
    result = create("caustic_noise", 5.0).apply(image, [parameters])[0].numpy()
    expected = np.trunc(np.minimum(image[0].numpy() + 140.0 * lights(14, 23, 1.3, size), 255))
    assert np.abs(result - expected).max() <= 1
    assert (result == expected).mean() > 0.999


def test_caustics_repeat_after_size_pixels():
    image = torch.zeros(1, 3, 24, 36, dtype=torch.uint8)
    parameters = {"time": 0.8, "size": 12.0, "intensity": 255.0}
    result = create("caustic_noise", 5.0).apply(image, [parameters])
    assert torch.equal(result[..., :12, :], result[..., 12:, :])
    assert torch.equal(result[..., :12], result[..., 24:])


def test_caustics_never_darken():
    image = picture(30, 30)
    parameters = create("caustic_noise", 9.0).sample_parameters(np.random.default_rng(0), (30, 30))
    assert (create("caustic_noise", 9.0).apply(image, [parameters]) >= image).all()


def refracted(normal, eta):
    incident = np.array([0.0, 0.0, 1.0])
    if normal[2] >= 0.999:
        return incident
    # Snell's law: the sine to the normal shrinks by eta, in the plane of both.
    beside = incident - normal[2] * normal
    angle = math.asin(math.sin(math.acos(normal[2])) / eta)
    # The reference turns the ray to the other side of the normal.
    return normal * math.cos(angle) - beside / np.linalg.norm(beside) * -math.sin(angle)


def bilinear(image_3HW, row, column):
    padded = np.pad(image_3HW.astype(float), ((0, 0), (40, 40), (40, 40)))
    top, left = math.floor(row), math.floor(column)
    weights = np.outer([top + 1 - row, row - top], [left + 1 - column, column - left])
    return (padded[:, top + 40 : top + 42, left + 40 : left + 42] * weights).sum(axis=(1, 2))


def lens_by_definition(image_3HW, time, size, eta, lens_scale, lighting_amount, softening):
    height, width = image_3HW.shape[1:]
    surface = np.pad(gaussian_filter(lights(height, width, time, size), softening), 1)
    out = np.zeros(image_3HW.shape)
    for row, column in np.ndindex(height, width):
        down = surface[row + 2, column + 1] - surface[row, column + 1]
        right = surface[row + 1, column + 2] - surface[row + 1, column]
        normal = np.array([down, right, 1.0]) / math.sqrt(down**2 + right**2 + 1)
        shift = np.round(refracted(normal, eta) * lens_scale, 3)
        value = bilinear(image_3HW, row + shift[0], column + shift[1])
        out[:, row, column] = value + 255 * lighting_amount * (down - right)
    return np.trunc(np.clip(out, 0, 255))


@pytest.mark.parametrize("changes", [{}, {"softening": 2.6}, {"eta": 1.0}, {"softening": 0.0, "size": 30.0}])
def test_refraction_is_its_definition_at_every_pixel_of_an_oblong_image(changes):
    image, lens = picture(13, 21), {**LENS, **changes}
    result = create("caustic_refraction", 5.0).apply(image, [lens])[0].numpy()
    away = np.abs(result - lens_by_definition(image[0].numpy(), **lens))
    assert (away <= 1).mean() > 0.995  # a lens at the edge of being flat may fall on either side


def test_a_blur_wider_than_the_image_mirrors_it_several_times():
    image, lens = picture(3, 5), {**LENS, "softening": 4.0}
    result = create("caustic_refraction", 5.0).apply(image, [lens])[0].numpy()
    assert np.abs(result - lens_by_definition(image[0].numpy(), **lens)).max() <= 1


def test_images_of_a_batch_take_their_own_softening():
    images = picture(16, 20, num_images=3)
    lenses = [{**LENS, "softening": sigma} for sigma in (0.1, 1.0, 3.7)]
    corruption = create("caustic_refraction", 5.0)
    batch = corruption.apply(images, lenses)
    for i in range(3):
        assert torch.equal(batch[i], corruption.apply(images[i : i + 1], lenses[i : i + 1])[0])
    assert not torch.equal(corruption.apply(images[:1], lenses[2:]), batch[:1])


def test_refraction_without_lens_and_light_gives_the_image_back():
    image = picture(18, 11)
    still = {**LENS, "lens_scale": 0.0, "lighting_amount": 0.0}
    assert torch.equal(create("caustic_refraction", 5.0).apply(image, [still]), image)


def test_light_is_added_to_what_is_read_before_the_cut():
    image = torch.tensor([[[[10, 11]], [[250, 250]], [[3, 3]]]], dtype=torch.uint8)
    down, right = torch.zeros(1, 1, 2), torch.tensor([[[0.5, 0.0]]])
    out = torch.empty_like(image)
    resample(image, down, right, out, torch.tensor([[[0.5, -7.5]]]))  # 10.5 + 0.5 and 11 − 7.5
    assert out[0, :, 0].tolist() == [[11, 3], [250, 242], [3, 0]]


@pytest.mark.parametrize("name", ["caustic_noise", "caustic_refraction"])
def test_caustic_parameters_have_the_references_distributions(name):
    rng = np.random.default_rng(11)
    draws = [create(name, 4.0).sample_parameters(rng, (224, 320)) for _ in range(2000)]
    for key, low, high in (("time", 0.5, 2.0), ("size", 168.0, 280.0)):
        values = np.array([draw[key] for draw in draws])
        assert values.min() >= low and values.max() < high
        assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 0.01


def test_a_lens_follows_severity_and_the_shorter_side():
    lens = create("caustic_refraction", 4.0).sample_parameters(np.random.default_rng(0), (320, 224))
    fixed = {key: lens[key] for key in ("eta", "lens_scale", "lighting_amount", "softening")}
    assert fixed == {"eta": 4.0, "lens_scale": 44.8, "lighting_amount": 0.8, "softening": 1}
