"""One run at a time on one folder; the lock goes with the process that held it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import UserError


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Hold `folder/.lock` during the block.

    Raises:
        UserError: another live process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(
            expected=f"{folder} for this run alone",
            found="another run that is writing to it",
            next_step="wait until that one ends, or give this one another folder",
        ) from error
    try:
        yield
    finally:
        lock.release()
