"""Image files to RGB: one meaning for every colour mode, and an error for what cannot be read whole."""

from __future__ import annotations

import errno
import re
import struct
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from nversion.core import UserError
from nversion.core.machine import machine_error
from nversion.core.reasons import reason_of

# Part of every data set's fingerprint: count up when the pixels of some file change meaning.
DECODING = 1

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
)

# Of the content, whatever the file is called: what Pillow reads without starting another program.
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM")

MAX_PIXELS = 89_478_485
"""Height times width of the largest image that is decoded: where Pillow begins to warn of a bomb."""


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


def decode_image(path: Path, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Read an image file as (H, W, 3) RGB.

    - The content decides what the file is, not its name: JPEG, PNG, BMP, WebP, GIF, TIFF or PNM. Others
      that Pillow knows are refused: for some it starts an interpreter.
    - Grey, palette, CMYK, YCbCr and LAB images are converted to RGB.
    - Transparency is laid over white, as a viewer shows it: colours under transparent pixels are arbitrary.
    - 16-bit images keep their high byte, whether grey or RGB.
    - The EXIF orientation is applied: the image stands as a viewer shows it. (torchvision's default
      loader ignores it.)
    - Of an animation the first frame is read.
    - Embedded colour profiles are ignored, as the usual loaders do.

    Memory: about 12 bytes for each pixel of the image.

    Args:
        path: of the file.
        max_pixels: height times width that is decoded at most; checked before memory is taken.

    Raises:
        UnreadableImageError: the file is missing, no image, of another format, truncated, of more pixels, or
            holds 32-bit or floating pixels, whose range is unknown.
        UserError: there is not enough memory.
    """
    try:
        with path.open("rb") as stream:
            return _decoded(stream, str(path), max_pixels)
    except OSError as error:
        raise unopened(error, path) from error


def decode_bytes(content: bytes, where: str, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """The bytes of an image file as (H, W, 3) RGB, with the meaning and errors of `decode_image`.

    Args:
        content: of the file.
        where: the image, as it reads in an error.
        max_pixels: height times width that is decoded at most.
    """
    return _decoded(BytesIO(content), where, max_pixels)


def _decoded(stream: IO[bytes], where: str, max_pixels: int) -> NDArray[np.uint8]:
    try:
        image = _opened(stream)
        if image.width * image.height > max_pixels:
            raise ValueError(
                f"{image.width:,} × {image.height:,} pixels, more than max_pixels = {max_pixels:,}"
            )
        image.load()
        return np.array(to_rgb(_upright(image), image.format))
    except MemoryError as error:
        raise out_of_memory(where) from error
    except Exception as error:  # Pillow's parsers raise whatever they meet in damaged bytes
        # Pillow names the stream, by its address in memory, or by the path that the sentence names already.
        reason = re.sub(r" <_io\.\w+ .*?>", "", reason_of(error))
        raise UnreadableImageError(where, reason) from error


def _opened(stream: IO[bytes]) -> ImageFile.ImageFile:
    """The image in a stream, its header read.

    Not by `Image.open`, whose limit of pixels is one for the whole process.
    """
    Image.init()  # registers the formats; once
    prefix = stream.read(16)
    found = [kind for kind in Image.OPEN if _accepts(kind, prefix)]
    if known := [kind for kind in found if kind in FORMATS]:
        stream.seek(0)
        factory, _ = Image.OPEN[known[0]]
        try:
            return factory(stream, "")
        except (SyntaxError, IndexError, TypeError, struct.error) as error:  # as Image.open does
            raise UnidentifiedImageError("cannot identify image file") from error
    if found:
        raise ValueError(f"a file of the format {found[0]}, which is none of {', '.join(FORMATS)}")
    raise UnidentifiedImageError("cannot identify image file")


def _accepts(kind: str, prefix: bytes) -> bool:
    accept = Image.OPEN[kind][1]
    try:
        answer = accept is not None and accept(prefix)
    except (SyntaxError, IndexError, TypeError, struct.error):  # of less than it looks at
        return False
    return bool(answer) and not isinstance(answer, str)  # a text says what this Pillow was built without


def unopened(error: OSError, path: Path) -> UserError:
    """The error for a file that cannot be opened: the machine's fault, or the image's."""
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM) and (found := machine_error(error, path)):
        return found
    missing = isinstance(error, FileNotFoundError)
    return UnreadableImageError(path, "no such file" if missing else error.strerror or type(error).__name__)


def out_of_memory(where: str) -> UserError:
    """The error for an image that memory was too small for: no fault of it, so it is never left out."""
    return UserError(
        expected=f"enough memory to decode {where}",
        found="none left",
        next_step="give the run more memory or fewer threads, or lower `max_pixels` of the data set",
    )


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:
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
