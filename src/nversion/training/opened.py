"""Open the data sets of a recipe and check that they fit each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nversion.core import UserError
from nversion.data import Dataset, open_dataset

from .recipe import TrainingRecipe


@dataclass(frozen=True)
class TrainingData:
    """The opened data sets of a recipe; runs of several recipes on the same data can share them."""

    train: Dataset
    validation: Dataset | None


def open_data(recipe: TrainingRecipe, base: Path) -> TrainingData:
    """Open the data of a recipe and check that they belong together.

    Raises:
        UserError: a data set cannot be opened, the label spaces differ, or a class has no image.
    """
    train = open_dataset(recipe.data["train"], base)
    validation = open_dataset(recipe.data["validation"], base) if "validation" in recipe.data else None
    if validation is not None and validation.label_space.name != train.label_space.name:
        raise UserError(
            expected=f"validation labels of the label space {train.label_space.name!r} of the training data",
            found=repr(validation.label_space.name),
            next_step="give both data sets the same label space",
        )
    present = set(train.labels_N.tolist())
    empty = [label for label in range(train.label_space.num_classes) if label not in present]
    if empty and not recipe.train.empty_classes:
        name = train.label_space.class_names[empty[0]] if train.label_space.class_names else ""
        raise UserError(
            expected=f"training images of all {train.label_space.num_classes} classes of {train.name!r}",
            found=f"none of {len(empty)} classes, the first {empty[0]} {name}".rstrip(),
            next_step="add images, or set `empty_classes = true` in [train] if that is meant",
        )
    return TrainingData(train, validation)
