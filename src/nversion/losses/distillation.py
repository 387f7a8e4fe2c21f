"""Knowledge distillation: members imitate a teacher, softly or by its decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from .base import LOSSES, Loss, Needs, Terms, TrainingBatch, check_range, needed
from .independent import cross_entropies


def imitation(logits_NC: Tensor, teacher_NC: Tensor, temperature: float) -> Tensor:
    """T² · KL(softmax(teacher/T) ‖ softmax(student/T)), mean over the samples (Hinton et al. 2015).

    >>> import torch
    >>> imitation(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 2.0]]), 3.0).item()
    0.0
    """
    return temperature**2 * F.kl_div(
        (logits_NC / temperature).log_softmax(-1),
        (teacher_NC / temperature).log_softmax(-1),
        reduction="batchmean",
        log_target=True,
    )


@LOSSES.register("distillation")
@dataclass(frozen=True, kw_only=True)
class Distillation(Loss):
    """(1 − λ) mean_i l(h_i, y) + λ mean_i T² KL(teacher ‖ h_i), at temperature T.

    The teacher may be an ensemble (its consensus' logits): then one student learns from all of it.

    Attributes:
        weight: λ.
        temperature: T.
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"teacher"})
    weight: float = 0.7
    temperature: float = 3.0

    def __post_init__(self) -> None:
        check_range("weight", self.weight, 0.0, 1.0)
        check_range("temperature", self.temperature, 1e-3)

    def __call__(self, batch: TrainingBatch) -> Terms:
        teacher_NC = needed(batch.teacher_NC, "a teacher's logits", "distillation")
        num_members = len(batch.logits_MNC)
        imitated = imitation(
            batch.logits_MNC.flatten(0, 1), teacher_NC.repeat(num_members, 1), self.temperature
        )
        return {
            "cross_entropy": (1 - self.weight) * cross_entropies(batch.logits_MNC, batch.labels_N).mean(),
            "imitation": self.weight * imitated,
        }


@LOSSES.register("hard_distillation")
@dataclass(frozen=True, kw_only=True)
class HardDistillation(Loss):
    """(1 − λ) mean_i l(h_i, y) + λ mean_i l(h_i, teacher's class) (DeiT; Touvron et al. 2021, eq. 3).

    Attributes:
        weight: λ, 1/2 as published.
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"teacher"})
    weight: float = 0.5

    def __post_init__(self) -> None:
        check_range("weight", self.weight, 0.0, 1.0)

    def __call__(self, batch: TrainingBatch) -> Terms:
        teacher_NC = needed(batch.teacher_NC, "a teacher's logits", "hard_distillation")
        return {
            "cross_entropy": (1 - self.weight) * cross_entropies(batch.logits_MNC, batch.labels_N).mean(),
            "teachers_class": self.weight * cross_entropies(batch.logits_MNC, teacher_NC.argmax(-1)).mean(),
        }
