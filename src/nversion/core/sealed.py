"""Files that know whether they are what was written: a digest is checked before the content is parsed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import UserError
from .files import whole_file, write_bytes, write_text
from .fingerprint import fingerprint

_MARK = b"nversion"
_DIGEST_BYTES = 16


def write_sealed(path: Path, content: bytes | memoryview, *, flush: bool = True) -> None:
    """Write `content`, its digest and a mark to `path`, whole or not at all; `flush` as for `whole_file`."""
    with whole_file(path, flush=flush) as temporary, temporary.open("wb") as file:
        file.write(content)  # not joined with the rest: checkpoints are large
        file.write(_digest(content) + _MARK)


def read_sealed(path: Path, set_aside: list[str] | None = None, *, next_step: str = "") -> bytes | None:
    """The content of a file of `write_sealed`; None where there is none.

    Args:
        path: of the file.
        set_aside: if given, a file that does not match its digest is moved away, its new name is added
            to this list, and the result is None, as if there were no file.
        next_step: of the error, where a damaged file is not set aside.

    Raises:
        UserError: the file does not match its digest, and `set_aside` is None.
    """
    if not path.is_file():
        return None
    content = path.read_bytes()
    length = len(content) - _DIGEST_BYTES - len(_MARK)
    if length >= 0 and content[length:] == _digest(memoryview(content)[:length]) + _MARK:
        return content[:length]
    _refuse(path, set_aside, next_step)
    return None


def write_record(path: Path, content: Mapping[str, Any], *, sort_keys: bool = True) -> None:
    """Write plain data as JSON with a key `seal`, the digest of the rest, by name or in the order given."""
    sealed = {**content, "seal": fingerprint(content)}
    write_text(path, json.dumps(sealed, indent=1, sort_keys=sort_keys) + "\n")


def read_record(
    path: Path, set_aside: list[str] | None = None, *, next_step: str = ""
) -> dict[str, Any] | None:
    """The content of a file of `write_record` without its seal; arguments and errors as for `read_sealed`."""
    if not path.is_file():
        return None
    content = _unsealed(path.read_bytes())
    if content is not None:
        return content
    _refuse(path, set_aside, next_step)
    return None


def append_record(path: Path, content: Mapping[str, Any]) -> None:
    """Add plain data as one line of JSON with a key `seal`, the digest of the rest; older lines stay.

    For the holder of a lock: the file is replaced as a whole, so that a kill leaves no part of a line.
    """
    before = path.read_bytes() if path.is_file() else b""
    if before and not before.endswith(b"\n"):
        before += b"\n"
    line = json.dumps({**content, "seal": fingerprint(content)})
    write_bytes(path, before + line.encode() + b"\n")


def read_records(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The lines of a file of `append_record` without their seals, and how many more do not match theirs."""
    if not path.is_file():
        return [], 0
    lines = [line for line in path.read_bytes().split(b"\n") if line.strip()]
    found = [content for line in lines if (content := _unsealed(line)) is not None]
    return found, len(lines) - len(found)


def _unsealed(text: bytes) -> dict[str, Any] | None:
    """The content of a sealed JSON object without its seal; None where it does not match."""
    try:
        content = json.loads(text.decode())
        seal = content.pop("seal")
        return content if isinstance(content, dict) and seal == fingerprint(content) else None
    # Damaged bytes are JSON of anything: another type, no seal, too deep, numbers with too many digits.
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def move_aside(path: Path) -> Path:
    """Rename a file or folder to the first free `NAME.set-aside-NUMBER` beside it; the new path."""
    number = 0
    while (target := path.with_name(f"{path.name}.set-aside-{number}")).exists():
        number += 1
    return path.rename(target)


def _digest(content: bytes | memoryview) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()


def _refuse(path: Path, set_aside: list[str] | None, next_step: str) -> None:
    if set_aside is None:
        raise UserError(
            expected=f"{path} as it was written",
            found="other bytes: the file is damaged, edited, or of another version of nversion",
            next_step=next_step or "restore it, or remove it and run again",
        )
    set_aside.append(str(move_aside(path)))
