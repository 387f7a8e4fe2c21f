"""Content fingerprints: equal content, equal name; on every machine and in every process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

Fingerprintable = (
    None | bool | int | float | str | bytes | np.ndarray | Mapping[str, object] | Sequence[object] | object
)


def fingerprint(content: Fingerprintable) -> str:
    """A 32-digit hexadecimal BLAKE2b digest of plain data and arrays.

    Mappings are read in the order of their keys, arrays with shape and dtype.

    Raises:
        TypeError: for an object that has no canonical bytes.

    >>> fingerprint({"b": 1, "a": [1.5, None]}) == fingerprint({"a": [1.5, None], "b": 1})
    True
    """
    digest = hashlib.blake2b(digest_size=16)
    _feed(digest, content)
    return digest.hexdigest()


def fingerprint_file(path: Path) -> str:
    """The fingerprint of a file's bytes, read in pieces of 1 MiB."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def fingerprint_bytes(content: bytes) -> str:
    """What `fingerprint_file` gives of a file that holds `content`."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _feed(digest: hashlib.blake2b, content: Fingerprintable) -> None:
    # Each piece starts with its type and length, so that no two contents share a byte stream.
    if isinstance(content, np.generic):
        content = content.item()
    if content is None or isinstance(content, str | bool | int | float):
        text = json.dumps(content)
        digest.update(f"{type(content).__name__}:{len(text)}:{text}".encode())
    elif isinstance(content, list | tuple):
        digest.update(f"sequence:{len(content)}:".encode())
        for item in content:
            _feed(digest, item)
    elif isinstance(content, bytes):
        digest.update(f"bytes:{len(content)}:".encode())
        digest.update(content)
    elif isinstance(content, np.ndarray):
        digest.update(f"array:{content.dtype.str}:{content.shape}:".encode())
        flat = np.ascontiguousarray(content).reshape(-1)
        digest.update(flat.view(np.uint8).data if flat.nbytes else b"")  # no copy
    elif isinstance(content, Mapping):
        digest.update(f"mapping:{len(content)}:".encode())
        for key in sorted(content):
            _feed(digest, key)
            _feed(digest, content[key])
    elif isinstance(content, Sequence):
        _feed(digest, list(content))
    else:
        raise TypeError(f"no canonical bytes for {type(content).__name__}")
