"""The only inference loop: batches outside, conditions next, whatever needs the images inside.

An image is decoded once per run. Batch boundaries are a function of the sample index alone, so a
batch that is computed again after an interruption has the same neighbours as the first time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from nversion.core import spans
from nversion.data import Canonical, Condition, Dataset, UnreadableImageError


@dataclass(frozen=True)
class RenderedBatch:
    """One batch of one condition, ready for models.

    Attributes:
        batch: its index; samples `start` to `stop` of the data set.
        images_N3HW: canonical uint8 images on the run's device, the corruption applied.
        labels_N: int64 class indices, on the same device.
        readable_N: bool, on the CPU; False where the image could not be decoded and is black here.
    """

    batch: int
    start: int
    stop: int
    condition: Condition
    images_N3HW: Tensor
    labels_N: Tensor
    readable_N: Tensor


class Consumer(Protocol):
    """What the loop feeds: it says which batches it lacks and takes them one by one."""

    def needs(self, condition: Condition, batch: int) -> bool:
        """Whether this batch of this condition is still to be computed."""

    def consume(self, rendered: RenderedBatch) -> None:
        """Compute and store what depends on this batch; called once for each needed batch."""


def run(
    dataset: Dataset,
    canonical: Canonical,
    conditions: Sequence[Condition],
    consumers: Sequence[Consumer],
    *,
    batch_size: int,
    device: torch.device,
    exclude_unreadable: bool = False,
    num_threads: int = 4,
    on_step: Callable[[], None] = lambda: None,
) -> dict[str, str]:
    """Decode every batch that some consumer lacks, once, and hand it out under each condition.

    Memory: three decoded batches, plus what the consumers take.

    Args:
        exclude_unreadable: go on past images that cannot be decoded; they are black in the batch
            and False in `readable_N`.
        num_threads: images decoded at once.
        on_step: called after each (batch, condition, consumer).

    Returns:
        Sample id and reason of each image that could not be decoded.

    Raises:
        UnreadableImageError: an image cannot be decoded and `exclude_unreadable` is off. What was
            computed before is kept.
    """
    wanted = [
        (batch, start, stop)
        for batch, (start, stop) in enumerate(spans(len(dataset), batch_size))
        if any(consumer.needs(condition, batch) for consumer in consumers for condition in conditions)
    ]
    unreadable: dict[str, str] = {}
    for (batch, start, stop), (images, readable) in _decoded(
        dataset, canonical, wanted, exclude_unreadable, num_threads, unreadable
    ):
        ids = dataset.sample_ids[start:stop]
        images_N3HW = torch.from_numpy(images).to(device)
        labels_N = torch.tensor(dataset.labels_N[start:stop], device=device)
        readable_N = torch.from_numpy(readable)
        hand_out(batch, start, images_N3HW, ids, labels_N, readable_N, conditions, consumers, on_step)
    return unreadable


def hand_out(
    batch: int,
    start: int,
    images_N3HW: Tensor,
    ids: Sequence[str],
    labels_N: Tensor,
    readable_N: Tensor,
    conditions: Sequence[Condition],
    consumers: Sequence[Consumer],
    on_step: Callable[[], None] = lambda: None,
) -> None:
    """Render one batch of images under each condition that some consumer lacks, and let these consume it."""
    for condition in conditions:
        takers = [consumer for consumer in consumers if consumer.needs(condition, batch)]
        if takers:
            corrupted_N3HW = condition.render(images_N3HW, ids)
            stop = start + len(ids)
            rendered = RenderedBatch(batch, start, stop, condition, corrupted_N3HW, labels_N, readable_N)
            for consumer in takers:
                consumer.consume(rendered)
                on_step()


def _decoded(
    dataset: Dataset,
    canonical: Canonical,
    wanted: Sequence[tuple[int, int, int]],
    exclude_unreadable: bool,
    num_threads: int,
    unreadable: dict[str, str],
) -> Iterator[tuple[tuple[int, int, int], tuple[np.ndarray, np.ndarray]]]:
    """Yield the wanted batches in order, the next one being decoded while this one is used."""

    def load(index: int) -> np.ndarray | UnreadableImageError:
        try:
            return canonical.render(dataset.decode(index))
        except UnreadableImageError as error:
            return error

    def assemble(futures: Sequence[object], start: int) -> tuple[np.ndarray, np.ndarray]:
        images = np.zeros((len(futures), 3, canonical.size, canonical.size), np.uint8)
        readable = np.ones(len(futures), bool)
        for row, future in enumerate(futures):
            image = future.result()  # type: ignore[attr-defined]
            if isinstance(image, UnreadableImageError):
                if not exclude_unreadable:
                    raise image
                readable[row] = False
                unreadable[dataset.sample_ids[start + row]] = str(image)
            else:
                images[row] = image
        return images, readable

    with ThreadPoolExecutor(num_threads) as pool:
        try:
            ahead = [[pool.submit(load, i) for i in range(start, stop)] for _, start, stop in wanted[:1]]
            for position, item in enumerate(wanted):
                if position + 1 < len(wanted):
                    _, start, stop = wanted[position + 1]
                    ahead.append([pool.submit(load, i) for i in range(start, stop)])
                yield item, assemble(ahead.pop(0), item[1])
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
