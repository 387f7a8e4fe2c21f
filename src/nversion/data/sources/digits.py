"""scikit-learn's handwritten digits: the embedded data set, which needs no download."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nversion.core import LabelSpace, generator
from nversion.data.arrays import Arrays
from nversion.data.dataset import DATASET_SOURCES, Dataset

LABEL_SPACE = LabelSpace("digits", 10, tuple("0123456789"))


@DATASET_SOURCES.register("digits")
def open_digits(*, base: Path, split: Literal["train", "test"] = "test", name: str | None = None) -> Dataset:
    """1797 handwritten digits, 8×8 with 17 grey levels, enlarged to 32×32 RGB by bicubic interpolation.

    A fixed half of each class is `train`, the other half `test`: what a classifier was trained on
    is never what it is measured on. The sample id is the index in scikit-learn's array.
    Source: UCI "Optical Recognition of Handwritten Digits", test part; CC BY 4.0.
    """
    images_NHW3, labels_N = _digits()
    indices = _split(labels_N)[split]
    return Arrays(
        name or f"digits-{split}",
        LABEL_SPACE,
        [f"{i:04d}" for i in indices],
        labels_N[indices],
        images_NHW3[indices],
    )


@lru_cache(maxsize=1)
def _digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    from sklearn.datasets import load_digits

    grey_NHW, labels_N = load_digits(return_X_y=True)
    # 0..16 to 0..255; Pillow's fixed-point bicubic gives the same bytes on every machine.
    levels_NHW = np.floor(grey_NHW.reshape(-1, 8, 8) * (255 / 16) + 0.5).astype(np.uint8)
    large_NHW = np.stack(
        [
            np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC))
            for image in levels_NHW
        ]
    )
    return np.repeat(large_NHW[..., None], 3, axis=-1), labels_N.astype(np.int64)


def _split(labels_N: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    train = []
    for label in range(LABEL_SPACE.num_classes):
        of_class = generator("digits split", label).permutation(np.flatnonzero(labels_N == label))
        train.append(of_class[: len(of_class) // 2])
    is_train = np.zeros(len(labels_N), dtype=bool)
    is_train[np.concatenate(train)] = True
    return {"train": np.flatnonzero(is_train), "test": np.flatnonzero(~is_train)}
