"""Negative correlation learning: members are paid for differing from the ensemble (NCL, GNCL, masked)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn.functional import one_hot

from nversion.core import UserError
from nversion.ensembles.consensus import mean_of_members, probabilities

from .base import LOSSES, Loss, Terms, TrainingBatch, check_members, check_range
from .consensus import (
    SMALLEST_PROBABILITY,
    Rule,
    Space,
    check_rule,
    of_label,
    predicted_logits,
    predicted_probabilities,
)
from .independent import cross_entropies


def squared_distances(logits_MNC: Tensor) -> Tensor:
    """‖p_i − p̄‖² of members' probabilities from their mean, (M, N)."""
    members_MNC = probabilities(logits_MNC)
    return (members_MNC - mean_of_members(members_MNC)).square().sum(-1)


def curvature_in_logits(logits_MNC: Tensor, ensemble_NC: Tensor) -> Tensor:
    """d'Dd of each member's difference d from f, (M, N): D is cross-entropy's Hessian at the logits f.

    D = diag(q) − q q' with q = softmax(f), so d'Dd = Σ q d² − (Σ q d)²: the variance of d under q, computed
    as Σ q (d − Σ q d)², O(C) and without cancellation; the C×C matrix is never built.

    >>> import torch
    >>> curvature_in_logits(torch.tensor([[[1.0, 0.0]], [[-1.0, 0.0]]]), torch.zeros(1, 2)).tolist()
    [[0.25], [0.25]]
    """
    q_NC = probabilities(ensemble_NC)
    difference_MNC = logits_MNC - ensemble_NC
    centred_MNC = difference_MNC - (q_NC * difference_MNC).sum(-1, keepdim=True)
    return (q_NC * centred_MNC.square()).sum(-1)


def curvature_in_probabilities(logits_MNC: Tensor, ensemble_NC: Tensor, labels_N: Tensor) -> Tensor:
    """d'Dd, (M, N), where D is the Hessian of −ln f_y at the probabilities f.

    D = diag(1{k = y}/f_y²), so d'Dd = ((p_y − f_y)/f_y)², f_y kept from 0 by `SMALLEST_PROBABILITY`.
    """
    f_N = of_label(ensemble_NC, labels_N).clamp(min=SMALLEST_PROBABILITY)
    num_members = len(logits_MNC)
    p_MN = probabilities(logits_MNC).gather(-1, labels_N[None, :, None].expand(num_members, -1, 1))[..., 0]
    return ((p_MN - f_N) / f_N).square()


@LOSSES.register("ncl")
@dataclass(frozen=True, kw_only=True)
class NegativeCorrelation(Loss):
    """NCL on probabilities: mean_i l(h_i, y) − λ mean_i ‖p_i − p̄‖² (Liu and Yao 1999).

    Attributes:
        weight: λ.
    """

    weight: float = 0.2

    def __post_init__(self) -> None:
        check_range("weight", self.weight, 0.0)

    def __call__(self, batch: TrainingBatch) -> Terms:
        check_members(batch, 2, "a correlation")
        return {
            "cross_entropy": cross_entropies(batch.logits_MNC, batch.labels_N).mean(),
            "negative_correlation": -self.weight * squared_distances(batch.logits_MNC).mean(),
        }


@LOSSES.register("gncl")
@dataclass(frozen=True, kw_only=True)
class GeneralizedNegativeCorrelation(Loss):
    """GNCL (Eq. 2): mean_i l(h_i, y) − λ/(2M) Σ_i d_i' D d_i (Buschjäger, Pfahler, Morik 2020).

    d_i = h_i − f; D is the Hessian of the loss at f. f and D carry gradients.

    Attributes:
        weight: λ.
        consensus: the rule that gives f.
        space: in which h_i and f are compared. In "logits" the consensus is "average" or "median"; in
            "probabilities" all four tell apart.
        scale: "mean" divides the sum by 2M as above (as the authors' code does); "member" by 2M², the other
            reading of Eq. 2, whose λ counts M times as much.
        mask_wrong: λ is 0 for a member on the samples that it gets wrong (§4.3 f).
        error: l. "squared" is ½‖h − onehot(y)‖² on the logits, for which D is the identity and λ = 1 gives
            exactly l(f, y) (the ambiguity decomposition).
    """

    weight: float = 0.2
    consensus: Rule = "average"
    space: Space = "logits"
    scale: Literal["mean", "member"] = "mean"
    mask_wrong: bool = False
    error: Literal["cross_entropy", "squared"] = "cross_entropy"

    def __post_init__(self) -> None:
        check_range("weight", self.weight, 0.0)
        if self.error == "squared" and self.space != "logits":
            raise UserError(
                expected="the space 'logits' for the squared error",
                found=repr(self.space),
                next_step='leave `space` out, or set `error = "cross_entropy"`',
            )
        check_rule(self.consensus, self.space)

    def __call__(self, batch: TrainingBatch) -> Terms:
        check_members(batch, 2, "a correlation")
        logits_MNC, labels_N = batch.logits_MNC, batch.labels_N
        if self.error == "squared":
            ensemble_NC = predicted_logits(logits_MNC, self.consensus)
            curvature_MN = (logits_MNC - ensemble_NC).square().sum(-1)
        elif self.space == "logits":
            curvature_MN = curvature_in_logits(logits_MNC, predicted_logits(logits_MNC, self.consensus))
        else:
            ensemble_NC = predicted_probabilities(logits_MNC, self.consensus)
            curvature_MN = curvature_in_probabilities(logits_MNC, ensemble_NC, labels_N)
        if self.mask_wrong:
            curvature_MN = curvature_MN * (logits_MNC.argmax(-1) == labels_N)
        divisor = 2.0 if self.scale == "mean" else 2.0 * len(logits_MNC)
        if self.error == "squared":
            target_NC = one_hot(labels_N, logits_MNC.shape[-1])
            own = {"squared_error": (logits_MNC - target_NC).square().sum(-1).mean() / 2}
        else:
            own = {"cross_entropy": cross_entropies(logits_MNC, labels_N).mean()}
        return {
            **own,
            "negative_correlation": -self.weight / divisor * curvature_MN.mean(),
        }
