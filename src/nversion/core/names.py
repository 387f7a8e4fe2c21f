"""Names that a file gives for other files: plain, and of what lies in the folder that they are meant for."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

from .errors import UserError

_UNWRITABLE = ("Cc", "Cs", "Zl", "Zp")  # control characters, half surrogates, separators of lines
_DRIVE = re.compile(r"[A-Za-z]:")
_MOST_BYTES = 255  # of a name, in the usual file systems


def plain_name(name: object, origin: str) -> str:
    """`name`, if it is the name of one file or folder and no path.

    Args:
        name: as a file says it; of any type.
        origin: names that file in the error.

    Raises:
        UserError: the name is no text, empty, "." or "..", longer than 255 bytes, holds a separator of
            paths (of any system) or a control character, or starts with a drive letter.

    >>> plain_name("seed-0.safetensors", "training.json")
    'seed-0.safetensors'
    """
    if not isinstance(name, str) or not is_plain(name):
        raise UserError(
            expected=f"plain names of files in {origin}: no path, no control character",
            found=_shown(name),
            next_step="the file is damaged or was edited: restore it, or remove it and run again",
        )
    return name


def fault_of_name(name: str, most_bytes: int = _MOST_BYTES) -> str:
    """What keeps a name that a user gives from being the name of a file; "" where nothing does.

    Args:
        name: of a data set, a model, a condition.
        most_bytes: in UTF-8, where more is added to the name of the file.

    >>> fault_of_name("a\\n"), fault_of_name("b" * 300), fault_of_name("c")
    ('a control character', '300 bytes, more than 255', '')
    """
    if not name.strip():
        return "no character"
    categories = {unicodedata.category(one) for one in name}
    if "Cs" in categories:
        return "bytes that are not UTF-8"
    if categories & set(_UNWRITABLE):
        return "a control character"
    num_bytes = len(name.encode())
    return f"{num_bytes:,} bytes, more than {most_bytes}" if num_bytes > most_bytes else ""


def inside(folder: Path, *names: object, origin: str) -> Path:
    """The path `folder/names[0]/names[1]/…`, each a plain name, none a link that leads out of the folder.

    Args:
        folder: that must hold the path; it may itself be reached by a link.
        names: as a file says them, see `plain_name`.
        origin: names that file in the error.

    Raises:
        UserError: a name is not plain, or a link on the way leads out of the folder.
    """
    path = folder.joinpath(*(plain_name(name, origin) for name in names))
    real = Path(os.path.realpath(path))  # which, unlike `resolve`, does not fail at circular links
    if not real.is_relative_to(os.path.realpath(folder)):
        raise UserError(
            expected=f"names of files inside {folder} in {origin}",
            found=f"{_shown('/'.join(map(str, names)))}, a link to {real}",
            next_step="put the file itself in the link's place, or remove the link",
        )
    return path


def is_plain(name: str) -> bool:
    """Whether a text is the name of one file or folder; see `plain_name`."""
    return (
        name not in ("", ".", "..")
        and not any(one in "/\\" or unicodedata.category(one) in _UNWRITABLE for one in name)
        and not _DRIVE.match(name)
        and len(name.encode()) <= _MOST_BYTES
    )


def _shown(name: object) -> str:
    text = repr(name)
    return text if len(text) <= 80 else f"{text[:60]}... ({type(name).__name__})"
