"""Checkpoints: everything that a stage needs to go on to the same weights, whole or not at all."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from nversion.core import UserError, whole_file

FORMAT = 1  # raised when what checkpoints hold changes


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain data; a reader sees the old file or the new one.

    Raises:
        UserError: the disk is full; the last checkpoint is kept.
    """
    with whole_file(path) as temporary:
        try:
            torch.save({"format": FORMAT, **content}, temporary)
        except RuntimeError as error:  # torch's writer hides the system's error
            raise UserError(
                expected=f"room on the disk of {path.parent} for a checkpoint",
                found=str(error).splitlines()[0],
                next_step="free some space and run again: it resumes from the last checkpoint",
            ) from error


def load_checkpoint(path: Path, recipe: str) -> dict[str, Any] | None:
    """The content of a checkpoint of this recipe; None where there is no file.

    Args:
        path: of the file.
        recipe: fingerprint of the recipe, seed and data.

    Raises:
        UserError: the file is broken, or belongs to another recipe.
    """
    if not path.is_file():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise UserError(
            expected=f"a whole checkpoint in {path}",
            found=str(error).splitlines()[0] if str(error) else type(error).__name__,
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
