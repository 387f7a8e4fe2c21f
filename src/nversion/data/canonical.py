"""The canonical image: one square uint8 size for all classifiers, on which corruptions work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from nversion.core import UserError
from nversion.core.registry import did_you_mean
from nversion.core.tables import Table

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class CanonicalTable(Table):
    """`[canonical]`: the uint8 image that every corruption and model sees; see `Canonical`."""

    size: int = Field(224, ge=1, le=4096)
    mode: Literal["crop", "squash"] = "crop"
    resize: int | None = Field(None, ge=1)
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"


@dataclass(frozen=True)
class Canonical:
    """How an image of any size becomes `size` × `size`.

    "crop": the shorter side is resized to `resize`, then the centre is cut out, as
    torchvision's Resize and CenterCrop do, to the byte. "squash": the whole image is resized, its
    aspect ratio is lost; an image of this size stays as it is.

    Args:
        size: pixels per side of the result.
        mode: "crop" or "squash".
        resize: shorter side before the crop; round(size / 0.875) if None (256 for 224). Only for "crop".
        interpolation: Pillow's "bilinear", "bicubic", "lanczos" or "nearest", with antialiasing.

    Raises:
        UserError: a value out of range.
    """

    size: int = 224
    mode: Literal["crop", "squash"] = "crop"
    resize: int | None = None
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if self.mode not in ("crop", "squash"):
            raise _error("a mode", repr(self.mode), did_you_mean(str(self.mode), ["crop", "squash"]))
        if self.interpolation not in _FILTERS:
            step = did_you_mean(str(self.interpolation), list(_FILTERS))
            raise _error("an interpolation", repr(self.interpolation), step)
        if self.size < 1:
            raise _error("a size of 1 or more", str(self.size), "give the pixels per side, 224 is usual")
        if self.resize is not None and self.mode == "squash":
            raise _error(
                "no `resize` with mode 'squash'", str(self.resize), "leave it out, or use mode 'crop'"
            )
        if self.resize is not None and self.resize < self.size:
            raise _error(
                f"a `resize` of at least the size {self.size}",
                str(self.resize),
                "raise it, or lower the size",
            )

    @property
    def shorter_side(self) -> int:
        """Length of the shorter side before the crop."""
        return self.resize if self.resize is not None else round(self.size / 0.875)

    def render(self, image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The canonical image (3, size, size), contiguous, of an (H, W, 3) RGB image.

        >>> Canonical(size=2, mode="squash").render(np.full((4, 6, 3), 7, np.uint8)).tolist()[0]
        [[7, 7], [7, 7]]
        """
        height, width = image_HW3.shape[:2]
        if self.mode == "squash":
            resized = self._resized(image_HW3, self.size, self.size)
        else:
            short, long = min(height, width), max(height, width)
            # Cut off, not rounded, and the offsets rounded half to even: torchvision's arithmetic.
            new_long = int(self.shorter_side * long / short)
            new_width, new_height = (
                (self.shorter_side, new_long) if width <= height else (new_long, self.shorter_side)
            )
            resized = self._resized(image_HW3, new_height, new_width)
            top = round((new_height - self.size) / 2)
            left = round((new_width - self.size) / 2)
            resized = resized[top : top + self.size, left : left + self.size]
        return np.ascontiguousarray(resized.transpose(2, 0, 1))

    def _resized(self, image_HW3: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
        if image_HW3.shape[:2] == (height, width):
            return image_HW3
        image = Image.fromarray(image_HW3).resize((width, height), _FILTERS[self.interpolation])
        return np.asarray(image)


def _error(expected: str, found: str, next_step: str) -> UserError:
    return UserError(expected=f"{expected} of the canonical image", found=found, next_step=next_step)
