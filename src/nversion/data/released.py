"""Corruptions as ImageNet-C was released: corrupted, then stored as JPEG, which takes part of the noise away.

hendrycks/robustness saves every corrupted image with `quality=85, optimize=True`
(ImageNet-C/create_c/make_imagenet_c.py), at which Pillow halves the resolution of colour (4:2:0). `optimize`
changes the file, not the pixels. CIFAR-10-C was released as arrays (make_cifar_c.py), which lose nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nversion.corruptions import CORRUPTIONS, published
from nversion.corruptions.severities import SMALL_IMAGE

from .conditions import Condition

AS_RELEASED = "as_released"
CODEC = {"format": "JPEG", "quality": 85, "subsampling": "4:2:0"}
_SETS = ("imagenet-c", "imagenet-c-extra", "imagenet-c-bar")


@dataclass(frozen=True)
class ReleasedCondition(Condition):
    """A condition whose images go through the codec of the release once they are corrupted.

    It is called "dataset/corruption-severity@as_released".
    """

    stored: str | None = AS_RELEASED

    def description(self) -> dict[str, Any]:
        return super().description() | {"codec": CODEC}

    def render(self, images_N3HW: Tensor, sample_ids: Sequence[str]) -> Tensor:
        """The corrupted images as the released files show them."""
        plain = Condition(self.dataset, self.corruption, self.severity, self.seed)
        return through_codec(plain.render(images_N3HW, sample_ids))


def has_codec(corruption: str, side: int) -> bool:
    """Whether the images of a corruption were released as JPEG.

    Args:
        corruption: its name.
        side: pixels per side of the images.

    >>> has_codec("fog", 224), has_codec("fog", 32), has_codec("plasma_noise", 224)
    (True, False, True)
    """
    name = CORRUPTIONS.aliases.get(corruption, corruption)
    return side > SMALL_IMAGE and any(name in published(one, side) for one in _SETS)


def through_codec(images_N3HW: Tensor) -> Tensor:
    """The images (N, 3, H, W) uint8 as the release's JPEG files show them, on the device of the input."""
    read = torch.empty(images_N3HW.shape, dtype=torch.uint8)
    for image_HW3, out_3HW in zip(images_N3HW.cpu().permute(0, 2, 3, 1).numpy(), read, strict=True):
        file = BytesIO()
        Image.fromarray(np.ascontiguousarray(image_HW3)).save(
            file, "JPEG", quality=CODEC["quality"], subsampling=CODEC["subsampling"]
        )
        with Image.open(file, formats=("JPEG",)) as opened:
            out_3HW.copy_(torch.from_numpy(np.array(opened)).permute(2, 0, 1))
    return read.to(images_N3HW.device)
