"""A folder with one sub-folder of images per class, and a map from folder names to labels."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np

from nversion.core import LabelSpace, UserError
from nversion.core.label_spaces import label_space_of
from nversion.core.reasons import reason_of
from nversion.core.settings import resolve
from nversion.data.classes import composed, read_classes
from nversion.data.dataset import DATASET_SOURCES, Dataset, label_out_of_range
from nversion.data.image_files import ImageFiles
from nversion.data.images import IMAGE_SUFFIXES
from nversion.data.walking import hidden_in_folders, image_files, visible_folders

OWN = "own"


@DATASET_SOURCES.register("imagefolder")
def open_imagefolder(
    *,
    path: Path,
    base: Path,
    label_space: str,
    name: str | None = None,
    classes: Path | None = None,
    num_classes: int | None = None,
) -> Dataset:
    """Images in sub-folders; what a sub-folder means is said by a map, never by its place in the order.

    Hidden folders and files (.ipynb_checkpoints, ._1.png, __MACOSX) are left out and counted.

    A folder that lacks some classes would shift the index of all later ones, and a pretrained
    classifier would look wrong for most of them. Only `label_space = "own"` numbers the sub-folders in
    sorted order: a label space with the data set's name, for classifiers trained on this very tree.

    Args:
        path: the folder; images may lie deeper in their sub-folder.
        base: the folder from which `path` and `classes` start.
        label_space: what the labels mean: "imagenet-1k", a name of your own, or "own".
        name: of the data set; the folder's name if None.
        classes: the map: a CSV file (columns label, name, and folder or wnid) of all classes, or a
            JSON object from folder name to 0-based label.
        num_classes: size of a label space of your own, where `classes` is JSON.

    Raises:
        UserError: no map, a sub-folder that it lacks, or a sub-folder without images.
    """
    path = resolve(path, base)
    if not path.is_dir():
        raise UserError(expected=f"the folder {path}", found="no such folder", next_step="correct the path")
    folders = sorted(visible_folders(path), key=composed)
    twice = [a for a, b in pairwise(folders) if composed(a) == composed(b)]
    if twice:
        raise UserError(
            expected=f"one sub-folder for each class in {path}",
            found=f"two that are called {composed(twice[0])!r}, in two Unicode forms",
            next_step="move the images of both into one",
        )
    if not folders:
        raise UserError(
            expected=f"one sub-folder per class in {path}",
            found="no sub-folders",
            next_step='use `source = "folder"` with a labels.csv for images in one folder',
        )
    name = name or path.resolve().name
    space, labels = _labels(path, base, name, label_space, classes, num_classes, folders)
    files, file_labels, hidden = [], [], hidden_in_folders(path)
    for folder in folders:
        if composed(folder) not in labels:
            raise UserError(
                expected=f"a label of every sub-folder of {path} in {classes}",
                found=f"none of {folder!r}",
                next_step="add it to the map, or move the sub-folder away",
            )
        images, of_folder = image_files(path / folder)
        hidden += of_folder
        if not images:
            raise UserError(
                expected=f"images in {path / folder}",
                found="none",
                next_step=f"remove the sub-folder, or add images ({', '.join(sorted(IMAGE_SUFFIXES))})",
            )
        files += [image.relative_to(path).as_posix() for image in images]
        file_labels += [labels[composed(folder)]] * len(images)
    return ImageFiles(name, space, path, files, np.array(file_labels, np.int64), hidden)


def _labels(
    path: Path,
    base: Path,
    name: str,
    label_space: str,
    classes: Path | None,
    num_classes: int | None,
    folders: list[str],
) -> tuple[LabelSpace, dict[str, int]]:
    """The label space, and the label of each folder name."""
    what = f"the data set in {path}"
    if label_space == OWN:
        if classes is not None or num_classes is not None:
            raise UserError(
                expected=f"neither `classes` nor `num_classes` beside label_space {OWN!r} of {what}",
                found="one of them",
                next_step="remove it, or give the label space a name",
            )
        names = tuple(map(composed, folders))
        return LabelSpace(name, len(folders), names), {folder: label for label, folder in enumerate(names)}
    if classes is None:
        raise UserError(
            expected=f"a map from the sub-folders of {path} to the label space {label_space!r}",
            found="none, and the sorted order of sub-folders is no such map",
            next_step='add `classes = "classes.csv"` (columns label, name, folder), or, for classifiers '
            f"trained on this tree, `label_space = {OWN!r}`",
        )
    classes = resolve(classes, base)
    if classes.suffix == ".json":
        labels = _read_json(classes)
        space = label_space_of(what, label_space, num_classes=num_classes)
    else:
        class_names, labels = read_classes(classes)
        space = label_space_of(what, label_space, num_classes=num_classes, class_names=class_names)
    for folder, label in labels.items():
        if not 0 <= label < space.num_classes:
            raise label_out_of_range(label, f"{classes} ({folder!r})", space)
    return space, labels


def _read_json(path: Path) -> dict[str, int]:
    if not path.is_file():
        raise UserError(expected=f"the file {path}", found="no such file", next_step="correct the path")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(expected=f"JSON in {path}", found=reason_of(error), next_step="correct it") from error
    if not isinstance(content, dict) or not all(type(label) is int for label in content.values()):
        raise UserError(
            expected=f"a JSON object from folder name to 0-based label in {path}",
            found=f"a {type(content).__name__} of something else",
            next_step='write it as {"n01440764": 0, ...}',
        )
    return {composed(folder): label for folder, label in content.items()}
