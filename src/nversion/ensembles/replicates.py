"""A value of every ensemble, and the same value without each block of samples."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Replicated(NamedTuple):
    """What a block jackknife starts from; float64, nan where undefined.

    Attributes:
        full_E: of all samples.
        without_BE: of all samples but those of block b.
    """

    full_E: Tensor
    without_BE: Tensor

    @classmethod
    def mean(cls, sum_BE: Tensor, count_B: Tensor) -> Replicated:
        """Sums of each block over numbers of samples; nan where no sample is left.

        A block is left out by adding up the others' running sums, not by subtracting it from the total:
        a block that holds an infinite sum leaves the others finite.

        >>> import torch
        >>> Replicated.mean(torch.tensor([[1.0], [6.0]]), torch.tensor([1.0, 2.0])).without_BE.tolist()
        [[3.0], [1.0]]
        """
        count_B = count_B.double()
        column_B = count_B.view(-1, *[1] * (sum_BE.ndim - 1))
        left_B = column_B.sum(0) - column_B
        return cls(sum_BE.sum(0) / count_B.sum(), sum_of_others(sum_BE) / left_B)


def sum_of_others(sum_BE: Tensor) -> Tensor:
    """The sum over all blocks but each, from running sums of both ends; infinite blocks stay apart.

    >>> import torch
    >>> sum_of_others(torch.tensor([1.0, torch.inf, 4.0])).tolist()
    [inf, 5.0, inf]
    """
    before_BE = sum_BE.cumsum(0).roll(1, 0)
    after_BE = sum_BE.flip(0).cumsum(0).flip(0).roll(-1, 0)
    before_BE[:1] = 0
    after_BE[-1:] = 0
    return before_BE + after_BE
