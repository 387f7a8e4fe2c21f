"""Image files to RGB: one meaning for every colour mode, and an error for what cannot be read whole."""

from __future__ import annotations

import re
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from nversion.core import UserError
from nversion.core.reasons import reason_of

# Part of every data set's fingerprint: count up when the pixels of some file change meaning.
DECODING = 1

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
)

_BROKEN = (OSError, EOFError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError)


class UnreadableImageError(UserError):
    """An image that is missing, truncated, or of a kind that has no RGB meaning here."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(
            expected=f"a whole image in {path}",
            found=reason,
            next_step="replace the file, or take its row out of the labels",
        )
        self.path = str(path)

    def __reduce__(self) -> tuple[type[UnreadableImageError], tuple[str, str]]:
        return type(self), (self.path, self.found)


def decode_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file as (H, W, 3) RGB.

    - Grey, palette, CMYK, YCbCr and LAB images are converted to RGB.
    - Transparency is laid over white, as a viewer shows it: colours under transparent pixels are arbitrary.
    - 16-bit images keep their high byte, whether grey or RGB.
    - The EXIF orientation is applied: the image stands as a viewer shows it. (torchvision's default
      loader ignores it.)
    - Of an animation the first frame is read.
    - Embedded colour profiles are ignored, as the usual loaders do.

    Raises:
        UnreadableImageError: the file is missing, no image, truncated, or holds 32-bit or floating
            pixels, whose range is unknown.
    """
    try:
        return _decode(path)
    except FileNotFoundError as error:
        raise UnreadableImageError(path, "no such file") from error
    except _BROKEN as error:
        # Pillow repeats the path, which the sentence names already.
        raise UnreadableImageError(path, reason_of(error).replace(f" '{path}'", "")) from error


def decode_bytes(content: bytes, where: str) -> NDArray[np.uint8]:
    """The bytes of an image file as (H, W, 3) RGB, with the meaning of `decode_image`.

    Args:
        where: the image, as it reads in an error.

    Raises:
        UnreadableImageError: as for `decode_image`.
    """
    try:
        return _decode(BytesIO(content))
    except _BROKEN as error:
        # Pillow names the buffer, by its address in memory.
        reason = re.sub(r" <_io\.BytesIO object at \w+>", "", reason_of(error))
        raise UnreadableImageError(where, reason) from error


def _decode(source: Path | BytesIO) -> NDArray[np.uint8]:
    with Image.open(source) as image:
        image.load()
        return np.array(to_rgb(_upright(image), image.format))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except (SyntaxError, struct.error, ValueError, KeyError, TypeError, EOFError):
        # The pixels are whole and only the EXIF block is not: without an orientation they stand as stored.
        return image


def to_rgb(image: Image.Image, file_format: str | None = None) -> Image.Image:
    """RGB as `decode_image` defines it, of an image that is loaded.

    Args:
        image: in any mode.
        file_format: from which it was read, because Pillow gives 16-bit PNM files (and PNG files, in some of
            its versions) the mode of 32-bit images.

    Raises:
        ValueError: the range of its pixels is unknown.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and file_format in ("PNG", "PPM")):
        high_byte = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return Image.fromarray(high_byte).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode!r}, whose range is unknown")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
