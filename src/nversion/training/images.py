"""Training images in batches: all in memory on the device, or decoded by worker processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.core import generator, spans
from nversion.data import Canonical, Dataset

from .augment import augmented, crop_boxes, shift
from .recipe import AugmentTable

BYTES_IN_MEMORY = 4 << 30
"""Canonical images of a set up to this size are kept in memory, larger sets are decoded in every epoch."""


class Images(Protocol):
    """Labelled images that a training goes through in an order of its own."""

    labels_N: NDArray[np.int64]
    accepted: Mapping[int, tuple[int, ...]]  # further labels that count as right, by row; see `Dataset`

    def batches(
        self, order_n: NDArray[np.int64], batch_size: int, keys: tuple[str | int, ...], first: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Float images in [0, 1] and labels of `order_n` from batch `first` on, augmented by `keys`."""

    def unaugmented(self) -> Images:
        """The same images as they are."""


def open_images(
    dataset: Dataset, canonical: Canonical, settings: AugmentTable | None, device: torch.device, workers: int
) -> Images:
    """In memory where the canonical images fit in `BYTES_IN_MEMORY`, else from disk.

    Args:
        settings: of the augmentation; None: images as they are.
    """
    if len(dataset) * 3 * canonical.size**2 <= BYTES_IN_MEMORY:
        images = np.stack([canonical.render(dataset.decode(i)) for i in range(len(dataset))])
        return InMemory(torch.from_numpy(images).to(device), dataset.labels_N, settings, dataset.accepted)
    return FromDisk(dataset, canonical, settings, device, workers)


class InMemory:
    """Canonical uint8 images on the device; augmented there, batch by batch."""

    def __init__(
        self,
        images_N3HW: Tensor,
        labels_N: NDArray[np.int64],
        settings: AugmentTable | None = None,
        accepted: Mapping[int, tuple[int, ...]] = MappingProxyType({}),
    ) -> None:
        self.images_N3HW = images_N3HW
        self.labels_N, self.accepted = labels_N, accepted
        self._labels = torch.tensor(labels_N, device=images_N3HW.device)
        self._settings = settings

    def batches(
        self, order_n: NDArray[np.int64], batch_size: int, keys: tuple[str | int, ...], first: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.from_numpy(order_n).to(self.images_N3HW.device)
        for batch, (start, stop) in enumerate(spans(len(order_n), batch_size)):
            if batch >= first:
                index = order[start:stop]
                images = self.images_N3HW[index]
                if self._settings is None:
                    yield images.float().div_(255), self._labels[index]
                else:
                    yield augmented(images, self._settings, (*keys, batch)), self._labels[index]

    def unaugmented(self) -> InMemory:
        """The same images, not copied, as they are."""
        return InMemory(self.images_N3HW, self.labels_N, accepted=self.accepted)


class FromDisk:
    """Images decoded, cropped and flipped by worker processes, each from the generator of its sample.

    The random crop is taken from the image as it lies on disk, resized with Pillow's antialiasing, as
    torchvision's RandomResizedCrop does; the number of workers does not show in the pixels.
    """

    def __init__(
        self,
        dataset: Dataset,
        canonical: Canonical,
        settings: AugmentTable | None,
        device: torch.device,
        workers: int,
    ) -> None:
        self.labels_N, self.accepted = dataset.labels_N, dataset.accepted
        self._dataset, self._canonical, self._settings = dataset, canonical, settings
        self._device, self._workers = device, workers

    def batches(
        self, order_n: NDArray[np.int64], batch_size: int, keys: tuple[str | int, ...], first: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        from torch.utils.data import DataLoader

        chunks = [order_n[start:stop].tolist() for start, stop in spans(len(order_n), batch_size)][first:]
        loader: Any = DataLoader(
            _Decoding(self._dataset, self._canonical, self._settings, keys),  # type: ignore[arg-type]
            batch_sampler=chunks,
            num_workers=self._workers,
            pin_memory=self._device.type == "cuda",
            multiprocessing_context="spawn" if self._workers else None,
        )
        for images, labels in loader:
            yield images.to(self._device, non_blocking=True).float().div_(255), labels.to(self._device)

    def unaugmented(self) -> FromDisk:
        """The same images as they are."""
        return FromDisk(self._dataset, self._canonical, None, self._device, self._workers)


class _Decoding:
    """One augmented uint8 image and its label by index, as a DataLoader's worker makes them."""

    def __init__(
        self,
        dataset: Dataset,
        canonical: Canonical,
        settings: AugmentTable | None,
        keys: tuple[str | int, ...],
    ) -> None:
        self.dataset, self.canonical, self.settings, self.keys = dataset, canonical, settings, keys

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        label = int(self.dataset.labels_N[index])
        image_HW3 = self.dataset.decode(index)
        if self.settings is None:
            return torch.from_numpy(self.canonical.render(image_HW3)), label
        from PIL import Image

        rng = generator("augment", *self.keys, self.dataset.sample_ids[index])
        top, left, height, width = crop_boxes(self.settings, rng, 1, *image_HW3.shape[:2])[0]
        size = (self.canonical.size, self.canonical.size)
        picture = Image.fromarray(image_HW3).resize(
            size, Image.Resampling.BILINEAR, box=(left, top, left + width, top + height)
        )
        pixels = np.asarray(picture)
        if rng.uniform() < self.settings.flip:
            pixels = pixels[:, ::-1]
        image_13HW = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
        down, right = rng.integers(-self.settings.max_shift, self.settings.max_shift + 1, size=(2, 1))
        return shift(image_13HW, torch.from_numpy(down), torch.from_numpy(right))[0], label
