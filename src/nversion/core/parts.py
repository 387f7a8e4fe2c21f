"""An array on disk that grows in parts, survives being killed, and knows when it was tampered with.

A folder holds `manifest.json` (what the array is), one file for each finished part, and, once every
part is there, `array.npy` in their place. A part's file name carries the digest of its content, its
index and the array it belongs to, so a part is right or recognisably wrong (altered, swapped, copied
from elsewhere) without any index that could fall out of step with it.
"""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import UserError
from .files import whole_file, write_bytes
from .fingerprint import fingerprint, fingerprint_file
from .sealed import move_aside, read_record, write_record

GUARD_TOLERANCE = 1e-4
"""Largest difference of two guards of the same array, as a share of the largest number of each row."""

_KEYS = {"what", "made_with", "guard", "complete"}  # of a manifest
_PART = re.compile(r"part-(\d{6})-(\d+)-([0-9a-f]{32})\.npy")


def finished_array(folder: Path) -> NDArray[Any] | None:
    """The finished array in a folder, memory-mapped and read-only; it holds at least one number.

    None where there is none that matches its manifest. Nothing is set aside: this only looks.
    """
    try:
        manifest = read_record(folder / "manifest.json")
    except UserError:
        return None
    complete = manifest.get("complete") if manifest else None
    path = folder / "array.npy"
    if not isinstance(complete, dict) or not path.is_file():
        return None
    if fingerprint_file(path) != complete.get("digest"):
        return None
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


