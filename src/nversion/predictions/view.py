"""Read-only, memory-mapped logits of all models under one condition, read in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nversion.core import chunk_length, generator, spans
from nversion.ensembles import Chunk

# Measured for 14 models × 5200 samples × 1000 classes (float16 files, all 3458 ensembles of two to five under
# three rules), peak of the process with 694 MiB of imports and 139 MiB of mapped files: 975 MiB with 8 MiB,
# 1044 with 16, 1522 with 128. Smaller is slower (4 MiB: 40 %), larger is not quicker.
BUDGET_BYTES = 8 << 20


def block_of_each_sample(sample_ids: Sequence[str], num_blocks: int) -> NDArray[np.int64]:
    """Random blocks of nearly equal size for the jackknife over images, shape (N,).

    A sample's block depends on the set of ids only, so it is the same under every condition.
    """
    num_samples = len(sample_ids)
    order = generator("jackknife blocks", num_samples).permutation(num_samples)
    blocks_N = np.empty(num_samples, np.int64)
    blocks_N[order] = np.arange(num_samples) * min(num_blocks, num_samples) // max(num_samples, 1)
    return blocks_N


@dataclass(frozen=True)
class Predictions:
    """Logits of M models on N samples of one condition, aligned by sample id.

    Samples whose image could not be decoded are left out (and counted by the study).

    Attributes:
        logits: per model, the stored (N, C) array, memory-mapped.
        rows_N: rows of these arrays that hold readable samples.
        labels_N: class indices of these rows.
        blocks_N: jackknife block of these rows.
    """

    condition: str
    model_names: tuple[str, ...]
    logits: tuple[NDArray[Any], ...]
    rows_N: NDArray[np.int64]
    labels_N: NDArray[np.int64]
    blocks_N: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows_N)

    @property
    def num_blocks(self) -> int:
        return int(self.blocks_N.max()) + 1 if len(self.blocks_N) else 0

    @property
    def num_classes(self) -> int:
        return int(self.logits[0].shape[1])

    def chunks(self, budget_bytes: int = BUDGET_BYTES) -> Iterator[Chunk]:
        """Consecutive samples with float32 logits; at most `budget_bytes` of them at a time."""
        row_bytes = 4 * len(self.logits) * self.num_classes
        for start, stop in spans(len(self), chunk_length(row_bytes, budget_bytes)):
            rows = self.rows_N[start:stop]
            logits_MNC = torch.empty(len(self.logits), stop - start, self.num_classes)
            for model, stored in enumerate(self.logits):
                logits_MNC[model] = torch.from_numpy(np.asarray(stored[rows]))
            yield Chunk(
                start,
                logits_MNC,
                torch.from_numpy(self.labels_N[start:stop]),
                torch.from_numpy(self.blocks_N[start:stop]),
            )
