"""Data sets: labelled images with stable ids, decoded one at a time, and a content fingerprint."""

from __future__ import annotations

import copy
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nversion.core import LabelSpace, Registry, UserError, extras_named, fingerprint, generator
from nversion.core.settings import call_with_settings, resolve

from .accepted import read_accepted
from .images import DECODING, MAX_PIXELS, UnreadableImageError


class Dataset(ABC):
    """Labelled images; index, id, label and image belong together.

    Decoding keeps no state: it may run in several threads and, the data set being picklable, in
    several processes.

    Args:
        name: how conditions and tables call it.
        label_space: what the labels mean.
        sample_ids: one per image, unique; with the corruption, severity and seed they determine
            the corrupted image.
        labels_N: 0-based labels in the label space.

    Attributes:
        accepted: by row, further labels that count as right, ascending; empty unless `accepting` gave some.
        max_pixels: of the largest image that is decoded; a larger one is unreadable.
        hidden: files that are no samples because systems and editors hide them (see `walking`).

    Raises:
        UserError: no samples, an id twice or not UTF-8, or a label outside the label space.
    """

    name: str
    label_space: LabelSpace
    sample_ids: tuple[str, ...]
    labels_N: NDArray[np.int64]
    accepted: Mapping[int, tuple[int, ...]]
    max_pixels: int
    hidden: int

    def __init__(
        self, name: str, label_space: LabelSpace, sample_ids: Sequence[str], labels_N: NDArray[np.int64]
    ) -> None:
        check_name(name)
        if len(sample_ids) == 0:
            raise UserError(
                expected=f"at least one image in the data set {name!r}",
                found="none",
                next_step="check its path and labels",
            )
        if len(sample_ids) != len(labels_N):
            raise UserError(
                expected=f"one label per image of the data set {name!r}",
                found=f"{len(sample_ids)} images and {len(labels_N)} labels",
                next_step="give both in the same order and number",
            )
        check_ids(name, sample_ids)
        sample_id, count = Counter(sample_ids).most_common(1)[0]
        if count > 1:
            raise UserError(
                expected=f"each sample id of the data set {name!r} once",
                found=f"{sample_id!r} {count} times",
                next_step="remove the repeated samples",
            )
        wrong = np.flatnonzero((labels_N < 0) | (labels_N >= label_space.num_classes))
        if len(wrong):
            raise label_out_of_range(
                int(labels_N[wrong[0]]), f"the sample {sample_ids[wrong[0]]!r} of {name!r}", label_space
            )
        self.name = name
        self.label_space = label_space
        self.sample_ids = tuple(sample_ids)
        self.labels_N = np.array(labels_N, dtype=np.int64)
        self.labels_N.setflags(write=False)
        self.accepted = {}
        self.max_pixels = MAX_PIXELS
        self.hidden = 0

    def __len__(self) -> int:
        return len(self.sample_ids)

    def __repr__(self) -> str:
        hidden = f", {self.hidden} hidden files left out" if self.hidden else ""
        return f"{type(self).__name__}({self.name!r}, {len(self)} images, {self.label_space}{hidden})"

    @abstractmethod
    def decode(self, index: int) -> NDArray[np.uint8]:
        """The image as (H, W, 3) RGB.

        Raises:
            UnreadableImageError: the image cannot be read whole; the error names the file.
        """

    @abstractmethod
    def content(self, index: int) -> str:
        """The fingerprint of what `decode` reads: of the file's bytes, or of the pixels.

        Raises:
            UnreadableImageError: there is nothing to read.
        """

    @cached_property
    def fingerprint(self) -> str:
        """Of ids, labels, label space and content, and of further accepted labels where there are any.

        Reads every image file once, on first use.

        An image without content counts as such: whether it stops a run or is left out is decided
        where images are decoded.
        """
        return fingerprint(
            {
                "decoding": DECODING,
                "label_space": [self.label_space.name, self.label_space.num_classes],
                "sample_ids": list(self.sample_ids),
                "labels": self.labels_N,
                "content": [self._content_or_mark(index) for index in range(len(self))],
            }
            | (
                {"accepted": [[row, list(self.accepted[row])] for row in self.accepted]}
                if self.accepted
                else {}
            )
            | ({} if self.max_pixels == MAX_PIXELS else {"max_pixels": self.max_pixels})
        )

    def _content_or_mark(self, index: int) -> str:
        try:
            return self.content(index)
        except UnreadableImageError:
            return "unreadable"

    def accepting(self, labels: Mapping[int, Sequence[int]]) -> Dataset:
        """The same images, some of which have further labels that count as right.

        A sample's own label always counts and need not be repeated.

        Args:
            labels: further labels by row.

        Raises:
            UserError: a row or label that does not exist.
        """
        num_classes = self.label_space.num_classes
        for row, further in labels.items():
            if not 0 <= row < len(self):
                raise UserError(
                    expected=f"rows 0 to {len(self) - 1} of the data set {self.name!r}",
                    found=f"row {row}",
                    next_step="give the accepted labels by the index of the sample",
                )
            if wrong := [label for label in further if not 0 <= label < num_classes]:
                where = f"the accepted labels of {self.sample_ids[row]!r}"
                raise label_out_of_range(wrong[0], where, self.label_space)
        others = {row: tuple(sorted({*labels[row]} - {int(self.labels_N[row])})) for row in sorted(labels)}
        dataset = copy.copy(self)
        dataset.__dict__.pop("fingerprint", None)  # the one of the labels as they were
        dataset.accepted = {row: further for row, further in others.items() if further}
        return dataset

    def subset(self, count: int, seed: int = 0) -> Dataset:
        """A seeded part without replacement, in the order of the whole; its name states it.

        All images in the part: the data set itself.

        Raises:
            UserError: `count` is not in 1 to N.
        """
        if not 1 <= count <= len(self):
            raise UserError(
                expected=f"a count of 1 to {len(self)} images of the data set {self.name!r}",
                found=str(count),
                next_step="lower the count, or leave it out to take all",
            )
        if count == len(self):
            return self
        indices = np.sort(generator("subset", seed).choice(len(self), count, replace=False))
        return Part(self, indices, f"{self.name}[{count} of {len(self)}, seed {seed}]")


