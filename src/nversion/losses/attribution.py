"""Losses on attribution maps: Eq. 8, its bounded successor, and the alignment of input gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from .base import LOSSES, Loss, Needs, Terms, TrainingBatch, check_members, check_range, needed
from .independent import cross_entropies


def attribution_variances(maps_MNP: Tensor) -> Tensor:
    """A of Eq. 7 for each sample, (N,): Σ_p of the (population) variance over the members.

    >>> attribution_variances(torch.tensor([[[1.0, 0.0]], [[3.0, 0.0]]])).tolist()
    [1.0]
    """
    # torch.var over the first of three dimensions takes twenty times as long as this.
    return (maps_MNP - maps_MNP.mean(0)).square().mean(0).sum(-1)


def pair_cosines(maps_MNP: Tensor, floor: float = 1e-12) -> Tensor:
    """Cosine of the maps of every pair of members, (pairs, N); `floor` is added to every squared norm.

    >>> pair_cosines(torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]], [[3.0, 0.0]]])).flatten().tolist()
    [0.0, 1.0, 0.0]
    """
    norms_MN = (maps_MNP.square().sum(-1) + floor).sqrt()
    unit_MNP = maps_MNP / norms_MN[..., None]
    first, second = torch.triu_indices(len(maps_MNP), len(maps_MNP), 1, device=maps_MNP.device)
    return (unit_MNP[first] * unit_MNP[second]).sum(-1)


@LOSSES.register("attribution_variance")
@dataclass(frozen=True, kw_only=True)
class AttributionVariance(Loss):
    """Eq. 8: mean_i l(h_i, y) − λA, with A of Eq. 7 the mean over the batch.

    A has no upper bound: scaling the maps up by s multiplies it by s², and the members find that direction.

    Attributes:
        weight: λ.
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"maps"})
    weight: float = 0.001

    def __post_init__(self) -> None:
        check_range("weight", self.weight, 0.0)

    def __call__(self, batch: TrainingBatch) -> Terms:
        check_members(batch, 2, "a variance")
        maps_MNP = needed(batch.maps_MNP, "attribution maps", "attribution_variance")
        return {
            "cross_entropy": cross_entropies(batch.logits_MNC, batch.labels_N).mean(),
            "attribution_variance": -self.weight * attribution_variances(maps_MNP).mean(),
        }


@LOSSES.register("attribution_cosine")
@dataclass(frozen=True, kw_only=True)
class AttributionCosine(Loss):
    """mean_i l(h_i, y) + λ·w(t)·(mean over pairs and samples of max(cos(a_i, a_j), margin) − margin).

    The bounded successor of Eq. 8. Length carries no reward, because only directions are compared; the term
    lies in [0, 1 − margin], so no weight lets it outgrow the cross-entropy for ever; below `margin` it
    rests; it asks only where both members are right, so it never pays for being wrong; and it grows linearly
    over the first epochs, when maps are noise. The floor under the norms bounds the second derivatives
    where a map vanishes.

    Attributes:
        weight: λ.
        margin: cosine that is low enough.
        only_right: compare two members only on samples that both get right.
        warm_up: epochs until λ is reached.
        floor: under the squared norms, as a share of their mean over the batch and the members.
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"maps"})
    weight: float = 0.5
    margin: float = 0.0
    only_right: bool = True
    warm_up: float = 1.0
    floor: float = 0.01

    def __post_init__(self) -> None:
        check_range("weight", self.weight, 0.0)
        check_range("margin", self.margin, -1.0, 1.0)
        check_range("warm_up", self.warm_up, 0.0)
        check_range("floor", self.floor, 0.0, 1.0)

    def __call__(self, batch: TrainingBatch) -> Terms:
        check_members(batch, 2, "a cosine")
        maps_MNP = needed(batch.maps_MNP, "attribution maps", "attribution_cosine")
        mean_square = maps_MNP.detach().square().sum(-1).mean()
        cosines_QN = pair_cosines(maps_MNP, float(self.floor) * mean_square + 1e-20)
        excess_QN = cosines_QN.clamp(min=self.margin) - self.margin
        if self.only_right:
            num_maps = maps_MNP.shape[1]
            right_MN = batch.logits_MNC[:, :num_maps].argmax(-1) == batch.labels_N[:num_maps]
            first, second = torch.triu_indices(len(maps_MNP), len(maps_MNP), 1, device=maps_MNP.device)
            excess_QN = excess_QN * (right_MN[first] & right_MN[second])
        grown = 1.0 if self.warm_up == 0 else min(1.0, batch.epoch / self.warm_up)
        return {
            "cross_entropy": cross_entropies(batch.logits_MNC, batch.labels_N).mean(),
            "attribution_cosine": self.weight * grown * excess_QN.mean(),
        }


@LOSSES.register("gradient_alignment")
@dataclass(frozen=True, kw_only=True)
class GradientAlignment(Loss):
    """mean_i l(h_i, y) + λ ln Σ_pairs exp(cos(g_i, g_j)), g the input gradients (GAL).

    Kariyappa and Qureshi, "Improving Adversarial Robustness of Ensembles with Diversity Training" (2019).
    Less aligned gradients make an adversarial example of one member less likely to be one of another.

    Attributes:
        weight: λ.
        reduction: over the pairs: "logsumexp" as published, or their "mean" cosine (the similarity term of
            TRS, Yang et al. 2021).
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"maps"})
    weight: float = 0.5
    reduction: Literal["logsumexp", "mean"] = "logsumexp"

    def __post_init__(self) -> None:
        check_range("weight", self.weight, 0.0)

    def __call__(self, batch: TrainingBatch) -> Terms:
        check_members(batch, 2, "an alignment")
        cosines_QN = pair_cosines(needed(batch.maps_MNP, "attribution maps", "gradient_alignment"))
        aligned_N = cosines_QN.logsumexp(0) if self.reduction == "logsumexp" else cosines_QN.mean(0)
        return {
            "cross_entropy": cross_entropies(batch.logits_MNC, batch.labels_N).mean(),
            "gradient_alignment": self.weight * aligned_N.mean(),
        }
