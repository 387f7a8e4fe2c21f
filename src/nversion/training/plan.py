"""Check a training before it runs: build everything that a recipe names and take one step on two images.

So a mistake that the checks of tables cannot find (an unknown loss, optimizer, schedule, strategy or pattern;
networks that do not fit the classes, the loss or one another) is reported before any time is spent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from nversion.attribution import find_differentiable_method
from nversion.core import UserError
from nversion.core.randomness import forked_randomness
from nversion.core.reasons import reason_of
from nversion.data import Canonical
from nversion.losses import Loss, TrainingBatch, make_loss, total
from nversion.models import Classifier

from .augment import augmented
from .members import Members, PlannedMember, build_members, planned
from .opened import TrainingData
from .optimizers import make_optimizer, make_schedule
from .recipe import TrainingRecipe
from .scalars import summary_writer
from .self_supervised import rehearse_pretraining
from .strategies import Context, Facts, Outcome, Stage, stages
from .teacher import load_teachers, mean_logits


def check_settings(recipe: TrainingRecipe) -> Loss:
    """The recipe's loss, once all its parts but networks and data are known to be right.

    Raises:
        UserError: an unknown or wrong loss, optimizer, schedule, strategy or method of `[maps]`, or a package
            that is missing.
    """
    loss = make_loss(recipe.loss)
    parts = [(recipe.optimizer, recipe.schedule, recipe.train.epochs)]
    if (pretraining := recipe.pretraining) is not None:
        parts.append((pretraining.optimizer, pretraining.schedule, pretraining.epochs))
    for optimizer, schedule, epochs in parts:
        make_optimizer(optimizer, [nn.Parameter(torch.zeros(1))])
        factor = make_schedule(schedule)
        for epoch in (0.0, epochs / 2, epochs - 1e-3):
            _check_factor(factor(epoch, epochs), epoch, schedule)
    stages(Context(recipe, np.zeros(0, np.int64), 2, 0, Facts()))
    find_differentiable_method(recipe.maps.method)
    if recipe.train.tensorboard:
        summary_writer()
    if "teacher" in loss.needs and not recipe.teacher:
        raise UserError(
            expected=f"a [[teacher]] for the loss {recipe.loss['name']!r}",
            found="none",
            next_step='add one or more: [[teacher]] with `source = "..."`',
        )
    return loss


def rehearse(
    recipe: TrainingRecipe, data: TrainingData, base: Path, teachers: list[Classifier] | None = None
) -> list[PlannedMember]:
    """Build all that the recipe trains and let it take one step on two images, on the CPU; nothing is kept.

    Args:
        recipe: one variant.
        data: its data sets.
        base: from which relative paths of the recipe start.
        teachers: loaded before; None: loaded here.

    Returns:
        The members with their sizes.

    Raises:
        UserError: something is unknown, does not fit, or fails.
    """
    loss = check_settings(recipe)
    num_classes = data.train.label_space.num_classes
    if len(data.train) < 2:
        raise UserError(
            expected="batches of at least 2 images",
            found=f"{len(data.train)} image to train on",
            next_step="add images",
        )
    modules, facts = build_members(recipe, num_classes, recipe.train.seeds[0], base)
    members = [planned(module, fact, num_classes) for module, fact in zip(modules, facts, strict=True)]
    if teachers is None:
        teachers = load_teachers(recipe, num_classes, base)
    teacher = mean_logits(teachers, torch.device("cpu"))
    canonical = Canonical(**recipe.canonical.model_dump())
    pixels = np.stack([canonical.render(data.train.decode(index)) for index in (0, 1)])
    images = augmented(torch.from_numpy(pixels), recipe.augment, ("rehearsal",))
    labels = torch.tensor(data.train.labels_N[:2])
    given = None if teacher is None else teacher(images)
    context = Context(recipe, data.train.labels_N, num_classes, recipe.train.seeds[0], Facts())
    for stage in _stages(context):
        with failures_reported(f"a training step of {', '.join(facts[i].name for i in stage.members)}"):
            own = Members(
                [modules[i] for i in stage.members],
                [facts[i].preprocessing for i in stage.members],
                recipe.maps,
            ).train()
            outputs = own(images, labels, loss.needs, [0] * len(own))
            terms = loss(
                TrainingBatch(outputs.logits_MNC, labels, outputs.maps_MNP, outputs.features_M, given, 0.0)
            )
            torch.autograd.backward(total(terms))
    if recipe.pretraining is not None:
        networks = [build_members(recipe, num_classes, recipe.pretraining.seed, base) for _ in range(2)]
        with failures_reported("a step of the pretraining"):
            rehearse_pretraining(recipe.pretraining, networks, images)
    return members


def _stages(context: Context) -> Iterator[Stage]:
    """All stages, as if every member were always right."""
    plan, right_N = stages(context), np.ones(len(context.labels_N), np.bool_)
    try:
        stage = next(plan)
        while True:
            yield stage
            stage = plan.send(Outcome(lambda: right_N))
    except StopIteration:
        return


@contextmanager
def failures_reported(what: str) -> Iterator[None]:
    """Turn an error of code from outside nversion into a UserError."""
    try:
        with forked_randomness(0):
            yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            expected=f"{what} on two images to work",
            found=reason_of(error, with_type=True),
            next_step="correct the architecture, the loss or their settings; --debug shows where it failed",
        ) from error


def _check_factor(factor: float, epoch: float, schedule: Mapping[str, Any]) -> None:
    if not 0 <= factor < math.inf:
        raise UserError(
            expected=f"a schedule {schedule['name']!r} whose factors are 0 or more, and finite",
            found=f"{factor:g} after {epoch:g} epochs",
            next_step="correct its settings",
        )
