"""Multi-crop views of a batch for self-supervised training: large and small crops, in other colours.

All draws of a view follow from its keys; pixels are made on the device where the images are. Two things
differ from the authors' transforms (Caron et al. 2021): crops are read bilinearly from the canonical image,
and the hue is turned about the grey axis of YIQ instead of HSV's, which is one matrix an image.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nversion.core import generator

from .augment import augmented
from .recipe import AugmentTable, PretrainingTable

GREY = (0.299, 0.587, 0.114)
# RGB to YIQ, where turning I and Q changes the hue and keeps the luma.
_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
BLUR_SHARES = (1.0, 0.1, 0.5)
"""Of first global, second global and local views."""


def multi_crop(
    images_N3HW: Tensor, settings: PretrainingTable, keys: tuple[str | int, ...]
) -> tuple[Tensor, Tensor]:
    """Two global views (2, N, 3, H, W) and the local ones (L, N, 3, h, w), float in [0, 1]."""
    size = images_N3HW.shape[-1]
    local_size = settings.local_size or round(size * 3 / 7)
    views = []
    for view in range(2 + settings.num_local):
        kind = min(view, 2)  # first global, second global, local
        scale = settings.local_crops if kind == 2 else settings.global_crops
        crops = AugmentTable(crop_scale=scale, flip=settings.flip)
        own = (*keys, f"view {view}")
        view_N3HW = augmented(images_N3HW, crops, own, local_size if kind == 2 else size)
        rng = generator("colours", *own)
        view_N3HW = jittered(view_N3HW, settings.color, settings.grey, rng)
        view_N3HW = blurred(view_N3HW, settings.blur * BLUR_SHARES[kind], rng)
        if kind == 1:
            view_N3HW = solarized(view_N3HW, settings.solarize, rng)
        views.append(view_N3HW)
    local = torch.stack(views[2:]) if settings.num_local else images_N3HW.new_empty(0, 0, 3, 1, 1)
    return torch.stack(views[:2]), local


def jittered(images_N3HW: Tensor, strength: float, grey: float, rng: np.random.Generator) -> Tensor:
    """Brightness, contrast, saturation and hue of four in five images; then a share `grey` loses its colour.

    Factors are drawn from 1 ± 0.4, 1 ± 0.4 and 1 ± 0.2, the hue from ± a tenth of a turn, times the strength.
    """
    count = len(images_N3HW)
    chosen = rng.uniform(size=count) < 0.8
    bright, contrast, saturation, turn = rng.uniform(-1, 1, (4, count)) * strength * chosen
    colourless = rng.uniform(size=count) < grey

    def column(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Tensor:
        return torch.from_numpy(values).to(images_N3HW)[:, None, None, None]

    weights = images_N3HW.new_tensor(GREY)[:, None, None]
    images = (images_N3HW * column(1 + 0.4 * bright)).clamp_(0, 1)
    mean_N111 = (images * weights).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    images = torch.lerp(mean_N111, images, column(1 + 0.4 * contrast)).clamp_(0, 1)
    colours_N33 = _hue_and_saturation(0.1 * turn, np.where(colourless, 0.0, 1 + 0.2 * saturation))
    return torch.einsum("nij,njhw->nihw", torch.from_numpy(colours_N33).to(images), images).clamp_(0, 1)


def _hue_and_saturation(
    turn_N: np.ndarray[tuple[int], np.dtype[np.float64]],
    factor_N: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, int, int], np.dtype[np.float64]]:
    """RGB to RGB: the plane of I and Q turned (in turns) and stretched."""
    cosine, sine = np.cos(2 * math.pi * turn_N) * factor_N, np.sin(2 * math.pi * turn_N) * factor_N
    turned_N33 = np.zeros((len(turn_N), 3, 3))
    turned_N33[:, 0, 0] = 1
    turned_N33[:, 1, 1] = turned_N33[:, 2, 2] = cosine
    turned_N33[:, 1, 2], turned_N33[:, 2, 1] = -sine, sine
    yiq = np.array(_YIQ)
    colours_N33: np.ndarray[tuple[int, int, int], np.dtype[np.float64]] = (
        np.linalg.inv(yiq) @ turned_N33 @ yiq
    )
    return colours_N33


def blurred(images_N3HW: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """A share of the images under a Gaussian of 0.1 to 2 pixels at 224, in proportion at other sizes."""
    count, channels, height, width = images_N3HW.shape
    chosen = rng.uniform(size=count) < share
    sigma_N = rng.uniform(0.1, 2.0, count) * height / 224
    radius = max(1, math.ceil(3 * 2.0 * height / 224))
    offsets = np.arange(-radius, radius + 1)
    kernels = np.exp(-0.5 * (offsets / np.maximum(sigma_N, 1e-3)[:, None]) ** 2)
    kernels = np.where(chosen[:, None], kernels, offsets == 0)
    kernels = (kernels / kernels.sum(1, keepdims=True)).repeat(channels, axis=0)
    weights = torch.from_numpy(kernels).to(images_N3HW)[:, None, None, :]
    flat = images_N3HW.reshape(1, count * channels, height, width)
    flat = F.conv2d(F.pad(flat, (radius, radius, 0, 0), "replicate"), weights, groups=count * channels)
    flat = F.conv2d(F.pad(flat, (0, 0, radius, radius), "replicate"), weights.mT, groups=count * channels)
    return flat.reshape(images_N3HW.shape)


def solarized(images_N3HW: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """A share of the images with every value from 0.5 on inverted."""
    chosen = torch.from_numpy(rng.uniform(size=len(images_N3HW)) < share).to(images_N3HW.device)
    inverted = chosen[:, None, None, None] & (images_N3HW >= 0.5)
    return torch.where(inverted, 1 - images_N3HW, images_N3HW)
