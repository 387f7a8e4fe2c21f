"""The files of a tree: what the tree is, which of its chunks are there, and how one is written.

A chunk (some samples under one condition) counts as written once a record of it lies in `TREE/.unfinished`;
a record that does not fit what is there is void.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, features

import nversion
from nversion.core import (
    UserError,
    chunk_length,
    fingerprint,
    spans,
    whole_file,
    write_bytes,
    write_record,
    write_text,
)
from nversion.core.machine import machine_error
from nversion.data.canonical import Canonical
from nversion.data.conditions import Condition
from nversion.data.dataset import Dataset

from .layout import (
    ARRAYS,
    LABELS,
    MANIFEST,
    WORK,
    check_layout,
    image_places,
    read_manifest,
    samples_fingerprint,
    severity_folder,
)

CHUNK_BYTES = 8 << 20  # of canonical images: 55 of 224 pixels
CHUNK_IMAGES = 256
DISK_BLOCK = 4096  # a file takes whole blocks


@dataclass(frozen=True)
class Tree:
    """What is to be written where.

    Args:
        folder: of the tree.
        dataset: whose images.
        canonical: the square image that is corrupted; it gives the size of what is written.
        conditions: of this data set, all corrupted.
        layout: "imagenet-c", "png" or "cifar-c"; see `nversion.data.trees`.
        quality: of JPEG, 1 to 100; for "imagenet-c" alone.

    Raises:
        UserError: an unknown layout, a quality out of range, or no corruption.
    """

    folder: Path
    dataset: Dataset
    canonical: Canonical
    conditions: tuple[Condition, ...]
    layout: str = "imagenet-c"
    quality: int = 85

    def __post_init__(self) -> None:
        check_layout(self.layout)
        if not 1 <= self.quality <= 100:
            raise UserError(
                expected="a JPEG quality from 1 to 100",
                found=str(self.quality),
                next_step="85 is what the published sets have",
            )
        if not self.conditions:
            raise UserError(
                expected="at least one corruption to write",
                found="none",
                next_step="name some under [conditions.corruptions], or a set: "
                'sets = ["imagenet-c"] under [conditions]',
            )

    @property
    def chunk(self) -> int:
        """Samples in a chunk; a function of the image size alone, so that a resumed run has the same."""
        return chunk_length(3 * self.canonical.size**2, CHUNK_BYTES, at_most=CHUNK_IMAGES)

    @property
    def manifest(self) -> dict[str, Any]:
        """`what` makes another tree; `made_with` makes other bytes of the same tree."""
        what: dict[str, Any] = {
            "data": {
                "fingerprint": self.dataset.fingerprint,
                "samples": samples_fingerprint(self.dataset),
                "num_images": len(self.dataset),
                "label_space": self.dataset.label_space.name,
            },
            "canonical": dict(vars(self.canonical)),
            "layout": self.layout,
            "conditions": [condition.description() for condition in self.conditions],
        }
        if self.layout == "imagenet-c":
            what["quality"] = self.quality
        made_with = {"nversion": nversion.__version__}
        made_with |= {package: version(package) for package in ("pillow", "numpy", "torch")}
        for library in ("libjpeg_turbo", "jpg", "zlib"):
            made_with[library] = str(features.version(library))
        return {"name": self.dataset.name, "what": what, "made_with": made_with}


class Writer(ABC):
    """One tree's files: which chunks are there, and how one is written."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.work = tree.folder / WORK

    @cached_property
    def complete(self) -> bool:
        """Whether an earlier run wrote all of this very tree.

        Raises:
            UserError: the folder holds something else.
        """
        folder, asked = self.tree.folder, self.tree.manifest
        manifest = read_manifest(folder)
        if manifest is None:
            others = [p.name for p in folder.iterdir() if p.name != WORK] if folder.is_dir() else []
            if others or (folder.exists() and not folder.is_dir()):
                raise UserError(
                    expected="a new folder, or a tree that this command wrote",
                    found=f"{folder}, which holds {others[0]!r} and no {MANIFEST}"
                    if others
                    else f"{folder}, a file",
                    next_step="name another --out",
                )
            return False
        done = bool(manifest["complete"])
        for part in ("what",) if done else ("what", "made_with"):
            if differing := _first_difference(manifest[part], asked[part]):
                key, found, wanted = differing
                raise UserError(
                    expected=f"a new folder, or the tree of these settings, in {folder}",
                    found=f"one with {key} = {found} where {wanted} is asked for",
                    next_step="name another --out, or remove that tree",
                )
        return done

    def start(self) -> None:
        """Lay out what the workers need."""
        self.tree.folder.mkdir(parents=True, exist_ok=True)
        if not (self.tree.folder / MANIFEST).exists():
            self._write_manifest(complete=False)

    def finish(self) -> None:
        """Every chunk is there: drop the records and say so in the manifest."""
        self._write_manifest(complete=True)
        shutil.rmtree(self.work)

    def missing(self) -> dict[tuple[int, int], list[Condition]]:
        """For each span of samples the conditions under which it is still to be written."""
        if self.complete:
            return {}
        found = {}
        for span in spans(len(self.tree.dataset), self.tree.chunk):
            if lacking := [c for c in self.tree.conditions if not self._holds(c, *span)]:
                found[span] = lacking
        return found

    def write(self, condition: Condition, start: int, stop: int, images_n3HW: torch.Tensor) -> None:
        """Write samples `start` to `stop` under a condition, then the record that they are there."""
        record = self.put(condition, start, channels_last(images_n3HW))
        write_text(self._record(condition, start, stop), json.dumps(record))

    @abstractmethod
    def put(self, condition: Condition, start: int, images_nHW3: NDArray[np.uint8]) -> Any:
        """Write a chunk; plain data by which `matches` will know it again."""

    @abstractmethod
    def matches(self, condition: Condition, start: int, stop: int, record: Any) -> bool:
        """Whether the files on disk match the record."""

    @abstractmethod
    def disk_bytes(self, images_nHW3: NDArray[np.uint8]) -> float:
        """Mean disk that one of these images takes."""

    def _holds(self, condition: Condition, start: int, stop: int) -> bool:
        try:
            record = json.loads(self._record(condition, start, stop).read_text())
        except (OSError, ValueError):
            return False
        return self.matches(condition, start, stop, record)

    def _record(self, condition: Condition, start: int, stop: int) -> Path:
        return self.work / condition.name.partition("/")[2] / f"{start:07d}-{stop:07d}.json"

    def _write_manifest(self, complete: bool) -> None:
        write_record(self.tree.folder / MANIFEST, self.tree.manifest | {"complete": complete})


