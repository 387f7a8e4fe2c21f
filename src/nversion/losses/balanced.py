"""Eq. 3: the ensemble's loss and its members' in balance."""

from __future__ import annotations

from dataclasses import dataclass

from torch.nn import functional as F

from .base import LOSSES, Loss, Terms, TrainingBatch, check_range
from .consensus import (
    Rule,
    Space,
    check_rule,
    negative_log,
    of_label,
    predicted_logits,
    predicted_probabilities,
)
from .independent import cross_entropies


@LOSSES.register("balanced")
@dataclass(frozen=True, kw_only=True)
class Balanced(Loss):
    """λ l(f, y) + (1 − λ) mean_i l(h_i, y) (Eq. 3).

    With the average of logits as f this rewards diversity without naming it: l(f) is at most the members'
    mean, by their ambiguity.

    Attributes:
        weight: λ from 0 (independent members) to 1 (one wide network).
        consensus: the rule that gives f.
        space: "logits": l(f, y) is cross-entropy of the logits f; "probabilities": −ln f_y.
    """

    weight: float = 0.2
    consensus: Rule = "average"
    space: Space = "logits"

    def __post_init__(self) -> None:
        check_range("weight", self.weight, 0.0, 1.0)
        check_rule(self.consensus, self.space)

    def __call__(self, batch: TrainingBatch) -> Terms:
        logits_MNC, labels_N = batch.logits_MNC, batch.labels_N
        if self.space == "logits":
            ensemble = F.cross_entropy(predicted_logits(logits_MNC, self.consensus), labels_N)
        else:
            f_NC = predicted_probabilities(logits_MNC, self.consensus)
            ensemble = negative_log(of_label(f_NC, labels_N)).mean()
        members = cross_entropies(logits_MNC, labels_N).mean()
        return {
            "cross_entropy": (1 - self.weight) * members,
            "ensemble_cross_entropy": self.weight * ensemble,
        }
