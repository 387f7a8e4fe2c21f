"""Our own .safetensors files: tensors and facts with a digest of both, equal content in equal bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nversion.core import UserError, fingerprint, whole_file

_KEY = "nversion"  # the only one: the format keeps the order of several to itself, which changes the bytes
_DIGEST = "digest"


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors with plain facts and the digest of both; whole or not at all."""
    from safetensors.torch import save_file

    # Copies: the format holds no memory shared between names, nor strided views.
    state = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    text = json.dumps({**facts, _DIGEST: _digest(state, facts)})
    with whole_file(path) as temporary:
        save_file(state, temporary, metadata={_KEY: text})


def checked_facts(text: str, tensors: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
    """The facts of a file's metadata, once the digest that is among them, if any, is that of the file.

    Args:
        text: the metadata.
        tensors: of the file, all of them.
        path: of the file, for errors.

    Raises:
        UserError: the facts are no table, or tensors and facts are not what was written.
    """
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict):
        raise _damaged(path)
    digest = facts.pop(_DIGEST, None)
    if digest is not None and digest != _digest(tensors, facts):
        raise _damaged(path)
    return facts


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts of a file of `write_tensors`.

    Raises:
        UserError: the file is not what was written.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    # RuntimeError, TypeError, ...: torch's, of types and sizes that the header claims.
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError, AttributeError, KeyError) as error:
        raise _damaged(path) from error
    if _DIGEST not in (text := metadata.get(_KEY, "")):
        raise _damaged(path)
    return tensors, checked_facts(text, tensors, path)


def _digest(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> str:
    parts = {
        key: [str(value.dtype), list(value.shape), value.contiguous().flatten().view(torch.uint8).numpy()]
        for key, value in tensors.items()
    }
    return fingerprint([parts, dict(facts)])


def _damaged(path: Path) -> UserError:
    return UserError(
        expected=f"the tensors and facts that were written to {path}",
        found="other ones: the file is damaged, edited, or of another version of nversion",
        next_step="restore the file, or remove it and run the command that made it again",
    )
