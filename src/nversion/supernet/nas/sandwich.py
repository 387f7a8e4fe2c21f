"""Largest, smallest and some random subnets of a supernet in one step (the sandwich rule)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from nversion.core import generator
from nversion.core.randomness import forked_randomness
from nversion.losses import Loss, TrainingBatch
from nversion.losses.base import Needs, Terms, needed
from nversion.losses.distillation import imitation
from nversion.losses.independent import cross_entropies
from nversion.models import Preprocessing
from nversion.supernet.elastic import ElasticNetwork, Space, Subnet
from nversion.training.members import Members, Outputs
from nversion.training.recipe import MapsTable


class Sandwich(Members):
    """The subnets of a step as the members of a joint training; they share their weights.

    Member 0 is the largest subnet, 1 the smallest of the stage's space, the others are drawn in every
    step from their dropout seeds (Yu & Huang 2019). In eval mode there is the largest alone.

    Args:
        supernet: is trained in place.
        preprocessing: of its images.
        space: part of the supernet's space from which subnets come.
        num_random: drawn subnets.
    """

    def __init__(
        self, supernet: ElasticNetwork, preprocessing: Preprocessing, space: Space, num_random: int
    ) -> None:
        super().__init__([supernet], [preprocessing], MapsTable())
        self._preprocessing = preprocessing
        self.space = space
        varied = space.num_subnets > 1
        self.names = (
            ["largest", "smallest", *(f"random-{i}" for i in range(num_random))] if varied else ["largest"]
        )

    def __len__(self) -> int:
        return len(self.names)

    def forward(
        self,
        images_N3HW: Tensor,
        labels_N: Tensor,
        needs: frozenset[Needs] = frozenset(),
        dropout_seeds: Sequence[int] | None = None,
    ) -> Outputs:
        """Logits of the step's subnets; see `Members.forward`."""
        supernet = self.networks[0]
        assert isinstance(supernet, ElasticNetwork)
        inputs = self._preprocessing(images_N3HW)
        if dropout_seeds is None:
            supernet.activate(supernet.space.largest)
            return Outputs(supernet(inputs)[None], None, None)
        logits = []
        for position, seed in enumerate(dropout_seeds):
            supernet.activate(self.subnet(position, seed))
            with forked_randomness(seed, images_N3HW.device):
                logits.append(supernet(inputs))
        supernet.activate(supernet.space.largest)
        return Outputs(torch.stack(logits), None, None)

    def subnet(self, position: int, seed: int) -> Subnet:
        """The subnet that is member `position` of the step with this seed."""
        if position < 2:
            return (self.space.largest, self.space.smallest)[position]
        return self.space.sample(generator("subnet", seed))


@dataclass(frozen=True, kw_only=True)
class SandwichLoss(Loss):
    """l(h_0, y) + mean_i [(1 − λ) l(h_i, y) + λ T² KL(teacher ‖ h_i)]; the teacher is h_0, without gradient.

    Attributes:
        weight: λ.
        temperature: T.
    """

    weight: float = 1.0
    temperature: float = 1.0

    def __call__(self, batch: TrainingBatch) -> Terms:
        logits_MNC = batch.logits_MNC
        losses_M = cross_entropies(logits_MNC, batch.labels_N)
        terms = {"largest": losses_M[0]}
        if len(logits_MNC) > 1:
            teacher_NC = self._teacher(batch)
            imitated = torch.stack([imitation(own, teacher_NC, self.temperature) for own in logits_MNC[1:]])
            terms["subnets"] = (1 - self.weight) * losses_M[1:].mean()
            terms["imitation"] = self.weight * imitated.mean()
        return terms

    def _teacher(self, batch: TrainingBatch) -> Tensor:
        return batch.logits_MNC[0].detach()


@dataclass(frozen=True, kw_only=True)
class TaughtSandwichLoss(SandwichLoss):
    """The same with a teacher that is not trained: the network that the training started from."""

    needs: ClassVar[frozenset[Needs]] = frozenset({"teacher"})

    def _teacher(self, batch: TrainingBatch) -> Tensor:
        teacher_NC: Tensor = needed(batch.teacher_NC, "a teacher's logits", "the supernet's")
        return teacher_NC
