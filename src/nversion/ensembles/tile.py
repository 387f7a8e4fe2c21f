"""The samples in hand: few enough that their logits stay in the cache while every rule reads them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Tile:
    """N samples with all models' logits.

    Attributes:
        start: index of the first sample in the condition.
        logits_MNC: contiguous, float32 or wider.
        workspace_MNC: as large, free to overwrite: fresh pages cost more than the arithmetic on them.
        labels_N, blocks_N: int64.
        right_NM: float64, 1 where a model alone is right.
        draws_N: float64 in [0, 1) where shared ties are settled at random, else None.
        budget_bytes: for intermediate results.
    """

    start: int
    logits_MNC: Tensor
    workspace_MNC: Tensor
    labels_N: Tensor
    blocks_N: Tensor
    right_NM: Tensor
    draws_N: Tensor | None
    budget_bytes: int

    def members_logits(self, members_KR: Tensor, rows_R: Tensor) -> Tensor:
        """Logits_KRC of R (sample, ensemble) pairs."""
        flat_KR = members_KR * self.logits_MNC.shape[1] + rows_R
        logits_FC = self.logits_MNC.flatten(0, 1).index_select(0, flat_KR.flatten())
        return logits_FC.view(*flat_KR.shape, -1)
