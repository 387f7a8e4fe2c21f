"""The same choice on many other halves of the images: how often each contender is chosen, and what it gains.

One split is one look at one half; another one may choose another ensemble. The blocks of images that the
jackknife leaves out are dealt to two halves at random, again and again, and each time the rule chooses on one
half. As blocks are random sets of images, so are these halves; and how often everyone is right in each block
is known, so that no model runs and no image is read again.

`tables/selection_splits.parquet` has a row for each split; its columns are in `schemas`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.core import generator
from nversion.ensembles import CREDITS
from nversion.evaluation.halves import Counts

FEWEST_BLOCKS = 4
"""With images, below which a data set has no halves to speak of."""


@dataclass
class SplitSums:
    """What the choosing halves of S splits say of X contenders: the sums behind both criteria.

    Memory: 16·S bytes for each contender.

    Attributes:
        least_SX, sum_SX: least and summed accuracy over the seen conditions so far.
    """

    num_splits: int
    num_conditions: int = 0
    least_SX: Tensor | None = None
    sum_SX: Tensor | None = None

    def add(self, counts: Counts) -> None:
        """Add a seen condition."""
        top1_SX = top1_of_splits(counts, choosing_halves(counts, self.num_splits))
        self.least_SX = top1_SX if self.least_SX is None else torch.minimum(self.least_SX, top1_SX)
        self.sum_SX = top1_SX.clone() if self.sum_SX is None else self.sum_SX.add_(top1_SX)
        self.num_conditions += 1

    def criteria(self) -> dict[str, NDArray[np.float64]]:
        """Each criterion (S, X), rounded so that equals are equal; see `front.both_criteria`."""
        assert self.least_SX is not None
        assert self.sum_SX is not None
        found = {"worst": self.least_SX, "mean": self.sum_SX / self.num_conditions}
        return {name: values_SX.numpy().round(12) for name, values_SX in found.items()}


def choosing_halves(counts: Counts, num_splits: int) -> Tensor:
    """Which blocks choose, float64 (S, B): in each split a seeded half of a data set's blocks with images.

    The same under all conditions of the data set.
    """
    count_B = counts.count_B
    occupied = tuple(torch.nonzero(count_B).squeeze(1).tolist())
    return _halves(counts.dataset, occupied, len(count_B), num_splits)


@lru_cache(maxsize=16)
def _halves(dataset: str, occupied: tuple[int, ...], num_blocks: int, num_splits: int) -> Tensor:
    chosen_SB = torch.zeros(num_splits, num_blocks, dtype=torch.float64)
    for split in range(num_splits):
        order = generator("halves of blocks", dataset, len(occupied), split).permutation(np.array(occupied))
        chosen_SB[split, order[: len(occupied) // 2]] = 1
    return chosen_SB


def top1_of_splits(counts: Counts, blocks_SB: Tensor) -> Tensor:
    """Accuracies of all contenders on some blocks, (S, X)."""
    credits_BX, count_B = counts.credits_BX, counts.count_B.double()
    return (blocks_SB @ credits_BX) / (blocks_SB @ (count_B * CREDITS)).unsqueeze(1)


def can_split(counts: Counts) -> bool:
    """Whether the data set has blocks enough."""
    return int((counts.count_B > 0).sum()) >= FEWEST_BLOCKS


def best_of_splits(
    sums: SplitSums, among: NDArray[np.int64], criterion: str, params_X: NDArray[np.int64]
) -> list[int]:
    """The contender that the rule takes in each split, as `contenders.choose` does."""
    criteria = sums.criteria()
    first_SX = criteria.pop(criterion)[:, among]
    (second_SX,) = (values_SX[:, among] for values_SX in criteria.values())
    found = []
    for first_X, second_X in zip(first_SX, second_SX, strict=True):
        tied = np.flatnonzero(first_X == first_X.max())
        tied = tied[second_X[tied] == second_X[tied].max()]
        found.append(int(among[tied[params_X[among[tied]].argmin()]]))  # the first of equals
    return found


def gains(
    a: Mapping[str, Counts], b: Mapping[str, Counts], conditions: Sequence[str], criterion: str, splits: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The criterion of one contender less another's in each split: on the half that chose, on the other."""
    found = []
    for choosing in (True, False):
        values = []
        for contender in (a, b):
            top1 = []
            for name in conditions:
                chosen_SB = choosing_halves(contender[name], splits)
                top1.append(top1_of_splits(contender[name], chosen_SB if choosing else 1 - chosen_SB)[:, 0])
            top1_TS = torch.stack(top1)
            values.append(top1_TS.amin(0) if criterion == "worst" else top1_TS.mean(0))
        found.append((values[0] - values[1]).numpy().round(12) + 0.0)
    return found[0], found[1]


@dataclass(frozen=True)
class Stability:
    """What repeated splits say in a few numbers; fractions, nan without splits.

    Attributes:
        num_splits: how many.
        chosen: the contenders by how often each was chosen, most often first: name, members, splits.
        single: in how many a single model was chosen.
        gain, gain_low, gain_high: median, 5 % and 95 % quantile of the gain on the held-out half over the
            best single model of the choosing half.
        above: share of the splits in which that gain is above 0.
    """

    num_splits: int
    chosen: list[tuple[str, list[str], int]]
    single: int
    gain: float
    gain_low: float
    gain_high: float
    above: float


def stability(table: pl.DataFrame) -> Stability:
    """The summary of a table of splits."""
    counted = table.group_by("ensemble", "size", maintain_order=True).agg(
        pl.col("members").first(), pl.len().alias("splits")
    )
    counted = counted.sort("splits", descending=True, maintain_order=True)
    gain = table["gain_held_out"].to_numpy()
    low, middle, high = np.quantile(gain, [0.05, 0.5, 0.95]) if len(gain) else [np.nan] * 3
    return Stability(
        table.height,
        [(row["ensemble"], row["members"], row["splits"]) for row in counted.iter_rows(named=True)],
        table.filter(size=1).height,
        float(middle),
        float(low),
        float(high),
        float((gain > 0).mean()) if len(gain) else np.nan,
    )
