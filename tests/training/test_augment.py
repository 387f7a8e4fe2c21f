"""Augmentation: whole images come back, boxes have the drawn shares, flips and shifts are exact."""

import numpy as np
import torch

from nversion.training.augment import augmented, crop_boxes, shift
from nversion.training.recipe import AugmentTable


def images(count=4, size=9):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 3, size, size), dtype=np.uint8))


def test_without_any_setting_images_are_only_scaled():
    none = AugmentTable(crop_scale=None, flip=0.0)
    assert torch.equal(augmented(images(), none, ("a",)), images().float() / 255)


def test_a_certain_flip_mirrors_the_columns():
    flip = AugmentTable(crop_scale=None, flip=1.0)
    expected = images().flip(-1).float() / 255
    assert torch.allclose(augmented(images(), flip, ("a",)), expected, atol=1e-5)


def test_shifts_are_whole_pixels_with_the_border_repeated():
    result = augmented(images(64), AugmentTable(crop_scale=None, flip=0.0, max_shift=1), ("a",))
    padded = torch.nn.functional.pad(images(64).float() / 255, (1, 1, 1, 1), mode="replicate")
    for moved, original in zip(result, padded, strict=True):
        found = [
            (down, right)
            for down in range(3)
            for right in range(3)
            if torch.allclose(moved, original[:, down : down + 9, right : right + 9], atol=1e-4)
        ]
        assert len(found) == 1


def test_boxes_have_the_areas_and_ratios_that_were_asked_for():
    settings = AugmentTable(crop_scale=(0.2, 0.6), crop_ratio=(0.5, 1.5))
    top, left, height, width = crop_boxes(settings, np.random.default_rng(1), 5000, 60, 40).T
    area, ratio = height * width / 2400, width / height
    assert 0.2 <= area.min() < 0.22 and 0.58 < area.max() <= 0.6 + 1e-9
    assert ratio.min() >= 0.5 - 1e-9 and ratio.max() <= 1.5 + 1e-9
    assert top.min() >= 0 and (top + height).max() <= 60 + 1e-9 and (left + width).max() <= 40 + 1e-9


def test_equal_keys_draw_equal_images_and_others_do_not():
    settings = AugmentTable()
    first, again, other = (augmented(images(), settings, (key,)) for key in ("a", "a", "b"))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_shift_moves_each_image_by_its_own_pixels_and_repeats_the_border():
    images_2133 = torch.arange(9, dtype=torch.uint8).reshape(1, 1, 3, 3).repeat(2, 1, 1, 1)
    moved = shift(images_2133, torch.tensor([1, 0]), torch.tensor([0, -1]))
    assert moved[0, 0].tolist() == [[0, 1, 2], [0, 1, 2], [3, 4, 5]]
    assert moved[1, 0].tolist() == [[1, 2, 2], [4, 5, 5], [7, 8, 8]]
