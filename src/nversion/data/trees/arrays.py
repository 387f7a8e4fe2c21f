"""Trees of arrays: CORRUPTION.npy holds a block of rows for each severity, in the order of the data set."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nversion.core import UserError, fingerprint, fingerprint_file
from nversion.core.reasons import reason_of
from nversion.corruptions import IMAGENET_C_LEVELS, RELEASED_CIFAR_10_C_BAR
from nversion.data.dataset import Dataset, Part
from nversion.data.labels import whole_numbers
from nversion.data.walking import is_hidden

from .images import StoredImages
from .layout import LABELS, samples_fingerprint


@dataclass(frozen=True)
class ArrayImages(StoredImages):
    """A block of rows in an array, mapped into memory while it is read."""

    path: Path
    rows_N: NDArray[np.int64]
    digest: str

    def read(self, rows: Sequence[int]) -> NDArray[np.uint8]:
        # In ascending order of the file by nature: a batch is a run of samples.
        return np.array(open_array(self.path)[self.rows_N[list(rows)]])

    def where(self) -> str:
        return str(self.path)

    def fingerprint(self) -> str:
        return fingerprint([self.digest, self.rows_N])


def arrays_in(
    tree: Path, dataset: Dataset, manifest: Mapping[str, Any] | None
) -> dict[str, dict[float, Callable[[], StoredImages]]]:
    """What opens each corruption and severity, severities ascending.

    Severities are those of the manifest; without one, the released ones of CIFAR-10-C̄, else 1, 2, ….

    Raises:
        UserError: a broken array, or one of another number of images; other samples; other labels.
    """
    num_whole, rows_N = _rows_in_whole(dataset, manifest, tree)
    labels = _labels_in(tree)
    written: dict[str, list[float]] = {}
    for condition in [] if manifest is None else manifest["what"]["conditions"]:
        written.setdefault(condition["corruption"], []).append(condition["severity"])
    digest_of = cache(fingerprint_file)
    found: dict[str, dict[float, Callable[[], StoredImages]]] = {}
    for path in sorted(tree.glob("*.npy")):
        if path.name == LABELS or is_hidden(path.name):
            continue
        num_rows = len(open_array(path))
        num_levels = num_rows // num_whole
        if num_rows != num_levels * num_whole or not num_levels:
            raise UserError(
                expected=f"blocks of {num_whole:,} rows in {path}, the images of the whole data set",
                found=f"{num_rows:,} rows",
                next_step="name the data set that the arrays were made from, whole or by `count`",
            )
        found[path.stem] = {}
        for level, severity in enumerate(_levels(path.stem, num_levels, written.get(path.stem))):
            block_N = level * num_whole + rows_N
            _check_labels(labels, block_N, dataset, tree / LABELS)
            found[path.stem][severity] = partial(_opened, path, block_N, digest_of)
    return found


def _opened(path: Path, rows_N: NDArray[np.int64], digest_of: Callable[[Path], str]) -> ArrayImages:
    return ArrayImages(path, rows_N, digest_of(path))


def _rows_in_whole(
    dataset: Dataset, manifest: Mapping[str, Any] | None, tree: Path
) -> tuple[int, NDArray[np.int64]]:
    """Number of images that a block holds, and the rows of the data set's samples in it."""
    rows_N, whole = np.arange(len(dataset)), dataset
    made_of = None if manifest is None else manifest["what"]["data"]["samples"]
    while isinstance(whole, Part) and samples_fingerprint(whole) != made_of:
        rows_N, whole = whole.indices[rows_N], whole.whole
    if made_of is not None and samples_fingerprint(whole) != made_of:
        raise UserError(
            expected=f"the samples that {tree} was made from, in their order",
            found=f"others in the data set {dataset.name!r}",
            next_step="name that data set, whole or by `count`: arrays hold no names to find samples by",
        )
    return len(whole), rows_N


def _levels(corruption: str, count: int, written: Collection[float] | None) -> Sequence[float]:
    if written is not None:
        return sorted(written)
    released = RELEASED_CIFAR_10_C_BAR.get(corruption, IMAGENET_C_LEVELS)
    return released if len(released) == count else [float(level) for level in range(1, count + 1)]


def _labels_in(tree: Path) -> NDArray[Any]:
    path = tree / LABELS
    try:
        with path.open("rb") as file:
            labels: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        labels = whole_numbers(labels, labels.size, f"{path}", "copy it from the release")
    except Exception as error:  # headers of arrays fail in every type when they are damaged
        raise UserError(
            expected=f"the labels of the arrays in {path}",
            found="no such file" if not path.exists() else reason_of(error),
            next_step="copy it from the release: it is how the order of the images is checked",
        ) from error
    return labels


def _check_labels(labels: NDArray[Any], block_N: NDArray[np.int64], dataset: Dataset, path: Path) -> None:
    if labels.ndim != 1 or len(labels) <= block_N.max():
        raise UserError(
            expected=f"a label for each row of the arrays in {path}",
            found=f"{labels.shape}",
            next_step="copy it from the release",
        )
    differing = np.flatnonzero(labels[block_N] != dataset.labels_N)
    if len(differing):
        row = int(differing[0])
        raise UserError(
            expected=f"the labels of the data set {dataset.name!r} in its order in {path}",
            found=f"{len(differing):,} of {len(block_N):,} that differ, the first {labels[block_N[row]]} "
            f"where {dataset.sample_ids[row]!r} has {dataset.labels_N[row]}",
            next_step="name the data set that the arrays were made from, in its own order",
        )


def open_array(path: Path) -> NDArray[np.uint8]:
    """The images (N, H, W, 3) in a .npy file, mapped and read-only.

    Raises:
        UserError: it is no whole array of such images.
    """
    try:
        # Not np.load: it takes an archive for an array, too.
        array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:
        raise UserError(
            expected=f"a whole array of images in {path}",
            found=reason_of(error),
            next_step="copy or write it again",
        ) from error
    if array.ndim != 4 or array.shape[-1] != 3 or array.dtype != np.uint8:
        raise UserError(
            expected=f"uint8 images (N, H, W, 3) in {path}",
            found=f"{array.dtype} {array.shape}",
            next_step="move the file away if it holds something else",
        )
    return array
