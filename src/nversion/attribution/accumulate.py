"""The streamed sums behind attribution diversity: one M×M matrix for each block of samples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class GramSums:
    """Sums of Gram matrices over the samples of each block; additive.

    Eq. 7 averages A over samples and A is linear in the Gram matrix, so the mean Gram matrix gives the
    mean A of every ensemble. A sample on which the map of any member is undefined (see `gram`) is left
    out for all ensembles, so that all of them are measured on the same samples; `undefined_BM` says
    how many there were and whose maps they were.

    Memory is 8·B·M² bytes, whatever the number of samples.

    Attributes:
        gram_BMM: float64, sum over the defined samples of a block.
        count_B: int64, defined samples of a block.
        left_out_B: int64, samples with an undefined map.
        undefined_BM: int64, undefined maps of each member.
    """

    gram_BMM: Tensor
    count_B: Tensor
    left_out_B: Tensor
    undefined_BM: Tensor

    @classmethod
    def zeros(cls, num_blocks: int, num_models: int, device: torch.device | str = "cpu") -> GramSums:
        """Nothing seen yet."""
        return cls(
            torch.zeros((num_blocks, num_models, num_models), dtype=torch.float64, device=device),
            torch.zeros(num_blocks, dtype=torch.int64, device=device),
            torch.zeros(num_blocks, dtype=torch.int64, device=device),
            torch.zeros((num_blocks, num_models), dtype=torch.int64, device=device),
        )

    @classmethod
    def of(cls, gram_NMM: Tensor, blocks_N: Tensor, num_blocks: int) -> GramSums:
        """The sums of Gram matrices that are at hand, such as stored ones of all samples.

        >>> sums = GramSums.of(torch.eye(2).expand(3, 2, 2), torch.tensor([0, 0, 1]), num_blocks=2)
        >>> sums.gram_BMM[:, 0, 0].tolist(), sums.count_B.tolist()
        ([2.0, 1.0], [2, 1])
        """
        sums = cls.zeros(num_blocks, gram_NMM.shape[1], gram_NMM.device)
        sums.update(gram_NMM, blocks_N)
        return sums

    def update(self, gram_NMM: Tensor, blocks_N: Tensor) -> None:
        """Add the samples of one batch.

        Args:
            gram_NMM: as `gram` makes it; nan rows and columns stand for undefined maps.
            blocks_N: int64, the block of each sample.
        """
        undefined_NM = gram_NMM.diagonal(dim1=1, dim2=2).isnan()
        left_out_N = undefined_NM.any(dim=1)
        # A product with the 0/1 matrix of blocks instead of index_add_: the same bytes on every run,
        # also on devices that add by atomics.
        inside_BN = torch.arange(len(self.count_B), device=blocks_N.device).unsqueeze(1) == blocks_N
        defined_NMM = gram_NMM.double().masked_fill(left_out_N[:, None, None], 0.0)
        self.gram_BMM += (inside_BN.double() @ defined_NMM.flatten(1)).reshape(self.gram_BMM.shape)
        self.count_B += (inside_BN & ~left_out_N).sum(dim=1)
        self.left_out_B += (inside_BN & left_out_N).sum(dim=1)
        self.undefined_BM += (inside_BN.unsqueeze(2) & undefined_NM).sum(dim=1)

    def __add__(self, other: GramSums) -> GramSums:
        return GramSums(
            self.gram_BMM + other.gram_BMM,
            self.count_B + other.count_B,
            self.left_out_B + other.left_out_B,
            self.undefined_BM + other.undefined_BM,
        )

    def mean_gram(self) -> Tensor:
        """gram_MM averaged over all defined samples; nan where there are none."""
        return self.gram_BMM.sum(dim=0) / self.count_B.sum()

    def leave_one_block_out(self) -> Tensor:
        """gram_BMM averaged over the defined samples outside of each block; nan where there are none."""
        rest_BMM = self.gram_BMM.sum(dim=0) - self.gram_BMM
        return rest_BMM / (self.count_B.sum() - self.count_B)[:, None, None]
