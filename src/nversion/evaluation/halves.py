"""Two halves of the images: how often every contender is right on each, with intervals over images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from scipy import stats
from torch import Tensor

from nversion.core import UserError, generator
from nversion.ensembles import CREDITS, Ensembles, Evaluator
from nversion.predictions import ConditionPredictions
from nversion.reliability import Interval, block_jackknife_stderr, proportion_interval

HALVES = ("selection", "held_out")
CRITERIA: dict[str, Callable[[Tensor], Tensor]] = {
    "worst": lambda top1_TX: top1_TX.amin(0),
    "mean": lambda top1_TX: top1_TX.mean(0),
}
"""From accuracies under T conditions, on the first axis, to the one number that is to be high."""


@dataclass(frozen=True)
class Counts:
    """How often each of X contenders is right under one condition, in each block of images.

    Attributes:
        credits_BX: `CREDITS` for each right answer.
        count_B: images.
        held_out_B: bool, the blocks that are held out; the others choose.
    """

    dataset: str
    credits_BX: Tensor
    count_B: Tensor
    held_out_B: Tensor

    def blocks(self, half: int) -> Tensor:
        """Mask of the blocks of a half, an index into `HALVES`."""
        return self.held_out_B if half else ~self.held_out_B

    def top1_X(self, half: int) -> Tensor:
        """Accuracies on one half."""
        blocks = self.blocks(half)
        top1_X: Tensor = self.credits_BX[blocks].sum(0) / (self.count_B[blocks].sum() * CREDITS)
        return top1_X

    def of(self, contender: int) -> Counts:
        """One contender alone."""
        return replace(self, credits_BX=self.credits_BX[:, contender : contender + 1])

    def mean_of(self, contenders: slice | Tensor) -> Counts:
        """The mean over several contenders."""
        return replace(self, credits_BX=self.credits_BX[:, contenders].mean(-1, keepdim=True))


def held_out_blocks(dataset: str, count_B: Tensor, seed: int) -> Tensor:
    """Which blocks of images are held out: a seeded half of those with images, the same under all conditions.

    Blocks are random sets of images of nearly equal size, and so are these halves.

    Raises:
        UserError: fewer than four blocks have images, too few for an interval on each half.

    >>> int(held_out_blocks("val", torch.ones(9), seed=0).sum())
    5
    """
    occupied = torch.nonzero(count_B).squeeze(1)
    if len(occupied) < 4:
        raise UserError(
            expected=f"at least 4 blocks of images of {dataset!r}, two for each half",
            found=str(len(occupied)),
            next_step="add images, or set num_blocks = 4 or more under [ensembles], and run the study again",
        )
    order = generator("halves for selection", dataset, len(occupied), seed).permutation(len(occupied))
    held_out_B = torch.zeros(len(count_B), dtype=torch.bool)
    held_out_B[occupied[torch.from_numpy(order[len(occupied) // 2 :])]] = True
    return held_out_B


def halves(dataset: str, blocks_N: Tensor, seed: int) -> Tensor:
    """Which samples are held out (N,): those of the blocks that `held_out_blocks` draws."""
    return held_out_blocks(dataset, blocks_N.bincount(), seed)[blocks_N]


def credits_in_blocks(
    view: ConditionPredictions, families: Sequence[Ensembles], consensus: str, num_blocks: int
) -> Tensor:
    """Credits of all models, then of all ensembles, in each block (B, X); see `CREDITS`."""
    right_BM = torch.zeros(num_blocks, len(view.model_names), dtype=torch.float64)
    evaluator, further = (Evaluator(families, [consensus], num_blocks) for _ in range(2))
    for chunk in view.chunks():
        right_BM.index_add_(0, chunk.blocks_N, chunk.right_MN.T.double())
        if families:
            evaluator.update(chunk)
    if families:
        for chunk in view.alternative_chunks():
            further.update(chunk)
    credits = [
        first[consensus].credits_BE + more[consensus].credits_BE
        for first, more in zip(evaluator.result(), further.result(), strict=True)
    ]
    return torch.cat([right_BM * CREDITS, *credits], dim=1)


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
        first = next(row[0] for row in counts if row[0].dataset == dataset)
        blocks = first.blocks(half)
        count_B = first.count_B[blocks]
        without_TXB = full_TX[:, :, None].repeat(1, 1, len(count_B))
        for t, row in enumerate(counts):
            if row[0].dataset == dataset:
                credits_XB = torch.cat([c.credits_BX[blocks] for c in row], dim=1).T
                left_B = (count_B.sum() - count_B) * CREDITS
                without_TXB[t] = (credits_XB.sum(1, keepdim=True) - credits_XB) / left_B
        variance += float(block_jackknife_stderr(full, statistic(without_TXB), count_B)) ** 2
        degrees = min(degrees, int((count_B > 0).sum()) - 1)
    if variance == 0:  # no image tells the contenders apart: that is ignorance, not certainty
        return float(full), Interval(math.nan, math.nan)
    reach = float(stats.t.ppf(0.975, degrees)) * math.sqrt(variance)
    return float(full), Interval(float(full) - reach, float(full) + reach)


def criterion_numbers(
    counts: Mapping[str, Counts], half: int, conditions: Sequence[str], criterion: str, *, is_one: bool = True
) -> dict[str, Any]:
    """A criterion of one contender's accuracies under some conditions of a half.

    As the columns n, top1, top1_low and top1_high.
    The interval is Wilson's for one proportion, the worst condition's too; else the jackknife's.

    Args:
        is_one: the counts are of right answers, not means over ensembles.
    """
    own = [counts[name] for name in conditions]
    value, interval = jackknife_interval(lambda x: CRITERIA[criterion](x)[0], [[c] for c in own], half)
    counted = own
    if is_one and (criterion == "worst" or len(own) == 1):
        worst = min(own, key=lambda c: float(c.top1_X(half)))
        counted = [worst]
        blocks = worst.blocks(half)
        right, trials = float(worst.credits_BX[blocks].sum()) / CREDITS, float(worst.count_B[blocks].sum())
        interval = proportion_interval(right, trials)
    return {
        "n": sum(int(n) for n in {c.dataset: c.count_B[c.blocks(half)].sum() for c in counted}.values()),
        "top1": value,
        "top1_low": max(0.0, interval.low),
        "top1_high": min(1.0, interval.high),
    }
