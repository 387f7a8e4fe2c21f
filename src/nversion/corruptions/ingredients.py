"""Fingerprints of the files that a corruption reads in addition to the image."""

from __future__ import annotations

import os
from functools import cache

from nversion.corruptions.kinds.frost import Frost

from .base import CORRUPTIONS
from .pixels.frost_textures import FOLDER, texture_fingerprint


def ingredients(name: str) -> str:
    """The fingerprint of what the corruption reads in addition to the image; "" if nothing.

    Of frost it is that of its pictures, which the environment may exchange. A corruption of another
    package may offer one as a static method `ingredients`.

    >>> ingredients("lines")
    ''
    """
    kind = CORRUPTIONS[name]
    offered = getattr(kind, "ingredients", None)
    if callable(offered):
        return str(offered())
    return _of_frost(os.environ.get(FOLDER, "")) if issubclass(kind, Frost) else ""


@cache
def _of_frost(_folder: str) -> str:
    return texture_fingerprint()  # draws or reads five pictures
