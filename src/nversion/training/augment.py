"""Random crop, flip and shift of a whole batch, on the device where it is."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nversion.core import generator

from .recipe import AugmentTable


def crop_boxes(
    settings: AugmentTable, rng: np.random.Generator, count: int, height: int, width: int
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Top, left, height and width in pixels of `count` random crops, (count, 4).

    Area and aspect ratio are drawn as torchvision's RandomResizedCrop does (the ratio log-uniform, ten
    tries, then the largest centred crop of an allowed ratio); positions are not rounded to pixels.
    """
    whole = np.array([0.0, 0.0, height, width])
    boxes = np.tile(whole, (count, 1))
    if settings.crop_scale is None:
        return boxes
    low, high = settings.crop_ratio
    waiting = np.arange(count)
    for _ in range(10):
        area = height * width * rng.uniform(*settings.crop_scale, len(waiting))
        ratio = np.exp(rng.uniform(np.log(low), np.log(high), len(waiting)))
        crop_width, crop_height = np.sqrt(area * ratio), np.sqrt(area / ratio)
        down, right = rng.uniform(size=(2, len(waiting)))
        fits = (crop_width <= width) & (crop_height <= height)
        rows = np.stack(
            [down * (height - crop_height), right * (width - crop_width), crop_height, crop_width], axis=1
        )
        boxes[waiting[fits]] = rows[fits]
        waiting = waiting[~fits]
    widest, highest = min(width, height * high), min(height, width / low)
    boxes[waiting] = [(height - highest) / 2, (width - widest) / 2, highest, widest]
    return boxes


def augmented(
    images_n3HW: Tensor, settings: AugmentTable, keys: tuple[str | int, ...], size: int | None = None
) -> Tensor:
    """Random crops, flipped and shifted, as float in [0, 1]; the draws follow from `keys` alone.

    All three are one affine map a sample, read bilinearly in one pass without antialiasing; the border's
    pixels are repeated beyond it.

    Args:
        images_n3HW: uint8, or float in [0, 1].
        settings: what is drawn.
        keys: of the generator.
        size: pixels per side of the crops; None: those of the images.
    """
    images = images_n3HW if images_n3HW.is_floating_point() else images_n3HW.float().div_(255)
    if size is None and settings.crop_scale is None and settings.flip == 0 and settings.max_shift == 0:
        return images
    count, _, height, width = images.shape
    rng = generator("augment", *keys)
    boxes = crop_boxes(settings, rng, count, height, width)
    mirrored = np.where(rng.uniform(size=count) < settings.flip, -1.0, 1.0)
    moved = rng.integers(-settings.max_shift, settings.max_shift + 1, size=(2, count))
    theta = np.zeros((count, 2, 3))
    theta[:, 0, 0] = boxes[:, 3] / width * mirrored
    theta[:, 0, 2] = (2 * boxes[:, 1] + boxes[:, 3]) / width - 1 - 2 * moved[1] / width
    theta[:, 1, 1] = boxes[:, 2] / height
    theta[:, 1, 2] = (2 * boxes[:, 0] + boxes[:, 2]) / height - 1 - 2 * moved[0] / height
    shape = [count, 3, size or height, size or width]
    grid = F.affine_grid(torch.from_numpy(theta).to(images.device, images.dtype), shape, align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def shift(images_N3HW: Tensor, down_N: Tensor, right_N: Tensor) -> Tensor:
    """Every image moved by its own whole number of pixels; the border pixels are repeated.

    >>> image_1311 = torch.tensor([1, 2, 3]).reshape(1, 1, 1, 3)
    >>> shift(image_1311, torch.tensor([0]), torch.tensor([1])).flatten().tolist()
    [1, 1, 2]
    """
    num_images, num_channels, height, width = images_N3HW.shape
    device = images_N3HW.device
    rows_NH = (torch.arange(height, device=device) - down_N[:, None]).clamp(0, height - 1)
    columns_NW = (torch.arange(width, device=device) - right_N[:, None]).clamp(0, width - 1)
    return images_N3HW[
        torch.arange(num_images, device=device)[:, None, None, None],
        torch.arange(num_channels, device=device)[:, None, None],
        rows_NH[:, None, :, None],
        columns_NW[:, None, None, :],
    ]
