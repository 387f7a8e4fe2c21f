"""Teachers of a recipe: classifiers whose mean logits a loss may look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from nversion.core import UserError
from nversion.models import Classifier, load_classifier

from .recipe import TrainingRecipe


def load_teachers(recipe: TrainingRecipe, num_classes: int, base: Path) -> list[Classifier]:
    """The classifiers of `[[teacher]]`.

    Raises:
        UserError: one cannot be loaded, or has not as many outputs as the data have classes.
    """
    teachers = [load_classifier(dict(table), base) for table in recipe.teacher]
    for teacher in teachers:
        if (found := teacher.card.label_space.num_classes) != num_classes:
            raise UserError(
                expected=f"{num_classes} outputs of the teacher {teacher.name!r}, one a class of the data",
                found=str(found),
                next_step="name a teacher of the same classes",
            )
    return teachers


def mean_logits(teachers: list[Classifier], device: torch.device) -> Callable[[Tensor], Tensor] | None:
    """Images in [0, 1] to the mean of the teachers' logits; None of no teachers."""
    if not teachers:
        return None
    placed = [teacher.to(device) for teacher in teachers]

    def logits(images_N3HW: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.stack([teacher(images_N3HW) for teacher in placed]).mean(0)

    return logits
