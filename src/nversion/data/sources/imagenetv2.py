"""ImageNetV2: three new test sets for the classes of ImageNet-1k."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from nversion.core import UserError
from nversion.core.settings import resolve
from nversion.data.class_folders import (
    NUM_CLASSES,
    check_whole,
    imagenet_label_space,
    read_class_folders,
)
from nversion.data.dataset import DATASET_SOURCES, Dataset
from nversion.data.image_files import ImageFiles

PER_CLASS = 10
# As the archives call their folders: imagenetv2-matched-frequency-format-val, imagenetv2-threshold0.7-…, …
VARIANTS = {
    "matched-frequency": r"matched-?frequency",
    "threshold-0.7": r"threshold-?0\.7",
    "top-images": r"top-?images",
}


@DATASET_SOURCES.register("imagenetv2")
def open_imagenetv2(
    *,
    path: Path,
    base: Path,
    variant: Literal["matched-frequency", "threshold-0.7", "top-images"] | None = None,
    name: str | None = None,
    partial: bool = False,
) -> Dataset:
    """One of the three test sets of Recht et al., "Do ImageNet Classifiers Generalize to ImageNet?" (2019).

    10 images of each class. Its folders 0 to 999 are labels; sorted as text ("0", "1", "10", "100", …), as
    image-folder loaders do, they would be wrong for nearly every class.

    Args:
        path: the folder of the class folders.
        base: the folder from which `path` starts.
        variant: which of the three; inferred from the folder's name if None.
        name: of the data set; "imagenetv2-VARIANT" if None.
        partial: take an incomplete copy.

    Raises:
        UserError: an unknown variant, a folder that is no label, or an incomplete copy.
    """
    path = resolve(path, base)
    known = [key for key, pattern in VARIANTS.items() if re.search(pattern, path.resolve().name)]
    if variant is None and len(known) != 1:
        raise UserError(
            expected=f"the variant of ImageNetV2 in the name of {path}",
            found="none" if not known else " and ".join(known),
            next_step=f"add `variant = ...`, one of {', '.join(VARIANTS)}",
        )
    files, labels_N, hidden = read_class_folders(path, _label_of, "a label from 0 to 999")
    if not partial:
        check_whole(path, labels_N, PER_CLASS, [str(label) for label in range(NUM_CLASSES)])
    return ImageFiles(
        name or f"imagenetv2-{variant or known[0]}", imagenet_label_space(), path, files, labels_N, hidden
    )


def _label_of(folder: str) -> int | None:
    return int(folder) if re.fullmatch(r"0|[1-9]\d{0,2}", folder) else None
