"""The identity of a training: a digest of everything its weights depend on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nversion.attribution import find_method
from nversion.core import code_fingerprint, fingerprint, fingerprint_file
from nversion.core.settings import resolve
from nversion.losses.base import LOSSES
from nversion.models import Classifier

from .members import code_of
from .opened import TrainingData
from .optimizers import settings_code
from .recipe import TrainingRecipe, TrainTable
from .strategies import STRATEGIES

WITHOUT_EFFECT = ("device", "threads", "workers", "tensorboard")
"""Settings of `[train]` on which the weights do not depend, beyond rounding."""


def what_weights_depend_on(
    recipe: TrainingRecipe, data: TrainingData, teachers: Sequence[Classifier], base: Path
) -> str:
    """A fingerprint of all that can change a weight but the seed: what differs in it is another training.

    Code that nversion or a library like timm brings is known by its name; what a user or a plug-in wrote,
    by its bytes.

    Args:
        recipe: one variant.
        data: its data sets.
        teachers: its teachers.
        base: from which relative paths of the recipe start.
    """
    content = recipe.model_dump(mode="json")
    del content["train"], content["data"]  # data are known by what is in them, wherever they lie
    validation = data.validation.fingerprint if data.validation else ""
    return fingerprint(
        [
            [content, train_settings(recipe.train)],
            [
                code_fingerprint(LOSSES[recipe.loss["name"]]),
                code_fingerprint(STRATEGIES[recipe.strategy.name]),
                code_fingerprint(find_method(recipe.maps.method).function),
            ],
            settings_code(recipe.optimizer, recipe.schedule),
            [code_of(table.arch, table.args, base) for table in recipe.members],
            [starting_weights(table.weights, base) for table in recipe.members],
            [teacher.fingerprint for teacher in teachers],
            [data.train.name, data.train.fingerprint, validation],
        ]
    )


def train_settings(table: TrainTable) -> dict[str, Any]:
    """The settings of `[train]` on which the weights of one seed depend."""
    content = table.model_dump(mode="json", exclude={"seeds", *WITHOUT_EFFECT})
    if table.when_diverged == "stop":  # otherwise the last checkpoint may become the result
        del content["checkpoint_steps"]
    return content


def starting_weights(path: str | None, base: Path) -> str:
    """The fingerprint of the file that a member starts from; "" of random weights, or of no file."""
    file = None if path is None else resolve(Path(path), base)
    return fingerprint_file(file) if file is not None and file.is_file() else ""
