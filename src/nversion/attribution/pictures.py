"""Pictures of attribution: the image's own pixels, as bright as the map is high (Fig. 2 and 11)."""

from __future__ import annotations

import io

import numpy as np
import torch
from torch import Tensor


def masked(
    image_3HW: Tensor,
    map_3HW: Tensor,
    *,
    smoothing: float = 1 / 56,
    dark: float = 0.3,
    bright: float = 0.85,
) -> Tensor:
    """The original pixels masked by the attribution scores.

    `mask = clip((s − q_dark) / (q_bright − q_dark), 0, 1)`, where s is the magnitude of the map summed
    over channels and smoothed by a Gaussian, and q its quantiles over the pixels. A raw gradient is
    speckle; the defaults (4 pixels at 224) are chosen by eye so that the object a model looks at can be
    recognised and two models can be distinguished. The rule is for looking only: no metric uses it.

    Args:
        image_3HW: uint8.
        map_3HW: signed or absolute, of the same height and width.
        smoothing: standard deviation of the Gaussian as a share of the height.
        dark: this share of the pixels is black.
        bright: the pixels above this share keep their full brightness.

    Returns:
        uint8 (3, H, W) on the CPU; black where the smoothed map is the same everywhere.

    >>> image_3HW = torch.full((3, 1, 5), 200, dtype=torch.uint8)
    >>> map_3HW = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0]).expand(3, 1, 5)
    >>> masked(image_3HW, map_3HW, smoothing=0, dark=0, bright=1)[0].tolist()
    [[0, 50, 100, 150, 200]]
    """
    from scipy.ndimage import gaussian_filter

    strength_HW = map_3HW.detach().abs().sum(dim=0).double().cpu().numpy()
    smooth_HW = gaussian_filter(strength_HW, smoothing * image_3HW.shape[1], mode="nearest")
    low, high = np.quantile(smooth_HW, [dark, bright])
    # Where both quantiles coincide no pixel differs from another, and 0/0 has no brightness.
    mask_HW = np.clip((smooth_HW - low) / (high - low), 0, 1) if high > low else np.zeros_like(smooth_HW)
    return (image_3HW.cpu() * torch.from_numpy(mask_HW)).round().to(torch.uint8)


def to_png(image_3HW: Tensor) -> bytes:
    """A lossless PNG file of a uint8 RGB image."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image_3HW.permute(1, 2, 0).contiguous().cpu().numpy()).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
