"""Errors of the machine (full disk, limits, permissions) as UserErrors."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from .errors import UserError
from .reasons import reason_of

KEPT = "what is finished is kept, the run resumes"

_OS_ERROR = re.compile(r"\(os error (\d+)\)")  # as Rust's libraries (polars, safetensors) write an errno
_OF_MEMORY = re.compile(
    r"allocate memory|allocat\w+ of size|not enough memory|out of memory|bad_alloc|failed to map segment"
    r"|cannot allocate|start new thread|could not create a (?:memory|primitive)",
    re.IGNORECASE,
)


def machine_error(error: BaseException, place: Path | None = None) -> UserError | None:
    """What a user does about an error that the machine caused; None for any other error.

    Libraries raise these in many types: `OSError` with its errno, `MemoryError`, torch's `RuntimeError`, an
    `ImportError` of the loader, Rust's errors with an errno in their text.

    Args:
        place: the file that was written or read, where the error names another or none.
    """
    if isinstance(error, UserError) or not isinstance(error, Exception):
        return None
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (found := _OS_ERROR.search(str(error))):
        number = int(found[1])
    where = _where(error, place)
    if number in (errno.ENOSPC, errno.EDQUOT) or "PytorchStreamWriter failed" in str(error):
        return UserError(
            expected=f"room on the disk{where and f' of {where}'}",
            found="a full disk",
            next_step=f"free some space and run again: {KEPT}",
        )
    if number == errno.EFBIG:
        return UserError(
            expected=f"to write{where and f' {where}'}",
            found="a limit on the size of files",
            next_step=f"raise it (ulimit -f unlimited) and run again: {KEPT}",
        )
    if number in (errno.EMFILE, errno.ENFILE) or "Too many open files" in str(error):
        return UserError(
            expected=f"to open{where and f' {where}'}",
            found="the limit on open files reached",
            next_step=f"raise it (ulimit -n 1024) and run again: {KEPT}",
        )
    if isinstance(error, MemoryError) or number == errno.ENOMEM or _is_of_memory(error):
        return UserError(
            expected="enough memory",
            found=reason_of(error, with_type=True),
            next_step="close other programs, raise the limit on memory (ulimit -v), or ask for less at once: "
            f"a smaller batch_size, fewer --workers, fewer ensembles; {KEPT}",
        )
    if isinstance(error, UnicodeEncodeError):
        text = error.object[max(0, error.start - 20) : error.end + 20]
        surrogate = "\ud800" <= error.object[error.start] <= "\udfff"
        return UserError(
            expected=f"text that can be written as {error.encoding}",
            found=ascii(text),
            next_step="rename it to a name that is UTF-8"
            if surrogate
            else "set PYTHONUTF8=1 in the environment and run again",
        )
    return _of_path(error, where) if isinstance(error, OSError) and where else None


def _where(error: BaseException, place: Path | None) -> str:
    name = getattr(error, "filename", None) if place is None else place
    if name is None:
        return ""
    text = os.fsdecode(name).encode(errors="backslashreplace").decode()
    return text if len(text) < 400 else f"{text[:80]} ... {text[-80:]}"


def _is_of_memory(error: Exception) -> bool:
    return isinstance(error, RuntimeError | ImportError) and bool(_OF_MEMORY.search(str(error)))


def _of_path(error: OSError, where: str) -> UserError:
    next_step = {
        errno.ENAMETOOLONG: "use a shorter name",
        errno.EROFS: "name a folder on a disk that can be written to",
        errno.EIO: "check the disk or the network, then run again",
    }.get(error.errno or 0, "correct the path or its permissions")
    return UserError(
        expected=f"{where} to be a file or folder that can be used",
        found=repr(error.strerror or str(error)),
        next_step=next_step,
    )
