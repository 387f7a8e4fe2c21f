"""Eq. 1: every member learns for itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from .base import LOSSES, Loss, Terms, TrainingBatch, check_range


def cross_entropies(logits_MNC: Tensor, labels_N: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of each member, (M,).

    >>> import torch
    >>> cross_entropies(torch.zeros(2, 3, 4), torch.tensor([0, 1, 2]))
    tensor([1.3863, 1.3863])
    """
    num_members, num_samples, _ = logits_MNC.shape
    losses = F.cross_entropy(
        logits_MNC.flatten(0, 1),
        labels_N.repeat(num_members),
        label_smoothing=label_smoothing,
        reduction="none",
    )
    return losses.view(num_members, num_samples).mean(1)


@LOSSES.register("independent")
@dataclass(frozen=True, kw_only=True)
class Independent(Loss):
    """Cross-entropy of each member (Eq. 1); with "mean" over the members, each has 1/M of its own gradient.

    Attributes:
        reduction: over the members. "sum" gives each member the gradient that it has when trained alone,
            which matters to optimizers that are not free of scale.
        label_smoothing: share of the target spread over all classes.
    """

    reduction: Literal["mean", "sum"] = "mean"
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_range("label_smoothing", self.label_smoothing, 0.0, 1.0)

    def __call__(self, batch: TrainingBatch) -> Terms:
        losses_M = cross_entropies(batch.logits_MNC, batch.labels_N, self.label_smoothing)
        return {"cross_entropy": losses_M.mean() if self.reduction == "mean" else losses_M.sum()}
