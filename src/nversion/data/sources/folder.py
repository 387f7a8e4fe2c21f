"""A folder of image files and a CSV file that labels them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from nversion.core import UserError
from nversion.core.label_spaces import IMAGENET, label_space_of
from nversion.core.settings import resolve
from nversion.data.classes import composed, imagenet_class_names, read_classes, read_csv, read_label
from nversion.data.dataset import DATASET_SOURCES, Dataset, label_out_of_range
from nversion.data.image_files import ImageFiles


@DATASET_SOURCES.register("folder")
def open_folder(
    *,
    path: Path,
    base: Path,
    label_space: str,
    name: str | None = None,
    labels: Path = Path("labels.csv"),
    file_column: str = "file",
    label_column: str = "label",
    name_column: str = "name",
    num_classes: int | None = None,
    classes: Path | None = None,
) -> Dataset:
    """Images listed in `labels` with their labels; images that are not listed are left out.

    Args:
        path: the folder.
        base: the folder from which `path` and `classes` start.
        label_space: what the labels mean: "imagenet-1k", or a name of your own.
        name: of the data set; the folder's name if None.
        labels: the CSV file, from `path`.
        file_column: paths of the images, from `path`, with forward slashes.
        label_column: 0-based labels.
        name_column: class names; used where the column exists and names every class.
        num_classes: size of a label space of your own.
        classes: a CSV file of the classes (columns label, name), from `base`.

    Raises:
        UserError: naming the line and file where something is wrong.
    """
    path = resolve(path, base)
    csv_path = resolve(labels, path)
    rows = read_csv(csv_path)
    if not rows:
        raise UserError(
            expected=f"labelled images in {csv_path}", found="no rows", next_step="add a row per image"
        )
    for setting, column in (("file_column", file_column), ("label_column", label_column)):
        if column not in rows[0][1]:
            raise UserError(
                expected=f"a column {column!r} in {csv_path}",
                found=", ".join(repr(known) for known in rows[0][1]),
                next_step=f"name the right one with `{setting} = ...`",
            )
    files = [str(PurePosixPath(row[file_column])) for _, row in rows]
    labels_N = np.array([read_label(row[label_column], csv_path, line) for line, row in rows], np.int64)
    what = f"the data set in {path}"
    if classes is not None:
        class_names: Sequence[str] | None = read_classes(resolve(classes, base))[0]
    elif label_space == IMAGENET:
        class_names = imagenet_class_names()  # the column may name only the classes that occur
    else:
        class_names = _names_of_all_classes(rows, labels_N, name_column, num_classes)
    space = label_space_of(what, label_space, num_classes=num_classes, class_names=class_names)
    for (line, _), file, label in zip(rows, files, labels_N.tolist(), strict=True):
        if label >= space.num_classes:
            raise label_out_of_range(label, f"line {line} of {csv_path} ({file})", space)
    files = _as_on_disk(path, files)
    missing = [file for file in files if not _is_file(path / file)]
    if missing:
        raise UserError(
            expected=f"the {len(files)} images listed in {csv_path}",
            found=f"{len(missing)} missing, the first {missing[0]!r}",
            next_step="copy them there, or take their rows out",
        )
    return ImageFiles(name or path.resolve().name, space, path, files, labels_N)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long for a file
        return False


def _as_on_disk(folder: Path, files: list[str]) -> list[str]:
    """The paths, each in the Unicode form that the disk has it in."""
    entries: dict[str, dict[str, str]] = {}

    def found(file: str) -> str:
        place = ""
        for part in PurePosixPath(file).parts:
            if place not in entries:
                there = (folder / place).iterdir() if (folder / place).is_dir() else ()
                entries[place] = {composed(path.name): path.name for path in there}
            place = str(PurePosixPath(place, entries[place].get(composed(part), part)))
        return place

    return [file if file.isascii() or _is_file(folder / file) else found(file) for file in files]


def _names_of_all_classes(
    rows: list[tuple[int, dict[str, str]]],
    labels_N: NDArray[np.int64],
    name_column: str,
    num_classes: int | None,
) -> tuple[str, ...] | None:
    """Class names from the rows, where they name each of `num_classes` classes; otherwise None."""
    if name_column not in rows[0][1] or num_classes is None:
        return None
    names = {label: row[name_column] for (_, row), label in zip(rows, labels_N.tolist(), strict=True)}
    return tuple(names[c] for c in range(num_classes)) if set(names) == set(range(num_classes)) else None
