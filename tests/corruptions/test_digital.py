"""contrast, pixelate and jpeg_compression: their definitions, and the tables of both benchmarks."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from nversion.corruptions import create


def pixels(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def corrupted(name, image_HW3, severity=1.0, **parameters):
    images = torch.from_numpy(np.ascontiguousarray(image_HW3)).permute(2, 0, 1)[None]
    return create(name, severity).apply(images, [parameters])[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("factor", [0.05, 0.4, 1.0, 1.5])
def test_contrast_draws_every_byte_towards_its_channels_mean(factor):
    image = pixels(33, 47)
    image[..., 0] //= 4
    mean = image.reshape(-1, 3).astype(float).mean(axis=0)
    exact = np.clip(mean + factor * (image - mean), 0, 255)
    assert (corrupted("contrast", image, factor=factor) == np.floor(exact + 2e-4)).all()


def test_contrast_leaves_an_even_area_what_it_is():
    for byte in range(256):
        image = np.full((3, 5, 3), byte, dtype=np.uint8)
        assert (corrupted("contrast", image, factor=0.1) == byte).all()


def test_no_contrast_is_the_mean():
    image = np.array([[[0, 10, 20], [9, 30, 20]]], dtype=np.uint8)
    assert corrupted("contrast", image, factor=0.0).tolist() == [[[4, 20, 20], [4, 20, 20]]]


@pytest.mark.parametrize("share", [0.25, 0.3, 0.4, 0.65, 0.95, 1.0])
@pytest.mark.parametrize("size", [(224, 224), (33, 47), (3, 100), (7, 2)])
def test_pixelate_is_pillows_box_filter_both_ways(size, share):
    image = pixels(*size)
    small = tuple(max(int(side * share), 1) for side in size)
    picture = Image.fromarray(image).resize(small[::-1], Image.Resampling.BOX)
    expected = np.asarray(picture.resize(size[::-1], Image.Resampling.BOX))
    assert (corrupted("pixelate", image, share=share) == expected).all()


def test_pixelate_by_half_is_the_mean_of_four():
    image = np.zeros((4, 2, 3), dtype=np.uint8)
    image[0, 0], image[1, 1], image[3] = 100, 60, 20
    assert corrupted("pixelate", image, share=0.5)[..., 0].tolist() == [[40, 40]] * 2 + [[10, 10]] * 2


@pytest.mark.parametrize("quality", [7, 25, 80])
@pytest.mark.parametrize("size", [(64, 64), (33, 47), (1, 9)])
def test_jpeg_compression_is_a_file_written_and_read(size, quality):
    image, file = pixels(*size), io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    assert (corrupted("jpeg_compression", image, quality=quality) == np.asarray(Image.open(file))).all()


def test_samples_of_a_jpeg_batch_take_their_own_quality():
    images = torch.from_numpy(pixels(16, 24)).permute(2, 0, 1)[None].repeat(2, 1, 1, 1)
    coarse, fine = create("jpeg_compression", 1).apply(images, [{"quality": 5}, {"quality": 95}]).int()
    assert (fine - images[1]).abs().sum() < (coarse - images[0]).abs().sum()


TABLES = [
    ("contrast", "factor", [0.4, 0.3, 0.2, 0.1, 0.05]),
    ("contrast_cifar", "factor", [0.75, 0.5, 0.4, 0.3, 0.15]),
    ("brightness", "shift", [0.1, 0.2, 0.3, 0.4, 0.5]),
    ("brightness_cifar", "shift", [0.05, 0.1, 0.15, 0.2, 0.3]),
    ("saturate", "factor", [0.3, 0.1, 2, 5, 20]),
    ("saturate", "shift", [0, 0, 0, 0.1, 0.2]),
    ("saturate_cifar", "factor", [0.3, 0.1, 1.5, 2, 2.5]),
    ("saturate_cifar", "shift", [0, 0, 0, 0.1, 0.2]),
    ("pixelate", "share", [0.6, 0.5, 0.4, 0.3, 0.25]),
    ("pixelate_cifar", "share", [0.95, 0.9, 0.85, 0.75, 0.65]),
    ("jpeg_compression", "quality", [25, 18, 15, 10, 7]),
    ("jpeg_compression_cifar", "quality", [80, 65, 58, 50, 40]),
]


def parameter(name, key, severity):
    return create(name, severity).sample_parameters(np.random.default_rng(0), (32, 32))[key]


@pytest.mark.parametrize(("name", "key", "table"), TABLES)
def test_whole_severities_are_the_published_levels(name, key, table):
    assert [parameter(name, key, severity) for severity in (1, 2, 3, 4, 5)] == table


@pytest.mark.parametrize(("name", "key", "table"), TABLES)
def test_severities_between_levels_lie_on_the_line_between(name, key, table):
    between = 0.75 * table[1] + 0.25 * table[2]
    value = parameter(name, key, 2.25)
    assert value == (int(between + 0.5) if key == "quality" else pytest.approx(between))
