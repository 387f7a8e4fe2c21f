"""The Pareto front of cost and accuracy, drawn on the half that chooses and told on the rest.

`tables/front.parquet` has a row for each single model or ensemble that is better by the criterion, on
the choosing half and the seen conditions, than everything that costs no more; cheapest first. A front
drawn and told on the same images is too good: each of its points is there partly by luck.

- `size`, `consensus` (null for a single model), `ensemble`, `members`, `is_single`; `params`, `macs`
  of all members together, one of which is the cost.
- `chosen_top1`: the criterion that put it on the front.
- `top1`, `top1_low`, `top1_high`: the criterion on the held-out half under the seen conditions, and
  `unseen_top1`, `unseen_low`, `unseen_high` under the unseen ones, with 95 % intervals.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from torch import Tensor

from nversion.evaluation.halves import CRITERIA

COSTS = ("params", "macs")
FRONT: dict[str, pl.DataType | type[pl.DataType]] = {
    "size": pl.Int64, "consensus": pl.String, "ensemble": pl.String, "members": pl.List(pl.String),
    "params": pl.Int64, "macs": pl.Int64, "chosen_top1": pl.Float64, "top1": pl.Float64,
    "top1_low": pl.Float64, "top1_high": pl.Float64, "unseen_top1": pl.Float64, "unseen_low": pl.Float64,
    "unseen_high": pl.Float64, "is_single": pl.Boolean,
}  # fmt: skip


def pareto_front(top1_TX: Tensor, cost_X: NDArray[np.int64], criterion: str) -> list[int]:
    """The contenders that beat everything that costs no more, cheapest first.

    Of contenders equal in cost and criterion the better by the other criterion is taken, then the first.

    Args:
        top1_TX: accuracies of X contenders under T conditions.

    >>> import torch
    >>> pareto_front(torch.tensor([[0.5, 0.7, 0.6, 0.7, 0.8]]), np.array([1, 2, 2, 3, 9]), "worst")
    [0, 1, 4]
    """
    first_X, second_X = both_criteria(top1_TX, criterion)
    order = np.lexsort((-second_X, -first_X, cost_X))
    highest = np.maximum.accumulate(first_X[order])
    better = np.append(True, first_X[order][1:] > highest[:-1])
    found: list[int] = order[better].tolist()
    return found


def both_criteria(top1_TX: Tensor, criterion: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The criterion and the other one, rounded so that equals are equal.

    Equal counts under other conditions sum to means that differ in the last bit.
    """
    other = next(name for name in CRITERIA if name != criterion)
    first_X, second_X = (CRITERIA[name](top1_TX.double()).numpy().round(12) for name in (criterion, other))
    return first_X, second_X
