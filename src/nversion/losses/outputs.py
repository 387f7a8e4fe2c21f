"""ADP: members' probabilities of the wrong classes span a large volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from nversion.ensembles.consensus import mean_of_members, probabilities

from .base import LOSSES, Loss, Needs, Terms, TrainingBatch, check_members, check_range
from .independent import cross_entropies


def log_volumes(logits_MNC: Tensor, labels_N: Tensor) -> Tensor:
    """ln det(G) for each sample, (N,): G the Gram matrix of the members' unit vectors of wrong-class
    probabilities (1e-6 added to its diagonal).

    Computed from log-probabilities by a softmax over the wrong classes, which has the same direction and
    stays defined where a member is certain.
    """
    right = torch.nn.functional.one_hot(labels_N, logits_MNC.shape[-1]).bool()
    wrong_MNC = logits_MNC.masked_fill(right, -torch.inf).softmax(-1)
    unit_NMC = torch.nn.functional.normalize(wrong_MNC, dim=-1).transpose(0, 1)
    gram_NMM = unit_NMC @ unit_NMC.mT
    jitter = 1e-6 * torch.eye(len(logits_MNC), dtype=gram_NMM.dtype, device=gram_NMM.device)
    volumes_N: Tensor = torch.linalg.slogdet(gram_NMM + jitter).logabsdet
    return volumes_N


def entropies(probabilities_NC: Tensor) -> Tensor:
    """Shannon entropy of each row in nats, (N,)."""
    entropies_N: Tensor = torch.special.entr(probabilities_NC).sum(-1)
    return entropies_N


@LOSSES.register("adp")
@dataclass(frozen=True, kw_only=True)
class AdaptiveDiversity(Loss):
    """mean_i l(h_i, y) − α H(p̄) − β ln det(G) (adaptive diversity promoting; Pang et al. 2019).

    H(p̄) is the entropy of the members' mean probabilities; G is explained at `log_volumes`. At most C − 1
    members span a volume.

    Attributes:
        entropy_weight: α.
        volume_weight: β.
    """

    needs: ClassVar[frozenset[Needs]] = frozenset()
    entropy_weight: float = 2.0
    volume_weight: float = 0.5

    def __post_init__(self) -> None:
        check_range("entropy_weight", self.entropy_weight, 0.0)
        check_range("volume_weight", self.volume_weight, 0.0)

    def __call__(self, batch: TrainingBatch) -> Terms:
        check_members(batch, 2, "a volume")
        mean_NC = mean_of_members(probabilities(batch.logits_MNC))
        volumes_N = log_volumes(batch.logits_MNC, batch.labels_N)
        return {
            "cross_entropy": cross_entropies(batch.logits_MNC, batch.labels_N).mean(),
            "entropy": -self.entropy_weight * entropies(mean_NC).mean(),
            "volume": -self.volume_weight * volumes_N.mean(),
        }
