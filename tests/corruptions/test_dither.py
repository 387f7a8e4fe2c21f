"""color_dither: the loop over pixels, and what it comes to by hand."""

import numpy as np
import pytest
import torch

from nversion.core import UserError
from nversion.corruptions import create


def pixels(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def dithered(image_HW3, levels):
    images = torch.from_numpy(np.ascontiguousarray(image_HW3)).permute(2, 0, 1)[None]
    return create("color_dither", 5.0).apply(images, [{"levels": levels}])[0].permute(1, 2, 0).numpy()


def shown(byte, levels):
    return int(255 * int(levels * byte / 256) / (levels - 1))


def pixel_by_pixel(image, levels):
    height, width, _ = image.shape
    out = np.empty_like(image)
    for row, channel in np.ndindex(height, 3):
        carried = [(7, 16)] * (row > 0) + [(1, 16)] * (row + 1 < height)
        byte = int(image[row, 0, channel])
        for column in range(width):
            out[row, column, channel] = shown(byte, levels)
            error = byte - shown(byte, levels)
            if column + 1 < width:
                byte = int(image[row, column + 1, channel])
                for share, of in carried:
                    byte = int(min(max(byte + error * share / of, 0), 255))
    return out


@pytest.mark.parametrize("levels", [2, 3, 9, 14])
@pytest.mark.parametrize("size", [(7, 31), (2, 9), (1, 12), (5, 1)])
def test_dithering_is_the_loop_over_pixels(size, levels):
    image = pixels(*size, seed=levels)
    assert (dithered(image, levels) == pixel_by_pixel(image, levels)).all()


def test_every_byte_carries_to_every_other_as_the_loop_says():
    pairs = np.stack(np.meshgrid(np.arange(256), np.arange(256), indexing="ij"), axis=-1)
    image = np.repeat(pairs.reshape(-1, 2, 1), 3, axis=2).astype(np.uint8)[::7]
    for levels in (2, 5):
        assert (dithered(image, levels) == pixel_by_pixel(image, levels)).all()


def test_two_levels_of_an_even_grey_by_hand():
    # Between the first and the last row: 100 is shown as 0, 100 + 43 + 6 = 149 as 255, then 149 − 255 = −106
    # carries −47 − 7: 46, shown as 0.
    image = np.full((3, 3, 3), 100, dtype=np.uint8)
    assert dithered(image, 2)[1, :, 0].tolist() == [0, 255, 0]
    assert dithered(image, 2)[0, :, 0].tolist() == [0, 0, 0]  # 100, 106, 106


def test_rows_know_nothing_of_each_other():
    image = pixels(9, 20)
    changed = image.copy()
    changed[4] = 255 - changed[4]
    differs = (dithered(image, 4) != dithered(changed, 4)).any(axis=(1, 2))
    assert differs.tolist() == [row == 4 for row in range(9)]


def test_samples_of_a_batch_take_their_own_levels():
    images = torch.from_numpy(pixels(6, 8)).permute(2, 0, 1)[None].repeat(4, 1, 1, 1)
    batch = create("color_dither", 5.0).apply(images, [{"levels": levels} for levels in (9, 2, 9, 5)])
    assert [len(image.unique()) <= levels for image, levels in zip(batch, (9, 2, 9, 5), strict=True)] == [
        True
    ] * 4
    assert torch.equal(batch[0], batch[2]) and not torch.equal(batch[0], batch[3])


def test_levels_are_14_less_the_whole_severity():
    for severity, levels in ((0.0, 14), (3.0, 11), (3.99, 11), (12.0, 2), (12.99, 2)):
        assert create("color_dither", severity).sample_parameters(np.random.default_rng(0), (8, 8)) == {
            "levels": levels
        }


def test_a_severity_that_leaves_one_level_is_refused():
    with pytest.raises(UserError, match=r"a severity from 0 to 12\.99 for color_dither, found 13"):
        create("color_dither", 13)