class ImageWriter(Writer):
    """A file for each image. A chunk's record holds the sizes of its files."""

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree)
        self.places = image_places(tree.dataset, tree.layout)

    def put(self, condition: Condition, start: int, images_nHW3: NDArray[np.uint8]) -> list[int]:
        sizes = []
        for row, image_HW3 in enumerate(images_nHW3, start):
            content = self.encode(image_HW3)
            # Not flushed one by one: a file that a loss of power cuts short is not of the recorded size.
            write_bytes(self._path(condition, row), content, flush=False)
            sizes.append(len(content))
        return sizes

    def matches(self, condition: Condition, start: int, stop: int, record: Any) -> bool:
        if not isinstance(record, list) or len(record) != stop - start:
            return False
        paths = [self._path(condition, row) for row in range(start, stop)]
        return all(p.is_file() and p.stat().st_size == size for p, size in zip(paths, record, strict=True))

    def encode(self, image_HW3: NDArray[np.uint8]) -> bytes:
        """The bytes of the image's file: JPEG as the published sets have it, or PNG."""
        buffer = BytesIO()
        image = Image.fromarray(image_HW3)
        if self.tree.layout == "png":
            image.save(buffer, "PNG")
        else:
            # The published sets have optimize=True: files smaller by 3 %, of the same pixels. Pillow gives
            # its encoder one byte a pixel then, which noise at high quality does not fit.
            image.save(buffer, "JPEG", quality=self.tree.quality)
        return buffer.getvalue()

    def disk_bytes(self, images_nHW3: NDArray[np.uint8]) -> float:
        sizes = np.array([len(self.encode(image_HW3)) for image_HW3 in images_nHW3])
        return float((np.ceil(sizes / DISK_BLOCK) * DISK_BLOCK).mean())

    def _path(self, condition: Condition, row: int) -> Path:
        assert condition.corruption is not None
        assert condition.severity is not None
        severity = severity_folder(condition.corruption, condition.severity)
        return self.tree.folder / condition.corruption / severity / self.places[row]


