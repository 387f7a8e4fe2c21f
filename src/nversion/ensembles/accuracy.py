"""How good each model is alone: top-1, top-5, negative log-likelihood and calibration, streamed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nversion.core import UserError

from .chunk import Chunk

NUM_BINS = 15


def right_MN(logits_MNC: Tensor, labels_N: Tensor) -> Tensor:
    """Whether each model is right on each sample; a model's own exact ties go to the lowest index.

    >>> right_MN(torch.tensor([[[0.0, 1.0]], [[1.0, 1.0]]]), torch.tensor([1])).tolist()
    [[True], [False]]
    """
    return logits_MNC.argmax(-1) == labels_N


@dataclass(frozen=True)
class ModelAccuracy:
    """How good each of M models is; nan throughout where no sample was seen.

    Attributes:
        n: number of samples.
        top1_M, top5_M: share of samples whose label has the highest, or one of the five highest, logits
            (of equal logits the lower index is the higher; with fewer than five classes top5 is 1).
        nll_M: mean negative log-likelihood in nats.
        ece_M: expected calibration error of the top label over 15 bins of equal width,
            Σ_b |right in b − confidence in b| / n; a bin holds its upper edge (Guo et al. 2017, Eq. 3).
        right_BM: number of right samples in each block.
        count_B: number of samples in each block.
    """

    n: int
    top1_M: Tensor
    top5_M: Tensor
    nll_M: Tensor
    ece_M: Tensor
    right_BM: Tensor
    count_B: Tensor


class ModelStatistics:
    """Float64 sums behind `ModelAccuracy`: `update` with chunks, add up, ask for the `result`.

    >>> statistics = ModelStatistics(num_models=1, num_blocks=1)
    >>> logits_MNC = torch.tensor([[[0.0, 0.0], [0.0, 9.0]]])
    >>> statistics.update(Chunk(0, logits_MNC, torch.tensor([0, 1]), torch.tensor([0, 0])))
    >>> statistics.result().top1_M.tolist()
    [1.0]
    """

    def __init__(self, num_models: int, num_blocks: int) -> None:
        self.count_B = torch.zeros(num_blocks, dtype=torch.float64)
        self.right_BM = torch.zeros(num_blocks, num_models, dtype=torch.float64)
        self.top5_M = torch.zeros(num_models, dtype=torch.float64)
        self.nll_M = torch.zeros(num_models, dtype=torch.float64)
        self.bin_right_MQ = torch.zeros(num_models, NUM_BINS, dtype=torch.float64)
        self.bin_confidence_MQ = torch.zeros(num_models, NUM_BINS, dtype=torch.float64)

    def update(self, chunk: Chunk) -> None:
        """Add a chunk's samples. Peak memory: four times its logits."""
        logits_MNC = chunk.logits_MNC.float()
        num_models, num_samples, _ = logits_MNC.shape
        if num_models != len(self.nll_M):
            raise UserError(
                expected=f"logits of {len(self.nll_M)} models",
                found=f"logits of {num_models}",
                next_step="keep one ModelStatistics for each pool of models",
            )
        blocks_N = chunk.blocks_N.cpu()
        predicted_MN1 = logits_MNC.argmax(-1, keepdim=True)
        highest_MN1 = logits_MNC.gather(-1, predicted_MN1)
        labels_MN1 = chunk.labels_N.view(1, -1, 1).expand(num_models, num_samples, 1)
        label_logits_MN1 = logits_MNC.gather(-1, labels_MN1)
        right = (predicted_MN1 == labels_MN1).squeeze(-1).double().cpu()
        # The sum in float64 keeps a confidence of 1 − 1e-9 below 1, in the bin and in the loss.
        total_MN1 = (logits_MNC - highest_MN1).exp_().sum(-1, keepdim=True, dtype=torch.float64)
        confidence = total_MN1.reciprocal().squeeze(-1).cpu()
        nll_MN1 = total_MN1.log() + highest_MN1.double() - label_logits_MN1.double()
        classes_C = torch.arange(logits_MNC.shape[-1], device=logits_MNC.device)
        equal_before_MNC = (logits_MNC == label_logits_MN1) & (classes_C < labels_MN1)
        ahead_MN = (logits_MNC > label_logits_MN1).sum(-1) + equal_before_MNC.sum(-1)

        self.count_B += torch.bincount(blocks_N, minlength=len(self.count_B))
        self.right_BM.index_add_(0, blocks_N, right.T)
        self.top5_M += (ahead_MN < 5).sum(1).cpu()
        self.nll_M += nll_MN1.sum((1, 2)).cpu()
        bins = (confidence * NUM_BINS).ceil_().long().sub_(1).clamp_(0, NUM_BINS - 1)
        self.bin_right_MQ.scatter_add_(1, bins, right)
        self.bin_confidence_MQ.scatter_add_(1, bins, confidence)

    def __add__(self, other: ModelStatistics) -> ModelStatistics:
        """The statistics of both sets of samples; blocks are added by index."""
        total = ModelStatistics(len(self.nll_M), len(self.count_B))
        for name, value in vars(self).items():
            setattr(total, name, value + getattr(other, name))
        return total

    def result(self) -> ModelAccuracy:
        """The shares and means of everything seen so far."""
        n = self.count_B.sum()
        gap_MQ = (self.bin_right_MQ - self.bin_confidence_MQ).abs()
        return ModelAccuracy(
            n=int(n),
            top1_M=self.right_BM.sum(0) / n,
            top5_M=self.top5_M / n,
            nll_M=self.nll_M / n,
            ece_M=gap_MQ.sum(1) / n,
            right_BM=self.right_BM.clone(),
            count_B=self.count_B.clone(),
        )
