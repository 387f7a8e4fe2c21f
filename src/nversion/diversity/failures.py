"""Failure counts: how many members of every ensemble fail together, as additive sums per block of samples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nversion.core import UserError, chunk_length, spans
from nversion.ensembles import Ensembles

from .statistics import _check_right, leave_one_block_out

# One tile of patterns × ensembles: float32 counts, int64 bins, float64 weights, a temporary of each.
_BYTES_PER_ENTRY = 40
_PATTERNS_AT_ONCE = 256
_BITS_AT_ONCE = 32


@dataclass(frozen=True)
class FailureCounts:
    """On how many samples exactly i members of an ensemble fail, for all ensembles and every block.

    Add the counts of disjoint sets of samples with `+`. Everything about right and wrong that does
    not tell one member from another is a function of these counts.

    Attributes:
        counts_BEK1: float64 number of samples, shape (B, E, K + 1); the last axis is i = 0 … K.

    >>> right_MN = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0]], dtype=torch.bool)
    >>> blocks_N = torch.tensor([0, 0, 1, 1])
    >>> counts = FailureCounts.from_right(right_MN, blocks_N, 2, Ensembles.all_of(3, 3))
    >>> counts.total().tolist()
    [[1.0, 0.0, 2.0, 1.0]]
    """

    counts_BEK1: Tensor

    @classmethod
    def from_right(
        cls,
        right_MN: Tensor,
        blocks_N: Tensor,
        num_blocks: int,
        ensembles: Ensembles,
        *,
        budget_bytes: int = 4 << 20,
    ) -> FailureCounts:
        """The counts of the samples of one chunk.

        Samples of one block on which the same models fail are one pattern. With F the patterns (P×M,
        1 where a model fails) and U the 0/1 membership matrix (E×M), `F @ Uᵀ` is the number of failing
        members; counting its values, each pattern as often as it occurs, gives the result.

        Time: one sort of N integers for every 32 models, 2·P·M·E operations of the product, and about
        5 ns on one CPU thread for each of the P·E values that are counted. P is at most N, and at most
        2^M in each block: many models merge few samples.

        Memory: the result, 8·B·E·(K + 1) bytes; about 60·N + 6·M·P bytes for the patterns; `budget_bytes`.

        Args:
            right_MN: bool, true where model m is right on sample n.
            blocks_N: int64 block of each sample, in 0 … num_blocks − 1.
            num_blocks: B; blocks without a sample here count 0.
            ensembles: E ensembles of K of the M models.
            budget_bytes: memory of one tile of patterns × ensembles; the default stays in the cache,
                and larger tiles are slower.

        Raises:
            UserError: right is not a bool matrix of the ensembles' models, or blocks do not fit it.
        """
        _check_right(right_MN, blocks_N, num_blocks)
        if len(right_MN) != ensembles.num_models:
            raise UserError(
                expected=f"right and wrong of {ensembles.num_models} models, as the ensembles'",
                found=f"{len(right_MN)} models",
                next_step="pass the rows of the models that the ensembles are made of",
            )
        device, num_counts = right_MN.device, ensembles.size + 1
        sample_P, weight_P = _patterns(right_MN, blocks_N)
        failing_PM = (~right_MN[:, sample_P]).T.float().contiguous()
        bin_P = blocks_N[sample_P] * num_counts
        membership_ME = ensembles.membership_EM().to(device).T.contiguous()

        num_patterns, num_bins = len(weight_P), num_blocks * num_counts
        of_one_ensemble = _BYTES_PER_ENTRY * min(num_patterns, _PATTERNS_AT_ONCE) + 16 * num_bins
        width = chunk_length(of_one_ensemble, budget_bytes, at_most=len(ensembles))
        height = chunk_length(_BYTES_PER_ENTRY * width, budget_bytes)
        shape = (num_blocks, len(ensembles), num_counts)
        counts_BEK1 = torch.empty(shape, dtype=torch.float64, device=device)
        for start, stop in spans(len(ensembles), width):
            counts_X = torch.zeros((stop - start) * num_bins, dtype=torch.float64, device=device)
            first_bin_E = torch.arange(stop - start, device=device) * num_bins
            for low, high in spans(num_patterns, height):
                num_failing_PE = (failing_PM[low:high] @ membership_ME[:, start:stop]).long()
                bin_PE = num_failing_PE + bin_P[low:high, None] + first_bin_E
                weight_PE = weight_P[low:high, None].expand_as(bin_PE)
                counts_X.scatter_add_(0, bin_PE.flatten(), weight_PE.flatten())
            counts_BEK1[:, start:stop] = counts_X.view(stop - start, num_blocks, num_counts).transpose(0, 1)
        return cls(counts_BEK1)

    @property
    def size(self) -> int:
        """K, the number of members of each ensemble."""
        return self.counts_BEK1.shape[-1] - 1

    def __add__(self, other: FailureCounts) -> FailureCounts:
        if self.counts_BEK1.shape != other.counts_BEK1.shape:
            raise UserError(
                expected=f"counts of the same blocks and ensembles, {tuple(self.counts_BEK1.shape)}",
                found=str(tuple(other.counts_BEK1.shape)),
                next_step="add counts of the same ensembles with the same number of blocks",
            )
        return FailureCounts(self.counts_BEK1 + other.counts_BEK1)

    def total(self) -> Tensor:
        """The counts of all samples, shape (E, K + 1)."""
        return self.counts_BEK1.sum(0)

    def without_each_block(self) -> Tensor:
        """The counts of all samples but those of block b, shape (B, E, K + 1): the jackknife's input."""
        return leave_one_block_out(self.counts_BEK1)


def _patterns(right_MN: Tensor, blocks_N: Tensor) -> tuple[Tensor, Tensor]:
    """One sample of each different (block, right/wrong of all models), and how often each occurs.

    The block, then one bit a model, make an integer; every 32 models it gives way to its rank among the
    different ones, which is below 2^31.
    """
    rank_N = blocks_N.long()
    for start, stop in spans(len(right_MN), _BITS_AT_ONCE):
        for right_N in right_MN[start:stop]:
            rank_N = (rank_N << 1) | right_N
        _, rank_N = torch.unique(rank_N, return_inverse=True)
    weight_P = torch.bincount(rank_N)
    sample_P = torch.empty_like(weight_P)
    sample_P[rank_N] = torch.arange(len(rank_N), device=right_MN.device)
    return sample_P, weight_P.double()
