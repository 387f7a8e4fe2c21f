"""TOML blocks of Markdown pages: each is a valid part of a study, a recipe or a supernet's specification."""

from __future__ import annotations

import tomllib
from typing import Any

from pydantic import BaseModel, ValidationError


def faults_of_toml(text: str) -> list[str]:
    """What is wrong with a block of TOML in the kind of file that it fits best; nothing where it is right.

    Tables and keys that a whole file needs may be missing; those that are there must be known and valid.
    """
    from nversion.study import StudySpec
    from nversion.supernet.nas import SupernetSpec
    from nversion.training import TrainingRecipe

    content = tomllib.loads(text)
    if "project" in content:  # a pyproject.toml
        return []
    return min((_faults(kind, content) for kind in (StudySpec, TrainingRecipe, SupernetSpec)), key=len)


def _faults(kind: type[BaseModel], content: dict[str, Any]) -> list[str]:
    try:
        kind.model_validate(content)
    except ValidationError as error:
        return [
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors()
            if fault["type"] != "missing"
        ]
    return []