class ArrayWriter(Writer):
    """One array for each corruption. A chunk's record holds the digest of its rows."""

    @cached_property
    def levels(self) -> dict[str, list[float]]:
        """The severities of each corruption, ascending: the order of its blocks."""
        found: dict[str, list[float]] = {}
        for condition in self.tree.conditions:
            assert condition.corruption is not None
            assert condition.severity is not None
            found.setdefault(condition.corruption, []).append(condition.severity)
        return {corruption: sorted(severities) for corruption, severities in found.items()}

    def start(self) -> None:
        super().start()
        self.work.mkdir(exist_ok=True)
        for corruption in self.levels:
            if _opened(self._path(corruption), self._shape(corruption)) is None:
                self._lay_out(self._path(corruption), self._shape(corruption))

    def _lay_out(self, path: Path, shape: tuple[int, ...]) -> None:
        """An array of zeros, whose disk is taken at once where the system can: a full disk is met here."""
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            file.flush()
            stop = file.tell() + math.prod(shape)
            os.truncate(file.fileno(), stop)
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, stop)

    def finish(self) -> None:
        for corruption in self.levels:
            path = self._path(corruption)
            if path.parent == self.work:
                with whole_file(self.tree.folder / path.name) as temporary:
                    path.replace(temporary)
        most = max(map(len, self.levels.values()))
        buffer = BytesIO()
        np.save(buffer, np.tile(self.tree.dataset.labels_N, most), allow_pickle=False)
        write_bytes(self.tree.folder / LABELS, buffer.getvalue())
        super().finish()

    def put(self, condition: Condition, start: int, images_nHW3: NDArray[np.uint8]) -> str:
        path, first = self._place(condition)
        array = _opened(path, self._shape(path.stem))
        assert array is not None, "start() comes first"
        try:
            # Through the file, not the mapped rows: to write those to a full disk is a bus error.
            with path.open("r+b") as file:
                file.seek(array.offset + (first + start) * array[0].nbytes)
                file.write(images_nHW3.data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise machine_error(error, path) or error from error
        return fingerprint(images_nHW3)

    def matches(self, condition: Condition, start: int, stop: int, record: Any) -> bool:
        path, first = self._place(condition)
        array = _opened(path, self._shape(path.stem))
        return array is not None and fingerprint(np.asarray(array[first + start : first + stop])) == record

    def disk_bytes(self, images_nHW3: NDArray[np.uint8]) -> float:
        return float(images_nHW3[0].nbytes)

    def _path(self, corruption: str) -> Path:
        """Where the array is now: with the records until all of it is there."""
        final = self.tree.folder / f"{corruption}.npy"
        return final if final.is_file() else self.work / final.name

    def _shape(self, corruption: str) -> tuple[int, ...]:
        side = self.tree.canonical.size
        return len(self.levels[corruption]) * len(self.tree.dataset), side, side, 3

    def _place(self, condition: Condition) -> tuple[Path, int]:
        """The array that holds a condition, and the first row of its block."""
        assert condition.corruption is not None
        assert condition.severity is not None
        block = self.levels[condition.corruption].index(condition.severity)
        return self._path(condition.corruption), block * len(self.tree.dataset)


def _opened(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, Any] | None:
    """The array in a file, mapped; None where it is not one of this shape, whole."""
    try:
        array = np.lib.format.open_memmap(path, "r")
    except Exception:  # headers of arrays fail in every type when they are damaged
        return None
    return array if array.shape == shape and array.dtype == np.uint8 else None


def channels_last(images_n3HW: torch.Tensor) -> NDArray[np.uint8]:
    images_nHW3: NDArray[np.uint8] = images_n3HW.permute(0, 2, 3, 1).contiguous().numpy()
    return images_nHW3


def writer_of(tree: Tree) -> Writer:
    """The writer of the tree's layout."""
    return ArrayWriter(tree) if tree.layout == ARRAYS else ImageWriter(tree)


def _first_difference(found: Any, asked: Any, key: str = "") -> tuple[str, str, str] | None:
    """Where two pieces of plain data first differ: the dotted key, and both values as text."""
    if isinstance(found, dict) and isinstance(asked, dict):
        for name in {**asked, **found}:
            inner = f"{key}.{name}" if key else str(name)
            if difference := _first_difference(found.get(name), asked.get(name), inner):
                return difference
        return None
    if isinstance(found, list) and isinstance(asked, list) and len(found) == len(asked):
        for place, pair in enumerate(zip(found, asked, strict=True), 1):
            if difference := _first_difference(*pair, f"{key}[{place}]"):
                return difference
        return None
    if found == asked:
        return None
    if isinstance(found, list) and isinstance(asked, list):
        return f"the number of {key}", str(len(found)), str(len(asked))
    return key, json.dumps(found, ensure_ascii=False), json.dumps(asked, ensure_ascii=False)
