"""Two halves of the images: how often every contender is right on each, with intervals over images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from nversion.core import UserError, generator
from nversion.ensembles import Ensembles, Evaluator, right_MN
from nversion.predictions import Predictions
from nversion.reliability import Interval, block_jackknife_stderr

HALVES = ("selection", "held_out")


@dataclass(frozen=True)
class Counts:
    """How often each of X contenders is right under one condition, in each block B of each half H."""

    dataset: str
    right_HBX: Tensor
    count_HB: Tensor

    def top1_X(self, half: int) -> Tensor:
        """Accuracies on one half."""
        top1_X: Tensor = self.right_HBX[half].sum(0) / self.count_HB[half].sum()
        return top1_X

    def of(self, contender: int) -> Counts:
        """One contender alone."""
        return replace(self, right_HBX=self.right_HBX[..., contender : contender + 1])

    def mean_of(self, contenders_X: Tensor) -> Counts:
        """The mean over the contenders where the mask is True."""
        return replace(self, right_HBX=self.right_HBX[..., contenders_X].mean(-1, keepdim=True))


def halves(dataset: str, num_samples: int, seed: int) -> NDArray[np.bool_]:
    """Which samples are held out: a seeded half of each data set, the same under all its conditions.

    Raises:
        UserError: fewer than four images, too few for an interval on each half.

    >>> int(halves("val", 9, seed=0).sum())
    5
    """
    if num_samples < 4:
        raise UserError(
            expected=f"at least 4 images of {dataset!r}, two for each half",
            found=str(num_samples),
            next_step="add images and run the study again",
        )
    order_N = generator("halves for selection", dataset, num_samples, seed).permutation(num_samples)
    return np.asarray(order_N >= num_samples // 2)


def count_right(
    view: Predictions,
    dataset: str,
    families: Sequence[Ensembles],
    consensus: str,
    held_out_N: NDArray[np.bool_],
) -> tuple[Counts, Counts]:
    """Right answers of all ensembles, sizes one after another, and of all models, in one pass."""
    num_blocks, num_models = view.num_blocks, len(view.model_names)
    evaluator = Evaluator(families, [consensus], 2 * num_blocks)
    right_BM = torch.zeros(2 * num_blocks, num_models, dtype=torch.float64)
    held_out = torch.from_numpy(held_out_N)
    for chunk in view.chunks():
        of_half_N = held_out[chunk.start : chunk.start + len(chunk.labels_N)].long()
        blocks_N = chunk.blocks_N + num_blocks * of_half_N  # the halves' blocks stand one after another
        evaluator.update(replace(chunk, blocks_N=blocks_N))
        right_BM.index_add_(0, blocks_N, right_MN(chunk.logits_MNC, chunk.labels_N).T.double())
    evaluations = [of_size[consensus] for of_size in evaluator.result()]
    correct_BE = torch.cat([evaluation.correct_BE for evaluation in evaluations], dim=1)
    count_HB = evaluations[0].count_B.view(2, num_blocks)
    return (
        Counts(dataset, correct_BE.view(2, num_blocks, -1), count_HB),
        Counts(dataset, right_BM.view(2, num_blocks, -1), count_HB),
    )


def jackknife_interval(
    statistic: Callable[[Tensor], Tensor], counts: Sequence[Sequence[Counts]], half: int
) -> tuple[float, Interval]:
    """A statistic of several contenders on one half, with its 95 % interval over images.

    Images of different data sets are independent: the variance is the sum over data sets of the block
    jackknife's, the quantile Student's with the blocks of the smallest data set less one. Where no
    block changes the statistic there is no interval: nan.

    Args:
        statistic: from accuracies (T, X, ...) of X contenders under T conditions to a number (...).
        counts: for each condition, those of each contender.
    """
    full_TX = torch.stack([torch.cat([c.top1_X(half) for c in row]) for row in counts])
    full = statistic(full_TX)
    variance, degrees = 0.0, math.inf
    for dataset in dict.fromkeys(row[0].dataset for row in counts):
        count_B = next(row[0].count_HB[half] for row in counts if row[0].dataset == dataset)
        without_TXB = full_TX[:, :, None].repeat(1, 1, len(count_B))
        for t, row in enumerate(counts):
            if row[0].dataset == dataset:
                right_XB = torch.cat([c.right_HBX[half] for c in row], dim=1).T
                without_TXB[t] = (right_XB.sum(1, keepdim=True) - right_XB) / (count_B.sum() - count_B)
        variance += float(block_jackknife_stderr(full, statistic(without_TXB), count_B)) ** 2
        degrees = min(degrees, int((count_B > 0).sum()) - 1)
    if variance == 0:  # no image tells the contenders apart: that is ignorance, not certainty
        return float(full), Interval(math.nan, math.nan)
    reach = float(stats.t.ppf(0.975, degrees)) * math.sqrt(variance)
    return float(full), Interval(float(full) - reach, float(full) + reach)
