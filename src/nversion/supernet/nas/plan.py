"""A supernet before its training: all that a specification says is built, and steps on two images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from nversion.core import UserError
from nversion.data import Canonical, Dataset, open_dataset
from nversion.losses import TrainingBatch, total
from nversion.models import Preprocessing
from nversion.supernet.elastic import ElasticNetwork
from nversion.training import TrainingData
from nversion.training.augment import augmented
from nversion.training.members import seed_of
from nversion.training.plan import check_settings, failures_reported

from .evaluator import conditions_of
from .sandwich import Sandwich, SandwichLoss
from .shrink import build_supernet, recipe_of, subnet_of
from .spec import SupernetSpec


def rehearse_supernet(
    spec: SupernetSpec, data: TrainingData, base: Path
) -> tuple[ElasticNetwork, Preprocessing]:
    """The untrained supernet, once stages, subnets and search of a specification are known to be right.

    Args:
        spec: of the supernet.
        data: its training and validation images.
        base: from which relative paths of the specification start.

    Raises:
        UserError: something is unknown, does not fit, or fails.
    """
    for stage in spec.stages:
        check_settings(recipe_of(spec, stage))
    if len(data.train) < 2:
        raise UserError(
            expected="batches of at least 2 images",
            found=f"{len(data.train)} image to train on",
            next_step="add images",
        )
    network, preprocessing, _ = build_supernet(spec, data, base)
    for table in spec.subnets:
        subnet_of(table, network.space)
    _check_search(spec, data, base)
    canonical = Canonical(**spec.canonical.model_dump())
    pixels = np.stack([canonical.render(data.train.decode(index)) for index in (0, 1)])
    images = augmented(torch.from_numpy(pixels), spec.augment, ("rehearsal",))
    labels = torch.tensor(data.train.labels_N[:2])
    rehearsed, _, _ = build_supernet(spec, data, base)  # whose statistics change
    for number, stage in enumerate(spec.stages):
        with failures_reported(f"a step of stage {number + 1}"):
            if stage.reorganise:
                rehearsed.reorganise(spec.supernet.importance)
            space = rehearsed.space.limited(
                stage.dims, max_skips=stage.max_skips, num_widths=stage.num_widths
            )
            sandwich = Sandwich(rehearsed, preprocessing, space, spec.supernet.random_subnets).train()
            seeds = [seed_of("rehearsal", position) for position in range(len(sandwich))]
            outputs = sandwich(images, labels, frozenset(), seeds)
            loss = SandwichLoss(weight=spec.supernet.distillation, temperature=spec.supernet.temperature)
            torch.autograd.backward(total(loss(TrainingBatch(outputs.logits_MNC, labels))))
    return network, preprocessing


def selection_of(spec: SupernetSpec, data: TrainingData, base: Path) -> Dataset | None:
    """The images that a search selects on: [data.selection], or else the validation images."""
    table = spec.data.get("selection")
    return data.validation if table is None else open_dataset(table, base)


def _check_search(spec: SupernetSpec, data: TrainingData, base: Path) -> None:
    dataset = selection_of(spec, data, base)
    if dataset is None:
        return  # a supernet may be trained without being searched
    if dataset.label_space.name != data.train.label_space.name:
        raise UserError(
            expected=f"images with the supernet's classes, {data.train.label_space.name!r}",
            found=f"{dataset.label_space.name!r} of the data set {dataset.name!r}",
            next_step="name images of the same label space under [data.selection]",
        )
    canonical = Canonical(**spec.canonical.model_dump())
    image_13HW = torch.from_numpy(canonical.render(dataset.decode(0)))[None]
    for condition in conditions_of(spec.search, dataset):
        condition.render(image_13HW, dataset.sample_ids[:1])
    if spec.search.count is not None:
        dataset.subset(spec.search.count, spec.search.seed)
