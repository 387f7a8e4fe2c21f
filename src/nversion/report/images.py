"""Pictures for the page: small, embedded, nothing to load."""

from __future__ import annotations

import base64
import io

from PIL import Image, UnidentifiedImageError

THUMBNAIL = 176


def data_uri(content: bytes, kind: str) -> str:
    """Content as an address that needs no file and no network.

    >>> data_uri(b"a", "image/png")
    'data:image/png;base64,YQ=='
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def thumbnail_uri(png: bytes | None, side: int = THUMBNAIL) -> str | None:
    """A picture of at most `side` pixels; None for what is no picture.

    Pictures that are small already (digits) stay as they are: JPEG would blur the pixels they are made of.
    """
    if not png:
        return None
    try:
        with Image.open(io.BytesIO(png), formats=("PNG",)) as opened:
            image = opened.convert("RGB")
    except UnidentifiedImageError:
        return None
    if max(image.size) <= 64:
        return data_uri(png, "image/png")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82)
    return data_uri(buffer.getvalue(), "image/jpeg")


def light_png(png: bytes, width: int) -> bytes:
    """A drawing of at most `width` pixels in 256 colours, for a page that must stay small."""
    with Image.open(io.BytesIO(png), formats=("PNG",)) as opened:
        image = opened.convert("RGB")
    if image.width > width:
        image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(buffer, "PNG")
    return buffer.getvalue()
