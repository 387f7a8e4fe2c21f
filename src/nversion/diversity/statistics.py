"""Pair counts: additive sums, per block of samples, from which every pairwise metric follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from nversion.core import UserError

# A float32 sum of zeros and ones is exact up to here.
_EXACT_FLOAT32 = 1 << 24


class PairTable(NamedTuple):
    """The 2×2 table of right and wrong of every pair, float64, shape (..., M, M).

    Attributes:
        n11: both right.
        n10: only the first (row) right.
        n01: only the second (column) right.
        n00: both wrong.
    """

    n11: Tensor
    n10: Tensor
    n01: Tensor
    n00: Tensor


@dataclass(frozen=True)
class PairCounts:
    """How often two models are right together, for all pairs and every block of samples.

    Add the counts of disjoint sets of samples with `+`; the other three cells of the 2×2 table
    follow from the one that is kept, because the diagonal holds each model's own count.

    Attributes:
        both_right_BMM: float64 number of samples on which both are right; symmetric.
        count_B: float64 number of samples.

    >>> right_MN = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 0]], dtype=torch.bool)
    >>> counts = PairCounts.from_right(right_MN, torch.tensor([0, 0, 1, 1]), num_blocks=2)
    >>> counts.only_first_BMM[:, 0, 1].tolist()
    [1.0, 0.0]
    >>> [int(cell[0, 1]) for cell in counts.total()]
    [1, 1, 1, 1]
    """

    both_right_BMM: Tensor
    count_B: Tensor

    @classmethod
    def from_right(cls, right_MN: Tensor, blocks_N: Tensor, num_blocks: int) -> PairCounts:
        """The counts of the samples of one chunk.

        Args:
            right_MN: bool, true where model m is right on sample n.
            blocks_N: int64 block of each sample, in 0 … num_blocks − 1.
            num_blocks: B; blocks without a sample here count 0.

        Memory: about 2·M·N float32 and 3·B·M² float64.

        Raises:
            UserError: right is not a bool matrix, or blocks do not fit it.
        """
        _check_right(right_MN, blocks_N, num_blocks)
        return cls(
            both_right_BMM=_gram_of_each_block(right_MN, blocks_N, num_blocks),
            count_B=torch.bincount(blocks_N, minlength=num_blocks).double(),
        )

    @property
    def right_BM(self) -> Tensor:
        """Number of samples on which each model is right."""
        return self.both_right_BMM.diagonal(dim1=-2, dim2=-1)

    @property
    def only_first_BMM(self) -> Tensor:
        """Number of samples on which the first (row) is right and the second wrong."""
        return self.right_BM.unsqueeze(-1) - self.both_right_BMM

    @property
    def only_second_BMM(self) -> Tensor:
        """Number of samples on which the second (column) is right and the first wrong."""
        return self.right_BM.unsqueeze(-2) - self.both_right_BMM

    @property
    def both_wrong_BMM(self) -> Tensor:
        """Number of samples on which both are wrong."""
        either_right_BMM = self.right_BM.unsqueeze(-1) + self.only_second_BMM
        return self.count_B[:, None, None] - either_right_BMM

    def __add__(self, other: PairCounts) -> PairCounts:
        if self.both_right_BMM.shape != other.both_right_BMM.shape:
            raise UserError(
                expected=f"counts of the same blocks and models, {tuple(self.both_right_BMM.shape)}",
                found=str(tuple(other.both_right_BMM.shape)),
                next_step="add counts of the same models with the same number of blocks",
            )
        return PairCounts(self.both_right_BMM + other.both_right_BMM, self.count_B + other.count_B)

    def each_block(self) -> PairTable:
        """The tables of every block, shape (B, M, M)."""
        return PairTable(self.both_right_BMM, self.only_first_BMM, self.only_second_BMM, self.both_wrong_BMM)

    def total(self) -> PairTable:
        """The table of all samples, shape (M, M)."""
        n11, n10, n01, n00 = self.each_block()
        return PairTable(n11.sum(0), n10.sum(0), n01.sum(0), n00.sum(0))

    def without_each_block(self) -> PairTable:
        """The tables of all samples but those of block b, shape (B, M, M): the jackknife's input."""
        n11, n10, n01, n00 = self.each_block()
        return PairTable(
            leave_one_block_out(n11),
            leave_one_block_out(n10),
            leave_one_block_out(n01),
            leave_one_block_out(n00),
        )


def leave_one_block_out(statistic_B: Tensor) -> Tensor:
    """The sum over all blocks but one, for each block; blocks lie on the first axis.

    >>> leave_one_block_out(torch.tensor([1.0, 2.0, 4.0])).tolist()
    [6.0, 5.0, 3.0]
    """
    return statistic_B.sum(0) - statistic_B


def _gram_of_each_block(right_MN: Tensor, blocks_N: Tensor, num_blocks: int) -> Tensor:
    # Each block is cut into pieces of the mean block's length, padded with zeros: at most 2·B
    # pieces however unequal the blocks are, all multiplied by one batched product.
    num_models, num_samples = right_MN.shape
    device = right_MN.device
    length = min(max(1, -(-num_samples // num_blocks)), _EXACT_FLOAT32)
    count_B = torch.bincount(blocks_N, minlength=num_blocks)
    pieces_B = (count_B + length - 1) // length
    num_pieces = int(pieces_B.sum())

    order_N = torch.argsort(blocks_N, stable=True)
    sorted_blocks_N = blocks_N[order_N]
    first_sample_B = count_B.cumsum(0) - count_B
    first_piece_B = pieces_B.cumsum(0) - pieces_B
    rank_N = torch.arange(num_samples, device=device) - first_sample_B[sorted_blocks_N]
    slot_N = first_piece_B[sorted_blocks_N] * length + rank_N

    padded_MS = torch.zeros(num_models, num_pieces * length, device=device)
    padded_MS[:, slot_N] = right_MN[:, order_N].float()
    padded_PML = padded_MS.view(num_models, num_pieces, length).transpose(0, 1)
    block_P = torch.repeat_interleave(torch.arange(num_blocks, device=device), pieces_B)
    gram_BMM = torch.zeros(num_blocks, num_models, num_models, dtype=torch.float64, device=device)
    return gram_BMM.index_add_(0, block_P, torch.bmm(padded_PML, padded_PML.mT).double())


def _check_right(right_MN: Tensor, blocks_N: Tensor, num_blocks: int) -> None:
    if right_MN.dtype != torch.bool or right_MN.ndim != 2:
        raise UserError(
            expected="a bool matrix of models × samples",
            found=f"{right_MN.dtype} of shape {tuple(right_MN.shape)}",
            next_step="pass predicted_MN == labels_N",
        )
    if blocks_N.shape != right_MN.shape[1:]:
        raise UserError(
            expected=f"one block for each of {right_MN.shape[1]} samples",
            found=f"blocks of shape {tuple(blocks_N.shape)}",
            next_step="pass the blocks of the same samples",
        )
    if num_blocks < 1 or (len(blocks_N) and not 0 <= int(blocks_N.min()) <= int(blocks_N.max()) < num_blocks):
        found = f"{int(blocks_N.min())} to {int(blocks_N.max())}" if len(blocks_N) else f"{num_blocks} blocks"
        raise UserError(
            expected=f"blocks in 0 to {num_blocks - 1}" if num_blocks > 0 else "at least one block",
            found=found,
            next_step="pass num_blocks above the largest block",
        )
