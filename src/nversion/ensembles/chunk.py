"""A run of consecutive samples with the logits of all models: what every streamed statistic reads."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Chunk:
    """Samples `start` to `start + n` of one condition.

    Attributes:
        start: index of the first sample in the condition.
        logits_MNC: float32 logits, one row a model.
        labels_N: int64 class indices.
        blocks_N: int64 block of each sample, for the jackknife over images.
    """

    start: int
    logits_MNC: Tensor
    labels_N: Tensor
    blocks_N: Tensor
