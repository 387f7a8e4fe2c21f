"""Images of ImageNet's classes in folders, and whether a copy of a published data set is whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nversion.core import LabelSpace, UserError
from nversion.core.label_spaces import IMAGENET

from .classes import imagenet_class_names
from .walking import hidden_in_folders, image_files, visible_folders

NUM_CLASSES = 1000


def imagenet_label_space() -> LabelSpace:
    """The 1000 classes with torchvision's names."""
    return LabelSpace(IMAGENET, NUM_CLASSES, imagenet_class_names())


def subfolders(path: Path) -> list[str]:
    """Names of the folders in `path`, hidden ones left out.

    Raises:
        UserError: there is no such folder.
    """
    if not path.is_dir():
        raise UserError(expected=f"the folder {path}", found="no such folder", next_step="correct the path")
    return visible_folders(path)


def read_class_folders(
    path: Path, label_of: Callable[[str], int | None], kind: str
) -> tuple[list[str], NDArray[np.int64], int]:
    """Image files under `path`, by label and then by name, their labels, and how many hidden ones there are.

    Args:
        path: its folders are classes.
        label_of: the label that a folder's name stands for, or None.
        kind: of name, as it reads in an error ("a wnid such as n01440764").

    Raises:
        UserError: a folder's name stands for no label.
    """
    labelled = []
    for folder in subfolders(path):
        label = label_of(folder)
        if label is None:
            raise UserError(
                expected=f"{kind} as the name of every folder of {path}",
                found=repr(folder),
                next_step="move it away, or name the folder that holds the classes",
            )
        labelled.append((label, folder))
    files: list[str] = []
    labels: list[int] = []
    hidden = hidden_in_folders(path)
    for label, folder in sorted(labelled):
        images, of_folder = image_files(path / folder, deep=False)
        files += [f"{folder}/{image.name}" for image in images]
        labels += [label] * len(images)
        hidden += of_folder
    return files, np.array(labels, np.int64), hidden


def check_whole(path: Path, labels_N: NDArray[np.int64], per_class: int, folder_names: Sequence[str]) -> None:
    """
    Args:
        per_class: images of each class in the whole data set.
        folder_names: what the classes are called on disk, by label.

    Raises:
        UserError: a class is missing, or has another number of images.
    """
    count_C = np.bincount(labels_N, minlength=NUM_CLASSES)
    wrong = np.flatnonzero(count_C != per_class)
    if len(wrong):
        first = int(wrong[0])
        raise UserError(
            expected=f"{per_class * NUM_CLASSES:,} images in {path}, {per_class} of each of "
            f"{NUM_CLASSES:,} classes",
            found=f"{len(labels_N):,}; {len(wrong):,} classes differ, the first {folder_names[first]!r} "
            f"with {count_C[first]}",
            next_step="complete the copy, or set `partial = true` to take what is there",
        )