class Part(Dataset):
    """Some samples of another data set."""

    def __init__(self, whole: Dataset, indices: NDArray[np.int64], name: str) -> None:
        super().__init__(
            name, whole.label_space, [whole.sample_ids[i] for i in indices], whole.labels_N[indices]
        )
        self.whole = whole
        self.max_pixels = whole.max_pixels
        self.hidden = whole.hidden
        self.indices = indices
        self.accepted = {
            row: whole.accepted[index]
            for row, index in enumerate(indices.tolist())
            if index in whole.accepted
        }

    def decode(self, index: int) -> NDArray[np.uint8]:
        return self.whole.decode(int(self.indices[index]))

    def content(self, index: int) -> str:
        return self.whole.content(int(self.indices[index]))


# A source takes its settings as annotated keyword-only parameters, which is how they are checked,
# and `base`, the folder from which relative paths start.
DATASET_SOURCES: Registry[Callable[..., Dataset]] = Registry("data set source", "nversion.data")


def open_dataset(spec: Mapping[str, Any], base: Path | None = None) -> Dataset:
    """Open the data set that a table of settings describes.

    Args:
        spec: `source` (a name in DATASET_SOURCES) and the settings of that source; optionally
            `accepted`, a CSV file of further labels that count as right (see `read_accepted`),
            `count` and `seed` for a seeded part, and `max_pixels`, the height times width of the largest
            image that is decoded.
        base: the folder from which relative paths start: the study file's; the working folder if None.

    Raises:
        UserError: settings, labels or files that cannot be used; each is named.

    >>> digits = open_dataset({"source": "digits", "split": "test", "count": 100})
    >>> digits.name, len(digits), digits.decode(0).shape
    ('digits-test[100 of 901, seed 0]', 100, (32, 32, 3))
    """
    settings = dict(spec)
    name = settings.pop("source", None)
    if not isinstance(name, str):
        raise UserError(
            expected="the setting 'source' of a data set",
            found="none" if name is None else repr(name),
            next_step=f"add `source = ...`, one of {', '.join(DATASET_SOURCES)}",
        )
    common: dict[str, Any] = {key: settings.pop(key) for key in _COMMON if key in settings}
    what = f"the data set {settings['name']!r} ({name})" if "name" in settings else f"a data set ({name})"
    base = base or Path()
    with extras_named():
        dataset = call_with_settings(DATASET_SOURCES[name], settings, what, base=base)
    return call_with_settings(_finished, common, what, dataset=dataset, base=base)


MOST_NAME_BYTES = 200  # a folder's name may have 255, and a part of a data set says so in its name
_COMMON = ("accepted", "count", "max_pixels", "seed")  # settings of every source


def _finished(
    *,
    dataset: Dataset,
    base: Path,
    accepted: Path | None = None,
    count: int | None = None,
    max_pixels: int = MAX_PIXELS,
    seed: int = 0,
) -> Dataset:
    if max_pixels < 1:
        raise UserError(
            expected=f"a `max_pixels` of 1 or more of the data set {dataset.name!r}",
            found=str(max_pixels),
            next_step=f"leave it out: {MAX_PIXELS:,} pixels are decoded then",
        )
    dataset.max_pixels = max_pixels
    if accepted is not None:
        path = resolve(accepted, base)
        dataset = dataset.accepting(read_accepted(path, dataset.sample_ids, dataset.label_space))
    return dataset if count is None else dataset.subset(count, seed)


def check_name(name: str) -> None:
    """Names of data sets stand in names of conditions ("name/corruption-severity"), which are folders.

    Raises:
        UserError: the name is empty, contains a slash or a control character, or no folder can have it.
    """
    if not name.strip() or "/" in name or "\\" in name:
        raise UserError(
            expected="a data set name without slashes", found=repr(name), next_step="choose another `name`"
        )
    unwritable = any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in name)
    if unwritable or name in (".", "..") or len(name.encode()) > MOST_NAME_BYTES:
        raise UserError(
            expected="a data set name that is UTF-8 without control characters, of at most "
            f"{MOST_NAME_BYTES} bytes, and not . or ..",
            found=ascii(name) if len(name) < 80 else f"{name[:60]!a} ...",
            next_step="choose another `name`",
        )


def check_ids(name: str, sample_ids: Sequence[str]) -> None:
    """Ids of samples stand in tables, manifests and reports, which are UTF-8.

    Raises:
        UserError: an id is not UTF-8: it has the name of a file that is not.
    """
    for sample_id in sample_ids:
        if not sample_id.isascii() and any("\ud800" <= one <= "\udfff" for one in sample_id):
            raise UserError(
                expected=f"names in UTF-8 for all images of the data set {name!r}",
                found=ascii(sample_id),
                next_step="rename that file or folder (convmv renames whole trees)",
            )


def label_out_of_range(label: int, where: str, label_space: LabelSpace) -> UserError:
    """The error for a label that the label space does not have."""
    return UserError(
        expected=f"labels 0 to {label_space.num_classes - 1} of the label space {label_space.name!r}",
        found=f"label {label} in {where}",
        next_step="correct the label (they are 0-based), or name the label space it belongs to",
    )
