"""A run of consecutive samples with the logits of all models: what every streamed statistic reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor


@dataclass(frozen=True)
class Chunk:
    """Samples `start` to `start + n` of one condition.

    Attributes:
        start: index of the first sample in the condition.
        logits_MNC: float32 logits, one row a model.
        labels_N: int64 class indices.
        blocks_N: int64 block of each sample, for the jackknife over images.
        known_right_MN: bool, which models are right, where that is not simply the label's class
            being the top one, as with several accepted labels; None: it is.
    """

    start: int
    logits_MNC: Tensor
    labels_N: Tensor
    blocks_N: Tensor
    known_right_MN: Tensor | None = None

    @cached_property
    def predicted_MN(self) -> Tensor:
        """The top class of each model; its own exact ties go to the lowest index."""
        return self.logits_MNC.argmax(-1)

    @property
    def right_MN(self) -> Tensor:
        """Which models are right."""
        return self.predicted_MN == self.labels_N if self.known_right_MN is None else self.known_right_MN
