"""Losses on activations: the pull-away term between members, and triplets within each member."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from nversion.core import UserError

from .base import LOSSES, Loss, Needs, Terms, TrainingBatch, check_members, check_range, needed
from .independent import cross_entropies


def pull_away(features_M: Sequence[Tensor]) -> Tensor:
    """Mean squared cosine of two members' activations on the same sample, over pairs and samples.

    Zhao, Mathieu, LeCun, "Energy-based GAN" (2017), eq. 6, with members in the place of samples.

    >>> pull_away([torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]])])
    tensor(0.5000)
    """
    widths = sorted({features.shape[1] for features in features_M})
    if len(widths) > 1:
        raise UserError(
            expected="members whose activations have one width for a pull-away term",
            found=f"widths {', '.join(map(str, widths))}",
            next_step="train members of one architecture with it, or take another loss",
        )
    unit_MNF = F.normalize(torch.stack(tuple(features_M)), dim=-1)
    first, second = torch.triu_indices(len(unit_MNF), len(unit_MNF), 1, device=unit_MNF.device)
    return (unit_MNF[first] * unit_MNF[second]).sum(-1).square().mean()


def hardest_triplets(features_NF: Tensor, labels_N: Tensor, margin: float) -> Tensor:
    """Triplet loss with the furthest positive and the nearest negative of each anchor in the batch.

    mean over the anchors that have both of max(0, margin + ‖a − p‖ − ‖a − n‖), on unit vectors (Hermans,
    Beyer, Leibe, "In Defense of the Triplet Loss", 2017); 0 where no anchor has both.
    """
    unit_NF = F.normalize(features_NF, dim=-1)
    squared_NN = (2 - 2 * unit_NF @ unit_NF.mT).clamp(min=1e-12)
    distance_NN = squared_NN.sqrt()
    same_NN = labels_N[:, None] == labels_N[None, :]
    itself_NN = torch.eye(len(labels_N), dtype=torch.bool, device=labels_N.device)
    furthest_N = distance_NN.masked_fill(~same_NN | itself_NN, -torch.inf).amax(1)
    nearest_N = distance_NN.masked_fill(same_NN, torch.inf).amin(1)
    has_both_N = furthest_N.isfinite() & nearest_N.isfinite()
    excess_N = torch.where(has_both_N, margin + furthest_N - nearest_N, 0.0).clamp(min=0.0)
    return excess_N.sum() / has_both_N.sum().clamp(min=1)


@LOSSES.register("pull_away")
@dataclass(frozen=True, kw_only=True)
class PullAway(Loss):
    """mean_i l(h_i, y) + λ · mean over pairs of cos²(activations_i, activations_j).

    Attributes:
        weight: λ.
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"features"})
    weight: float = 0.1

    def __post_init__(self) -> None:
        check_range("weight", self.weight, 0.0)

    def __call__(self, batch: TrainingBatch) -> Terms:
        check_members(batch, 2, "a pull-away term")
        features_M = needed(batch.features_M, "activations", "pull_away")
        return {
            "cross_entropy": cross_entropies(batch.logits_MNC, batch.labels_N).mean(),
            "pull_away": self.weight * pull_away(features_M),
        }


@LOSSES.register("triplet")
@dataclass(frozen=True, kw_only=True)
class Triplet(Loss):
    """mean_i l(h_i, y) + λ · mean_i of each member's triplet loss on its own activations.

    It shapes each member's metric; it does not compare members.

    Attributes:
        weight: λ.
        margin: by which a negative is to be further than a positive, of unit vectors.
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"features"})
    weight: float = 0.1
    margin: float = 0.2

    def __post_init__(self) -> None:
        check_range("weight", self.weight, 0.0)
        check_range("margin", self.margin, 0.0, 2.0)

    def __call__(self, batch: TrainingBatch) -> Terms:
        features_M = needed(batch.features_M, "activations", "triplet")
        triplets = [hardest_triplets(features, batch.labels_N, self.margin) for features in features_M]
        return {
            "cross_entropy": cross_entropies(batch.logits_MNC, batch.labels_N).mean(),
            "triplet": self.weight * torch.stack(triplets).mean(),
        }
