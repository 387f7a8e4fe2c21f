"""A data set whose images are files under one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nversion.core import LabelSpace, fingerprint_file

from .dataset import Dataset
from .images import decode_image, unopened


class ImageFiles(Dataset):
    """Image files; the sample id is the path under the folder, with forward slashes."""

    def __init__(
        self,
        name: str,
        label_space: LabelSpace,
        folder: Path,
        files: Sequence[str],
        labels_N: NDArray[np.int64],
        hidden: int = 0,
    ) -> None:
        super().__init__(name, label_space, files, labels_N)
        self.folder = folder
        self.hidden = hidden

    def decode(self, index: int) -> NDArray[np.uint8]:
        return decode_image(self.folder / self.sample_ids[index], self.max_pixels)

    def content(self, index: int) -> str:
        path = self.folder / self.sample_ids[index]
        try:
            return fingerprint_file(path)
        except OSError as error:
            raise unopened(error, path) from error
