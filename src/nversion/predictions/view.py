"""Read-only, memory-mapped logits of all models under one condition, read in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.core import chunk_length, generator, spans
from nversion.ensembles import Chunk

from .storage import StoredLogits

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
class AcceptedSets:
    """The labels that count as right of each of N samples.

    Attributes:
        labels_NW: int64, a sample's own label first, then its further ones, then -1.
    """

    labels_NW: Tensor

    @classmethod
    def of(cls, labels_N: NDArray[np.int64], accepted: Mapping[int, tuple[int, ...]]) -> AcceptedSets:
        """Labels of N samples, and further accepted ones by the index of the sample.

        >>> AcceptedSets.of(np.array([0, 1]), {1: (2,)}).labels_NW.tolist()
        [[0, -1], [1, 2]]
        """
        width = 1 + max(map(len, accepted.values()), default=0)
        labels_NW = torch.full((len(labels_N), width), -1)
        labels_NW[:, 0] = torch.tensor(labels_N)
        for sample, further in accepted.items():
            labels_NW[sample, 1 : 1 + len(further)] = torch.tensor(further)
        return cls(labels_NW)

    def right_MN(self, predicted_MN: Tensor, samples: slice | Tensor = slice(None)) -> Tensor:
        """Which of the predicted classes are accepted, for all samples or those that `samples` picks.

        >>> sets = AcceptedSets(torch.tensor([[0, -1], [1, 2]]))
        >>> sets.right_MN(torch.tensor([[2, 2], [0, 1]])).tolist()
        [[False, True], [True, True]]
        """
        labels_NW = self.labels_NW[samples].to(predicted_MN.device)
        right_MN = predicted_MN == labels_NW[:, 0]
        for labels_N in labels_NW.T[1:]:
            right_MN |= predicted_MN == labels_N
        return right_MN


@dataclass(frozen=True)
class ConditionPredictions:
    """Logits of M models on N samples of one condition, aligned by sample id.

    Samples whose image could not be decoded are left out (and counted by the study).

    Attributes:
        logits: per model, (N, C), as they lie on disk.
        rows_N: rows of these arrays that hold readable samples.
        labels_N: class indices of these rows.
        blocks_N: jackknife block of these rows.
        accepted: further labels that count as right, by the index of the sample (0 to N - 1, not the row
            in the store); empty where each sample has one label.
        sample_ids: of these rows; empty where they are not known.
    """

    condition: str
    model_names: tuple[str, ...]
    logits: tuple[StoredLogits | NDArray[Any], ...]
    rows_N: NDArray[np.int64]
    labels_N: NDArray[np.int64]
    blocks_N: NDArray[np.int64]
    accepted: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    sample_ids: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows_N)

    @property
    def num_blocks(self) -> int:
        return int(self.blocks_N.max()) + 1 if len(self.blocks_N) else 0

    @property
    def num_classes(self) -> int:
        return int(self.logits[0].shape[1])

    @cached_property
    def accepted_sets(self) -> AcceptedSets:
        """All labels that count as right of each sample."""
        return AcceptedSets.of(self.labels_N, self.accepted)

    def chunks(self, budget_bytes: int = BUDGET_BYTES) -> Iterator[Chunk]:
        """Consecutive samples with float32 logits; at most `budget_bytes` of them at a time."""
        for start, stop in self._spans(len(self), budget_bytes):
            yield self._chunk(start, torch.arange(start, stop), torch.from_numpy(self.labels_N[start:stop]))

    def alternative_chunks(
        self, budget_bytes: int = BUDGET_BYTES, *, in_place: bool = False
    ) -> Iterator[Chunk]:
        """A pseudo-sample for each further accepted label: the sample's logits and block, that label.

        The probability that an ensemble is right is the sum, over the labels that a sample accepts, of
        the probability that the label wins. So the sums of right answers over these chunks, added to
        those over `chunks`, are exactly those of the accepted labels, shared ties of votes included.
        Counts of samples and of ties are those of `chunks` alone. `known_right_MN` says which models are
        right about the sample. Nothing comes where each sample has one label.

        Args:
            budget_bytes: of logits at a time.
            in_place: `start` is the index of the sample, as a draw of tied votes needs it, and chunks hold
                neighbours only: there are many more of them. Otherwise `start` counts pseudo-samples.
        """
        labels_NW = self.accepted_sets.labels_NW
        samples_A, columns_A = (labels_NW[:, 1:] >= 0).nonzero(as_tuple=True)
        if not in_place:
            for start, stop in self._spans(len(samples_A), budget_bytes):
                samples_n = samples_A[start:stop]
                yield self._chunk(start, samples_n, labels_NW[samples_n, 1 + columns_A[start:stop]])
            return
        for column in range(1, labels_NW.shape[1]):
            samples_n = (labels_NW[:, column] >= 0).nonzero().squeeze(1)
            gaps = (samples_n.diff() > 1).nonzero().squeeze(1) + 1
            for run in samples_n.tensor_split(gaps):
                for start, stop in self._spans(len(run), budget_bytes):
                    neighbours = run[start:stop]
                    yield self._chunk(int(neighbours[0]), neighbours, labels_NW[neighbours, column])

    def _spans(self, num_items: int, budget_bytes: int) -> Iterator[tuple[int, int]]:
        row_bytes = 4 * len(self.logits) * self.num_classes
        return spans(num_items, chunk_length(row_bytes, budget_bytes))

    def _chunk(self, start: int, samples_n: Tensor, labels_n: Tensor) -> Chunk:
        rows_n = self.rows_N[samples_n.numpy()]
        logits_MnC = torch.empty(len(self.logits), len(rows_n), self.num_classes)
        for model, stored in enumerate(self.logits):
            logits_MnC[model] = torch.from_numpy(np.asarray(stored[rows_n]))
        blocks_n = torch.from_numpy(self.blocks_N[samples_n.numpy()])
        known_right_Mn = (
            self.accepted_sets.right_MN(logits_MnC.argmax(-1), samples_n) if self.accepted else None
        )
        return Chunk(start, logits_MnC, labels_n, blocks_n, known_right_Mn)
