"""Images as they lie on disk, and the size that they must have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nversion.core import UserError


class StoredImages(ABC):
    """The images of one data set under one condition, by the row of the sample."""

    @abstractmethod
    def read(self, rows: Sequence[int]) -> NDArray[np.uint8]:
        """The images (n, H, W, 3) of these samples.

        Raises:
            UserError: an image cannot be read, or has another size than the first.
        """

    @abstractmethod
    def where(self) -> str:
        """The place of the images, as it reads in an error."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Of the files that are read: of names and sizes of image files, of the bytes of arrays."""


def check_size(found: tuple[int, ...], side: int, where: str) -> None:
    """
    Raises:
        UserError: the images are not of `side` × `side` pixels.
    """
    height, width = found
    if (height, width) != (side, side):
        cure = (
            f"set `size = {height}` under [canonical], and `mode` and `resize` as those images were made"
            if height == width
            else "write the tree again"
        )
        raise UserError(
            expected=f"stored images of the canonical size {side}×{side} in {where}",
            found=f"{height}×{width}",
            next_step=cure + ": stored images are never resized",
        )
