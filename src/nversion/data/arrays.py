"""A data set whose images are in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nversion.core import LabelSpace, fingerprint

from .dataset import Dataset


class Arrays(Dataset):
    """Images of one size, (N, H, W, 3) uint8 RGB; they stay in memory."""

    def __init__(
        self,
        name: str,
        label_space: LabelSpace,
        sample_ids: Sequence[str],
        labels_N: NDArray[np.int64],
        images_NHW3: NDArray[np.uint8],
    ) -> None:
        super().__init__(name, label_space, sample_ids, labels_N)
        self.images_NHW3 = images_NHW3

    def decode(self, index: int) -> NDArray[np.uint8]:
        image_HW3: NDArray[np.uint8] = self.images_NHW3[index].copy()
        return image_HW3

    def content(self, index: int) -> str:
        return fingerprint(self.images_NHW3[index])
