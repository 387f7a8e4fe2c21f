"""The canonical image: one square uint8 size for all classifiers, on which corruptions work."""

from __future__ import annotations

import math
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


LARGEST = 4096
"""Pixels per side of the canonical image at most; the side before the crop may have four times as many."""

LONGEST = 64  # times the shorter side: longer images are not resized whole
WIDEST_FILTER = 3  # Lanczos's reach to either side, in pixels of the smaller image


class CanonicalTable(Table):
    """`[canonical]`: the uint8 image that every corruption and model sees; see `Canonical`."""

    size: int = Field(224, ge=1, le=LARGEST)
    mode: Literal["crop", "squash"] = "crop"
    resize: int | None = Field(None, ge=1, le=4 * LARGEST)
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"


@dataclass(frozen=True)
class Canonical:
    """How an image of any size becomes `size` × `size`.

    "crop": the shorter side is resized to `resize`, then the centre is cut out, as
    torchvision's Resize and CenterCrop do, to the byte. Of images more than 64 times as long as wide only the
    middle is resized: memory is that of some canonical images whatever their length, and pixels differ by one
    level where rounding decides (for "nearest" by a pixel; where such an image is shrunk, bicubic and lanczos
    may clip in another order). "squash": the whole image is resized,
    its aspect ratio is lost; an image of this size stays as it is.

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
        if not 1 <= self.size <= LARGEST:
            range_ = "of 1 or more" if self.size < 1 else f"of at most {LARGEST}"
            raise _error(f"a size {range_}", str(self.size), "give the pixels per side, 224 is usual")
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

        if self.resize is not None and self.resize > 4 * LARGEST:
            raise _error(f"a `resize` of at most {4 * LARGEST}", str(self.resize), "lower it: 256 is usual")

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
            top = round((new_height - self.size) / 2)
            left = round((new_width - self.size) / 2)
            if long > LONGEST * short:
                resized = self._middle(image_HW3, new_long, left if width > height else top)
            else:
                resized = self._resized(image_HW3, new_height, new_width)
            resized = resized[top:][: self.size] if len(resized) > self.size else resized
            resized = resized[:, left:][:, : self.size] if resized.shape[1] > self.size else resized
        return np.ascontiguousarray(resized.transpose(2, 0, 1))

    def _middle(self, image_HW3: NDArray[np.uint8], new_long: int, start: int) -> NDArray[np.uint8]:
        """Of a long thin image resized whole, pixels `start` to `start + size` of its longer side.

        Only the pixels that these are made of are resized: the whole may be a million times as long.
        """
        height, width = image_HW3.shape[:2]
        long, short = max(height, width), min(height, width)
        scale = long / new_long
        first, last = start * scale, (start + self.size) * scale
        reach = math.ceil(WIDEST_FILTER * max(scale, 1)) + 1
        # Pillow's box is of 32-bit floats, which are exact to a millionth of a pixel near its corner alone.
        cut = max(0, math.floor(first) - reach)
        end = min(long, math.ceil(last) + reach)
        is_wide = width > height
        part = image_HW3[:, cut:end] if is_wide else image_HW3[cut:end]
        image, kind = Image.fromarray(np.ascontiguousarray(part)), _FILTERS[self.interpolation]
        # Rows before columns, as Pillow resizes the whole: it rounds and clips between the two passes.
        if is_wide:
            image = image.resize((self.size, short), kind, box=(first - cut, 0, last - cut, short))
            return np.asarray(image.resize((self.size, self.shorter_side), kind))
        image = image.resize((self.shorter_side, len(part)), kind)
        box = (0, first - cut, self.shorter_side, last - cut)
        return np.asarray(image.resize((self.shorter_side, self.size), kind, box=box))

    def _resized(self, image_HW3: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
        if image_HW3.shape[:2] == (height, width):
            return image_HW3
        image = Image.fromarray(image_HW3).resize((width, height), _FILTERS[self.interpolation])
        return np.asarray(image)


def _error(expected: str, found: str, next_step: str) -> UserError:
    return UserError(expected=f"{expected} of the canonical image", found=found, next_step=next_step)
