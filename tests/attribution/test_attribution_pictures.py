"""Pixels masked by attribution: bright where the map is high, and a PNG that reads back."""

import io

import numpy as np
import torch
from PIL import Image

from nversion.attribution import masked, to_png


def spotted_map(size: int, row: int, column: int) -> torch.Tensor:
    map_3HW = torch.zeros(3, size, size)
    map_3HW[:, row, column] = -1.0
    return map_3HW


def test_the_pixel_that_matters_keeps_its_colour_and_the_far_ones_are_black():
    image_3HW = torch.arange(3 * 56 * 56, dtype=torch.uint8).reshape(3, 56, 56)
    picture_3HW = masked(image_3HW, spotted_map(56, 20, 30), bright=0.9999)
    assert picture_3HW.dtype == torch.uint8
    assert torch.equal(picture_3HW[:, 20, 30], image_3HW[:, 20, 30])
    assert picture_3HW[:, 40:, :].max() == 0


def test_brightness_falls_with_the_distance_from_the_spot():
    image_3HW = torch.full((3, 56, 56), 255, dtype=torch.uint8)
    row = masked(image_3HW, spotted_map(56, 28, 28), bright=0.9999)[0, 28, 28:33].tolist()
    assert row == sorted(row, reverse=True)
    assert row[0] == 255


def test_the_scale_of_a_map_does_not_change_its_picture():
    generator = torch.Generator().manual_seed(0)
    image_3HW = torch.randint(0, 256, (3, 20, 24), generator=generator, dtype=torch.uint8)
    map_3HW = torch.randn(3, 20, 24, generator=generator)
    assert torch.equal(masked(image_3HW, map_3HW), masked(image_3HW, 1024 * map_3HW))


def test_a_zero_map_gives_a_black_picture():
    assert masked(torch.full((3, 8, 8), 9, dtype=torch.uint8), torch.zeros(3, 8, 8)).max() == 0


def test_the_png_reads_back_to_the_same_pixels():
    image_3HW = torch.arange(3 * 5 * 7, dtype=torch.uint8).reshape(3, 5, 7)
    read_HW3 = np.asarray(Image.open(io.BytesIO(to_png(image_3HW))))
    np.testing.assert_array_equal(read_HW3, image_3HW.permute(1, 2, 0).numpy())
