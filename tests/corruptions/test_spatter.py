"""spatter: the chain of OpenCV's and scikit-image's steps, its identities, and where water turns to mud."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from nversion.corruptions import create
from nversion.corruptions.pixels.fields import normal_fields

WATER, MUD = np.array([175, 238, 238]), np.array([63, 42, 20])


def image_of(*size):
    return np.random.default_rng(5).integers(0, 256, (*size, 3), dtype=np.uint8)


def spattered(name, severity, image, seed):
    images = torch.from_numpy(image).permute(2, 0, 1)[None]
    return create(name, severity).apply(images, [{"seed": seed}])[0].permute(1, 2, 0).numpy()


def liquid(size, seed, mean, deviation, sigma, least):
    field = normal_fields(np.array([seed]), 0, size, torch.device("cpu"))[0].double().numpy()
    smooth = ndimage.gaussian_filter(deviation * field + mean, sigma, mode="nearest", truncate=4)
    return np.where(smooth < least, 0, smooth)


@pytest.mark.parametrize(
    ("name", "severity", "row", "strength"),
    [
        ("spatter", 1, (0.65, 0.3, 4.0, 0.69), 0.6),
        ("spatter", 2.5, (0.65, 0.3, 2.5, 0.68), 0.55),
        ("spatter", 3.4, (0.65, 0.3, 2.0, 0.68), 0.5),
        ("spatter_cifar", 3, (0.65, 0.3, 1.0, 0.69), 0.5),
    ],
)
def test_water_is_the_chain_of_opencvs_steps_on_an_oblong_image(name, severity, row, strength):
    cv2 = pytest.importorskip("cv2")
    image = image_of(47, 70)
    layer = (liquid((47, 70), 3, *row) * 255).astype(np.uint8)
    far = cv2.distanceTransform(255 - cv2.Canny(layer, 50, 150), cv2.DIST_L2, 5)
    level = cv2.equalizeHist(cv2.blur(np.minimum(far, 20), (3, 3)).astype(np.uint8))
    relief = cv2.filter2D(level, cv2.CV_8U, np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]))
    light = layer * cv2.blur(relief, (3, 3)).astype(np.float64)
    expected = np.minimum(image + strength * light[..., None] / light.max() * WATER, 255)
    away = np.abs(spattered(name, severity, image, 3) - np.floor(expected))
    assert (away <= 1).mean() >= 0.999


@pytest.mark.parametrize(
    ("name", "severity", "row", "sigma"),
    [
        ("spatter", 3.5, (0.65, 0.3, 1.0, 0.65), 1.5),
        ("spatter", 4.5, (0.66, 0.35, 1.0, 0.65), 1.5),
        ("spatter_cifar", 5, (0.65, 0.1, 0.5, 0.68), 0.6),
    ],
)
def test_mud_is_its_formula_on_an_oblong_image(name, severity, row, sigma):
    image = image_of(47, 70)
    wet = (liquid((47, 70), 4, *row) > row[-1]).astype(np.float64)
    cover = ndimage.gaussian_filter(wet, sigma, mode="nearest", truncate=4)
    cover = np.where(cover < 0.8, 0, cover)[..., None]
    expected = image * (1 - cover) + MUD * cover
    away = np.abs(spattered(name, severity, image, 4) - np.floor(expected))
    assert (away <= 1).mean() >= 0.999


def test_pixels_without_mud_stay_what_they_are():
    white, black = (np.full((64, 64, 3), value, dtype=np.uint8) for value in (255, 0))
    kept = (spattered("spatter", 5, white, 1) == 255).all(axis=2)
    assert 0.2 < kept.mean() < 0.9
    assert (spattered("spatter", 5, black, 1)[kept] == 0).all()


def test_water_only_brightens_and_most_where_it_is_brightest():
    image = np.zeros((96, 96, 3), dtype=np.uint8)
    brightest = spattered("spatter", 2, image, 1).reshape(-1, 3).max(axis=0)
    assert brightest.tolist() == np.floor(0.6 * WATER).tolist()
    noisy = image_of(96, 96)
    assert (spattered("spatter", 2, noisy, 1) >= noisy).all()


@pytest.mark.parametrize("seed", range(8))
def test_a_pixel_without_liquid_is_given_back(seed):
    image = np.full((1, 1, 3), 90, dtype=np.uint8)
    if liquid((1, 1), seed, 0.65, 0.3, 4.0, 0.69) == 0:
        assert np.array_equal(spattered("spatter", 1, image, seed), image)
