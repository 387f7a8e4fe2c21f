"""Write and read checkpoints, from which a stage resumes to the same weights."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from nversion.core import UserError, read_sealed, write_sealed
from nversion.core.reasons import reason_of

FORMAT = 2  # raised when what checkpoints hold changes


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain data with their digest; a reader sees the old file or the new one.

    Memory: the size of the file.

    Raises:
        UserError: the disk is full; the last checkpoint is kept.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    write_sealed(path, buffer.getbuffer())


def load_checkpoint(path: Path, recipe: str, set_aside: list[str]) -> dict[str, Any] | None:
    """The content of a checkpoint of this recipe; None where there is no file, or a damaged one.

    Args:
        path: of the file.
        recipe: fingerprint of the recipe, seed and data.
        set_aside: a file that is not what was written is moved away, and its new name added here.

    Raises:
        UserError: the checkpoint belongs to another recipe or version.
    """
    body = read_sealed(path, set_aside)
    if body is None:
        return None
    try:
        content = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise UserError(
            expected=f"a checkpoint in {path} that this version of torch reads",
            found=reason_of(error),
            next_step="remove the file: the stage starts again",
        ) from error
    if content.get("recipe") != recipe:
        raise UserError(
            expected=f"a checkpoint of this recipe, seed and data in {path}",
            found="one of another",
            next_step="give this run another --folder, or remove the old one",
        )
    if content.get("format") != FORMAT:
        raise UserError(
            expected=f"a checkpoint of this version of nversion in {path}",
            found="one of another version",
            next_step="remove the file: the stage starts again",
        )
    return {key: value for key, value in content.items() if key != "format"}
