"""Subnets on a fixed set of images: batch norms recalibrated, logits under each condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from nversion.core import fingerprint, generator, spans
from nversion.data import Canonical, Condition, Dataset
from nversion.models import Preprocessing
from nversion.predictions import AcceptedSets, describe_condition
from nversion.supernet.elastic import ElasticNetwork, Statistics, Subnet
from nversion.training.images import Images

from .spec import SearchTable


@dataclass(frozen=True)
class Recalibration:
    """Training images from which batch norms are recalibrated: a seeded part, in batches of one size.

    Attributes:
        images: without augmentation.
        num_samples: how many of them, or all if there are fewer.
        batch_size: images of each batch; what is left over is not used.
        device: on which the images come.
    """

    images: Images
    num_samples: int
    batch_size: int
    device: torch.device

    @cached_property
    def pixels_NCHW(self) -> Tensor:
        """The uint8 images in their order, whole batches only; decoded once, 3·S² bytes each."""
        total = len(self.images.labels_N)
        num_samples = min(self.num_samples, total)
        size = min(self.batch_size, num_samples)
        order_n = generator("calibration").permutation(total)[: num_samples // size * size]
        batches = self.images.batches(order_n.astype(np.int64), size, ())
        return torch.cat([(images * 255).round_().byte() for images, _ in batches])

    @cached_property
    def fingerprint(self) -> str:
        """Of everything but its supernet that the statistics of a subnet depend on."""
        return fingerprint([self.pixels_NCHW.cpu().numpy(), self.batch_size])

    def statistics(
        self, supernet: ElasticNetwork, subnet: Subnet, preprocessing: Preprocessing
    ) -> Statistics:
        """The subnet's statistics; it ends active with them."""
        pixels = self.pixels_NCHW
        batches = (pixels[a:b].float().div_(255) for a, b in spans(len(pixels), self.batch_size))
        return supernet.collect_statistics(subnet, (preprocessing(images) for images in batches))


class SubnetEvaluator:
    """Images of a data set, rendered once under each condition, that subnets are run on.

    Memory: the rendered images, 3·S² bytes each and condition.

    Args:
        dataset: the images.
        canonical: their size.
        conditions: under which they are seen.
        batch_size: images that run at once.
        device: where they are kept.
    """

    def __init__(
        self,
        dataset: Dataset,
        canonical: Canonical,
        conditions: Sequence[Condition],
        batch_size: int,
        device: torch.device,
    ) -> None:
        clean = np.stack([canonical.render(dataset.decode(i)) for i in range(len(dataset))])
        clean_N3HW = torch.from_numpy(clean).to(device)
        self.dataset = dataset
        self.device = device
        self.conditions = [condition.name for condition in conditions]
        self.labels_N = torch.tensor(dataset.labels_N)
        self.accepted = AcceptedSets.of(dataset.labels_N, dataset.accepted)
        self._described = canonical, tuple(conditions)
        self._rendered = [
            torch.cat(
                [
                    condition.render(clean_N3HW[start:stop], dataset.sample_ids[start:stop])
                    for start, stop in spans(len(dataset), batch_size)
                ]
            )
            for condition in conditions
        ]
        self._batch_size = batch_size

    @cached_property
    def fingerprint(self) -> str:
        """Of the images under all conditions and their labels; reads every image file once."""
        canonical, conditions = self._described
        return fingerprint([describe_condition(self.dataset, canonical, one) for one in conditions])

    @torch.no_grad()
    def logits(self, supernet: ElasticNetwork, preprocessing: Preprocessing) -> Tensor:
        """Logits (D, N, C) of the active subnet under D conditions, float32 and in main memory."""
        supernet.eval()
        parts = list(spans(len(self.dataset), self._batch_size))
        return (
            torch.stack(
                [
                    torch.cat([supernet(preprocessing(images[a:b].float().div_(255))) for a, b in parts])
                    for images in self._rendered
                ]
            )
            .float()
            .cpu()
        )

    def right_DN(self, logits_DNC: Tensor) -> Tensor:
        """Whether the class of the largest logit is an accepted label of each image."""
        return self.accepted.right_MN(logits_DNC.argmax(-1))


def evaluator_of(
    table: SearchTable, dataset: Dataset, canonical: Canonical, batch_size: int, device: torch.device
) -> SubnetEvaluator:
    """The images and conditions that a `[search]` table asks for.

    Args:
        table: says the conditions and how many images, a part drawn by its seed.
        dataset: the selection images.
        canonical: their size.
        batch_size: images that run at once.
        device: on which the search runs.

    Raises:
        UserError: more images than there are, or an unknown corruption or severity.
    """
    part = dataset if table.count is None else dataset.subset(table.count, table.seed)
    return SubnetEvaluator(part, canonical, conditions_of(table, dataset), batch_size, device)


def conditions_of(table: SearchTable, dataset: Dataset) -> list[Condition]:
    """The conditions that a `[search]` table names.

    Raises:
        UserError: an unknown corruption or severity.
    """
    conditions = [Condition(dataset.name)] if table.clean else []
    return conditions + [
        Condition(dataset.name, name, severity) for name, severity in table.corruptions.items()
    ]
