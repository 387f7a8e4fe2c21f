"""How good each model is alone: top-1, top-5, loss, Brier score and calibration, streamed."""

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


def calibration_errors(
    bin_count_EQ: Tensor, bin_right_EQ: Tensor, bin_confidence_EQ: Tensor
) -> tuple[Tensor, Tensor]:
    """The plug-in L1 and the debiased L2 calibration error of the top label, from sums over bins.

    With share w, mean confidence s, mean rightness y and n_b samples of a bin:

        ece = Σ_b w |y − s|                                                (Guo et al. 2017, Eq. 3)
        ece_debiased = √max(0, Σ_b w [(y − s)² − y(1 − y) / (n_b − 1)])

    The second is the debiased estimator of Kumar, Liang and Ma, "Verified Uncertainty Calibration",
    NeurIPS 2019, section 5 (before them Bröcker 2012; Ferro and Fricker 2012): the plug-in square is too
    large by the variance of y, which is subtracted. Here the bins are of equal width, where the paper has
    them of equal mass, so that they can be streamed. It is a root of squares, an L2 error: of perfect
    sums it is at least `ece`. A bin of one sample, whose variance is unknown, adds 0 as in the authors'
    code. What varies within a bin is seen by neither: both are lower bounds of the error of the
    unbinned confidence.

    Args:
        bin_count_EQ: number of samples in each of Q bins.
        bin_right_EQ, bin_confidence_EQ: sums of their rightness and confidence.

    Returns:
        ece_E, ece_debiased_E: nan where there is no sample.

    >>> ece, debiased = calibration_errors(*torch.tensor([[[4.0]], [[2.0]], [[3.6]]]).double())
    >>> round(ece.item(), 4), round(debiased.item(), 4)  # √(0.4² − 0.25 / 3)
    (0.4, 0.2769)
    """
    n_E = bin_count_EQ.sum(1)
    gap_EQ = bin_right_EQ - bin_confidence_EQ
    right_share_EQ = bin_right_EQ / bin_count_EQ
    squared_EQ = (gap_EQ / bin_count_EQ) ** 2
    squared_EQ -= right_share_EQ * (1 - right_share_EQ) / (bin_count_EQ - 1)
    squared_EQ = torch.where(bin_count_EQ > 1, bin_count_EQ * squared_EQ, 0.0)
    return gap_EQ.abs().sum(1) / n_E, (squared_EQ.sum(1) / n_E).clamp(min=0).sqrt()


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
        ece_debiased_M: debiased L2 calibration error; see `calibration_errors`.
        brier_M: mean of Σ_c (p_c − 1{c = label})², from 0 to 2 (Brier 1950; some libraries halve it).
        right_BM: number of right samples in each block; the chunk says who is right.
        count_B: number of samples in each block.
    """

    n: int
    top1_M: Tensor
    top5_M: Tensor
    nll_M: Tensor
    ece_M: Tensor
    ece_debiased_M: Tensor
    brier_M: Tensor
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
        self.brier_M = torch.zeros(num_models, dtype=torch.float64)
        self.bin_count_MQ = torch.zeros(num_models, NUM_BINS, dtype=torch.float64)
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
        known_right_MN = chunk.known_right_MN
        right = (predicted_MN1 == labels_MN1).squeeze(-1) if known_right_MN is None else known_right_MN
        right = right.double().cpu()
        # The sum in float64 keeps a confidence of 1 − 1e-9 below 1, in the bin and in the loss.
        weights_MNC = (logits_MNC - highest_MN1).exp_()
        total_MN1 = weights_MNC.sum(-1, keepdim=True, dtype=torch.float64)
        confidence = total_MN1.reciprocal().squeeze(-1).cpu()
        nll_MN1 = total_MN1.log() + highest_MN1.double() - label_logits_MN1.double()
        squares_MN1 = weights_MNC.square_().sum(-1, keepdim=True, dtype=torch.float64)
        brier_MN1 = squares_MN1 / total_MN1**2 - 2 * (-nll_MN1).exp() + 1
        classes_C = torch.arange(logits_MNC.shape[-1], device=logits_MNC.device)
        equal_before_MNC = (logits_MNC == label_logits_MN1) & (classes_C < labels_MN1)
        ahead_MN = (logits_MNC > label_logits_MN1).sum(-1) + equal_before_MNC.sum(-1)

        self.count_B += torch.bincount(blocks_N, minlength=len(self.count_B))
        self.right_BM.index_add_(0, blocks_N, right.T)
        self.top5_M += (ahead_MN < 5).sum(1).cpu()
        self.nll_M += nll_MN1.sum((1, 2)).cpu()
        self.brier_M += brier_MN1.sum((1, 2)).cpu()
        bins = (confidence * NUM_BINS).ceil_().long().sub_(1).clamp_(0, NUM_BINS - 1)
        self.bin_count_MQ.scatter_add_(1, bins, torch.ones_like(confidence))
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
        ece_M, ece_debiased_M = calibration_errors(
            self.bin_count_MQ, self.bin_right_MQ, self.bin_confidence_MQ
        )
        return ModelAccuracy(
            n=int(n),
            top1_M=self.right_BM.sum(0) / n,
            top5_M=self.top5_M / n,
            nll_M=self.nll_M / n,
            ece_M=ece_M,
            ece_debiased_M=ece_debiased_M,
            brier_M=self.brier_M / n,
            right_BM=self.right_BM.clone(),
            count_B=self.count_B.clone(),
        )
