"""Trees of image files: CORRUPTION/SEVERITY/CLASS/NAME, with or without a level of groups above."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nversion.core import UserError, fingerprint
from nversion.data.classes import composed
from nversion.data.dataset import Dataset
from nversion.data.images import decode_image
from nversion.data.walking import image_files, visible_folders

from .images import StoredImages, check_size
from .layout import folder_of, stem_of

DECODING_THREADS = 4


@dataclass(frozen=True)
class FolderImages(StoredImages):
    """A file for each sample.

    Attributes:
        folder: of the condition: TREE/CORRUPTION/SEVERITY.
        files: from there, in the order of the data set.
    """

    folder: Path
    files: tuple[str, ...]

    def read(self, rows: Sequence[int]) -> NDArray[np.uint8]:
        paths = [self.folder / self.files[row] for row in rows]
        with ThreadPoolExecutor(DECODING_THREADS) as pool:
            images = list(pool.map(decode_image, paths))
        for path, image_HW3 in zip(paths, images, strict=True):
            if image_HW3.shape != images[0].shape:
                check_size(image_HW3.shape[:2], images[0].shape[0], str(path))
        return np.stack(images)

    def where(self) -> str:
        return str(self.folder)

    def fingerprint(self) -> str:
        return fingerprint([[file, (self.folder / file).stat().st_size] for file in self.files])


class _Aligner:
    """Opens conditions of one data set; their files are called alike, so they are searched for once."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.files: tuple[str, ...] = ()

    def open(self, folder: Path) -> FolderImages:
        if not self.files or not all((folder / file).is_file() for file in self.files):
            self.files = align(folder, self.dataset)
        return FolderImages(folder, self.files)


def folders_in(tree: Path, dataset: Dataset) -> dict[str, dict[float, Callable[[], StoredImages]]]:
    """What opens each corruption and severity, severities ascending.

    Raises:
        UserError: there are none, one twice, or a folder of a severity that is no number.
    """
    aligner = _Aligner(dataset)
    return {
        corruption: {severity: partial(aligner.open, folder) for severity, folder in severities.items()}
        for corruption, severities in _found_in(tree).items()
    }


def align(folder: Path, dataset: Dataset) -> tuple[str, ...]:
    """The file under `folder` of each sample: the one of its class folder and name.

    Where all samples lie in one folder, or in none, the name alone identifies the file.

    Raises:
        UserError: files are missing, or a name fits several.
    """
    by_place: dict[str, list[str]] = {}
    by_name: dict[str, list[str]] = {}
    for path in image_files(folder)[0]:
        file = path.relative_to(folder).as_posix()
        by_place.setdefault(composed(f"{folder_of(file)}/{stem_of(file)}"), []).append(file)
        by_name.setdefault(composed(stem_of(file)), []).append(file)
    is_flat = len({folder_of(sample_id) for sample_id in dataset.sample_ids}) == 1
    files, missing = [], []
    for sample_id in dataset.sample_ids:
        fitting = by_place.get(composed(f"{folder_of(sample_id)}/{stem_of(sample_id)}"), [])
        if not fitting and is_flat:
            fitting = by_name.get(composed(stem_of(sample_id)), [])
        if len(fitting) > 1:
            raise UserError(
                expected=f"one file in {folder} for the sample {sample_id!r}",
                found=f"{len(fitting)}: {fitting[0]}, {fitting[1]}",
                next_step="move the others away, or give the data set class folders",
            )
        files += fitting
        if not fitting:
            missing.append(sample_id)
    if missing:
        raise UserError(
            expected=f"an image in {folder} for each of the {len(dataset):,} samples of {dataset.name!r}",
            found=f"{len(missing):,} missing, the first {missing[0]!r}",
            next_step="complete the folder, or name the data set that it was made from: files are found by "
            "class folder and name",
        )
    return tuple(files)


def _subfolders(folder: Path) -> list[Path]:
    return [folder / name for name in visible_folders(folder)]


def _found_in(tree: Path) -> dict[str, dict[float, Path]]:
    """Folder of each corruption and severity, ascending, with or without a level of groups."""
    found: dict[str, dict[float, Path]] = {}
    for folder in _subfolders(tree):
        inner = _subfolders(folder)
        if any(_number(path.name) is not None for path in inner):
            corruptions = [folder]
        else:  # a group such as noise/
            corruptions = [c for c in inner if any(_number(p.name) is not None for p in _subfolders(c))]
        for corruption in corruptions:
            if corruption.name in found:
                raise UserError(
                    expected=f"each corruption once in {tree}",
                    found=f"{corruption.name!r} again in {corruption.parent}",
                    next_step="move one of the two away",
                )
            found[corruption.name] = _severities_in(corruption)
    if not found:
        raise UserError(
            expected=f"folders CORRUPTION/SEVERITY/CLASS, or files CORRUPTION.npy, in {tree}",
            found=", ".join(sorted(p.name for p in tree.iterdir())[:4]) or "an empty folder",
            next_step="name the folder that holds the corruptions",
        )
    return found


def _severities_in(folder: Path) -> dict[float, Path]:
    found: dict[float, Path] = {}
    for path in _subfolders(folder):
        severity = _number(path.name)
        if severity is None or severity in found:
            raise UserError(
                expected=f"folders of severities in {folder}, each a number of its own",
                found=repr(path.name),
                next_step="move it away: images lie in CORRUPTION/SEVERITY/CLASS",
            )
        found[severity] = path
    return dict(sorted(found.items()))


def _number(text: str) -> float | None:
    try:
        return float(text) if text[0].isdigit() else None
    except ValueError:
        return None
