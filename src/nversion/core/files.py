"""Files that are whole or absent: temporary file in the target folder, flush to disk, rename."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import UserError

_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")  # as `whole_file` has mkstemp name them


@contextmanager
def whole_file(path: Path, *, flush: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends without error.

    A reader sees the old file or the new one, never a part. When the block fails the temporary
    file is removed and `path` is as it was.

    Args:
        path: of the file.
        flush: wait until the content is on the disk, so that it outlives a loss of power, too. Where
            a later record tells that the file is whole, waiting for every single one may be left out.

    Raises:
        UserError: the disk is full.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        if flush:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                expected=f"room on the disk of {path.parent}",
                found="a full disk",
                next_step="free some space and run again: what is finished is kept, the run resumes",
            ) from error
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
