"""The plain way to decide: every class of every member, one (sample, ensemble) pair a row."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .consensus import Consensus, PerClassRule

NEAR = 1e-5
"""Two scores closer than this are a near tie: another device or library version may turn the winner."""


@dataclass(frozen=True)
class Decisions:
    """What R pairs of an ensemble and a sample came to.

    Attributes:
        winners_R: int64 class of the highest score; the lowest index of an exact tie.
        right_R: float64, 1 where the winner is the label, else 0; for a rule of shared ties the
            probability that the label wins.
        tied_R: the two highest scores are equal.
        near_R: they differ by less than `NEAR`, or not at all.
    """

    winners_R: Tensor
    right_R: Tensor
    tied_R: Tensor
    near_R: Tensor


def shares_ties(rule: Consensus) -> bool:
    """Whether the tied classes of an exact tie win with equal probability."""
    return isinstance(rule, PerClassRule) and rule.ties == "shared"


def decide(rule: Consensus, logits_KRC: Tensor, labels_R: Tensor, draws_R: Tensor | None = None) -> Decisions:
    """Decide R pairs by `rule`; `draws_R` in [0, 1) settles shared ties at random, not in expectation."""
    scores_RC = rule.scores(logits_KRC) if isinstance(rule, PerClassRule) else rule(logits_KRC)
    num_classes = scores_RC.shape[-1]
    winners_R = scores_RC.argmax(-1)
    top_2R = scores_RC.topk(min(2, num_classes), -1).values.unbind(-1)
    tied_R = (top_2R[0] == top_2R[1]) if num_classes > 1 else torch.zeros_like(winners_R, dtype=torch.bool)
    near_R = tied_R | ((top_2R[0] - top_2R[-1] < NEAR) if num_classes > 1 else tied_R)
    if not shares_ties(rule):
        return Decisions(winners_R, (winners_R == labels_R).double(), tied_R, near_R)
    tied_RC = scores_RC == top_2R[0].unsqueeze(-1)
    num_tied_R = tied_RC.sum(-1)
    if draws_R is not None:
        nth_R = (draws_R * num_tied_R).long().clamp_(max=num_classes - 1)
        # The class with exactly nth + 1 tied classes up to and including it, the first such.
        winners_R = (tied_RC.cumsum(-1) == (nth_R + 1).unsqueeze(-1)).int().argmax(-1)
        return Decisions(winners_R, (winners_R == labels_R).double(), tied_R, near_R)
    label_tied_R = tied_RC.gather(-1, labels_R.unsqueeze(-1)).squeeze(-1)
    return Decisions(winners_R, label_tied_R.double() / num_tied_R, tied_R, near_R)