@dataclass
class PartedArray:
    """Rows of one shape and dtype, written part by part in any order.

    Attributes:
        folder: where it lives; created with the first part.
        what: plain data that says what the rows are; another content is another array.
        made_with: what the bytes also depend on (device, versions). An unfinished array made with
            something else is started again, so that a finished one is always of one make.
        bounds: start and stop row of each part, in order, without gaps; a part may be empty.
        row_shape, dtype: of one row.
        guard: rows of numbers that the rows also depend on, as they were measured, so that rounding may move
            them by `GUARD_TOLERANCE`. What is there under another guard is set aside.
        set_aside: names of files that did not match their manifest and were moved away.
    """

    folder: Path
    what: Mapping[str, Any]
    made_with: Mapping[str, Any]
    bounds: Sequence[tuple[int, int]]
    row_shape: tuple[int, ...]
    dtype: str
    guard: Sequence[Sequence[float]] = ()
    set_aside: list[str] = field(default_factory=list)
    _parts: dict[int, tuple[Path, int]] = field(default_factory=dict)
    _complete: bool = False
    _opened: bool = False
    _of_another_make: bool = False

    @property
    def num_rows(self) -> int:
        return self.bounds[-1][1] if self.bounds else 0

    @property
    def num_bytes(self) -> int:
        """Bytes of the finished array, header aside."""
        return self.num_rows * int(np.prod(self.row_shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize

    def open(self) -> PartedArray:
        """Look at the folder: accept what matches, set aside what does not. Returns self."""
        self._parts, self._complete, self._opened, self._of_another_make = {}, False, True, False
        if not self.folder.is_dir() or all(path.suffix == ".tmp" for path in self.folder.iterdir()):
            return self  # nothing there, or a start that was killed before it promised anything
        manifest = self._read_manifest()
        if manifest is None or manifest["what"] != self.what or not self._same_guard(manifest["guard"]):
            self._move_aside(self.folder)
            return self
        if manifest["complete"] is not None:
            if self._array_matches(manifest["complete"]):
                self._complete = True
                for leftover in self.folder.glob("part-*.npy"):
                    leftover.unlink()
            else:
                self._move_aside(self.folder)
        elif manifest["made_with"] != dict(self.made_with):
            self._of_another_make = True  # gone with the first part that is written: looking deletes nothing
        else:
            self._find_parts()
        return self

    def missing(self) -> list[int]:
        """Indices of the parts still to be written, in order."""
        return [part for part in range(len(self.bounds)) if self.lacks(part)]

    def lacks(self, part: int) -> bool:
        """Whether this part is still to be written; one without rows never is."""
        assert self._opened, "open() comes first"
        start, stop = self.bounds[part]
        return stop > start and not self._complete and part not in self._parts

    def write(self, part: int, rows: NDArray[Any], note: int = 0) -> None:
        """Write one part, whole or not at all.

        Args:
            part: its index.
            rows: of the shape (stop − start, *row_shape).
            note: a count that belongs to the part; the finished manifest holds the sum.
        """
        start, stop = self.bounds[part]
        assert rows.shape == (stop - start, *self.row_shape), f"{rows.shape} for {stop - start} rows"
        assert rows.dtype == np.dtype(self.dtype)
        if self._of_another_make:
            shutil.rmtree(self.folder)
            self._of_another_make = False
        if not (self.folder / "manifest.json").exists():
            self._write_manifest(None)
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(rows), allow_pickle=False)
        content = buffer.getvalue()
        path = self.folder / f"part-{part:06d}-{note}-{self._digest(part, note, content)}.npy"
        write_bytes(path, content)
        self._parts[part] = (path, note)

    def finish(self) -> None:
        """Join the parts into `array.npy`; nothing to do when that is done or parts are missing.

        Each part is verified again as it joins. The parts are removed last, so that a kill at any
        moment loses nothing.

        Raises:
            UserError: a part was altered since it was written or opened. It is set aside and missing
                again; the others are kept.
        """
        if self._complete or self.missing():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.folder / "array.npy"
        with whole_file(target) as temporary, temporary.open("wb") as file:
            header = {
                "descr": np.lib.format.dtype_to_descr(np.dtype(self.dtype)),
                "fortran_order": False,
                "shape": (self.num_rows, *self.row_shape),
            }
            np.lib.format.write_array_header_1_0(file, header)
            for part in sorted(self._parts):
                file.write(np.load(io.BytesIO(self._verified(part)), allow_pickle=False).tobytes())
        note = sum(note for _, note in self._parts.values())
        self._write_manifest({"digest": fingerprint_file(target), "note": note})
        self._complete = True
        for path, _ in self._parts.values():
            path.unlink()
        self._parts = {}

    @property
    def complete(self) -> bool:
        return self._complete

    @property
    def note(self) -> int:
        """Sum of the parts' notes of a finished array."""
        manifest = self._read_manifest()
        assert manifest is not None, f"no manifest in {self.folder}"
        assert manifest["complete"] is not None, f"{self.folder} is not finished"
        return int(manifest["complete"]["note"])

    def read(self) -> NDArray[Any]:
        """The finished array, memory-mapped and read-only."""
        assert self._complete, f"{self.folder} is not finished"
        if self.num_bytes == 0:
            return np.zeros((self.num_rows, *self.row_shape), self.dtype)
        array: NDArray[Any] = np.load(self.folder / "array.npy", mmap_mode="r", allow_pickle=False)
        return array

    def _read_manifest(self) -> dict[str, Any] | None:
        try:
            manifest = read_record(self.folder / "manifest.json")
        except (OSError, UserError):
            return None
        return manifest if manifest and manifest.keys() == _KEYS else None

    def _write_manifest(self, complete: dict[str, Any] | None) -> None:
        content: dict[str, Any] = {"what": dict(self.what), "made_with": dict(self.made_with)}
        content |= {"guard": [list(row) for row in self.guard], "complete": complete}
        write_record(self.folder / "manifest.json", content)

    def _same_guard(self, stored: Any) -> bool:
        if not isinstance(stored, list) or [len(row) for row in stored] != [len(row) for row in self.guard]:
            return False
        return all(
            np.allclose(theirs, ours, rtol=0, atol=GUARD_TOLERANCE * max(map(abs, ours), default=0))
            for theirs, ours in zip(stored, self.guard, strict=True)
        )

    def _array_matches(self, complete: Mapping[str, Any]) -> bool:
        path = self.folder / "array.npy"
        return path.is_file() and fingerprint_file(path) == complete.get("digest")

    def _digest(self, part: int, note: int, content: bytes) -> str:
        return fingerprint([fingerprint(self.what), part, note, content])

    def _is_right(self, path: Path, content: bytes) -> bool:
        match = _PART.fullmatch(path.name)
        return match is not None and self._digest(int(match[1]), int(match[2]), content) == match[3]

    def _verified(self, part: int) -> bytes:
        """The file of a part; one that does not match its name any more is set aside, and the run ends."""
        path, _ = self._parts[part]
        content = path.read_bytes() if path.is_file() else b""
        if self._is_right(path, content):
            return content
        del self._parts[part]
        found = "no such file"
        if path.is_file():
            self._move_aside(path)
            found = f"other bytes, set aside as {self.set_aside[-1]}"
        raise UserError(
            expected=f"the part that this run wrote or accepted in {path}",
            found=found,
            next_step="run again: only that part is computed again; see what else writes to the folder",
        )

    def _find_parts(self) -> None:
        for path in sorted(self.folder.glob("part-*.npy")):
            match = _PART.fullmatch(path.name)
            if match is None or not self._is_right(path, path.read_bytes()):
                self._move_aside(path)
            else:
                self._parts[int(match[1])] = (path, int(match[2]))
        for temporary in self.folder.glob(".*.tmp"):
            temporary.unlink()  # what a killed writer left; only the holder of the lock gets here

    def _move_aside(self, path: Path) -> None:
        self.set_aside.append(str(move_aside(path)))
