"""Files that are whole or absent: temporary file in the target folder, flush to disk, rename."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import UserError
from .machine import machine_error

_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")  # as `whole_file` has mkstemp name them
_PREFIX_BYTES = 200  # of the name: with what mkstemp adds, the longest names stay below a file system's 255


@contextmanager
def whole_file(path: Path, *, flush: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends without error.

    A reader sees the old file or the new one, never a part. When the block fails the temporary
    file is removed and `path` is as it was.

    Args:
        path: of the file.
        flush: wait until the content is on the disk, so that it outlives a loss of power, too. Where
            a later record says that the file is whole, waiting for every single one may be left out.

    Raises:
        UserError: `path` is a folder, a device or a pipe.
        UserError: the machine does not let it: a full disk, a limit on files or memory, no permission.
    """
    temporary = None
    try:
        if path.exists() and not path.is_file():
            raise UserError(
                expected=f"{path} to be a file, or not to exist",
                found="a folder" if path.is_dir() else "a device or a pipe, which a file would replace",
                next_step="give another path",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        start = os.fsencode(path.name)[:_PREFIX_BYTES].decode("ascii", "replace").replace("\ufffd", "_")
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{start}.", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        if flush:
            descriptor = os.open(temporary, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        temporary.chmod(0o644)
        temporary.replace(path)
    except Exception as error:  # Rust's and torch's writers have types of their own for a full disk
        named = getattr(error, "filename", None)
        own = named is None or Path(os.fsdecode(named)).parent == path.parent  # the temporary file's
        if (reason := machine_error(error, path if own else None)) is not None:
            raise reason from error
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes, *, flush: bool = True) -> None:
    """Write `content` to `path`, whole or not at all; `flush` as for `whole_file`."""
    with whole_file(path, flush=flush) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` as UTF-8, whole or not at all."""
    write_bytes(path, content.encode())


def remove_leftovers(folder: Path) -> list[Path]:
    """Remove what killed writers left anywhere under `folder`: temporary files of `whole_file`.

    For the holder of the folder's lock only: the temporary file of a live writer looks the same.
    Links to other folders are not followed.

    Returns:
        The removed files.
    """
    found = [
        Path(place) / name
        for place, _, names in os.walk(folder)
        for name in names
        if _TEMPORARY.fullmatch(name)
    ]
    for path in found:
        path.unlink()
    return found
