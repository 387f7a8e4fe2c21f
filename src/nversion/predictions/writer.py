"""How models run on rendered batches, and what consumers share that keep results in resumable arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

import nversion
from nversion.core import PartedArray, fingerprint
from nversion.data import Canonical, Condition, Dataset
from nversion.models import Classifier

from .engine import RenderedBatch
from .storage import Storage

RENDERING = 2  # goes up when the same manifest would stand for other pixels or other logits


@dataclass(frozen=True)
class Inference:
    """How models run; everything here can change the bytes of the logits.

    Attributes:
        batch_size: samples that go through a model together.
        storage: dtype of the logits on disk. float16 halves the disk: rows are stored as differences from
            their maximum; the number of samples whose top-1 that changes is counted, and differences
            that do not fit are an error.
        amp: dtype of automatic mixed precision, or None for plain float32.
        channels_last: memory format of images and weights; measured on a CPU 0.97 to 2.1 times as fast over
            six networks (for SqueezeNet it is the pooling that gains).
    """

    batch_size: int = 64
    storage: Storage = "float16"
    amp: Literal["bfloat16", "float16"] | None = None
    channels_last: bool = True


def made_with(device: torch.device) -> dict[str, Any]:
    """What bytes depend on besides the inputs: the device, its instructions, and versions.

    torch's version with its build (+cpu, +cu128): each build brings kernels of its own.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "device": name,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "torch": str(torch.__version__),
        **_versions(),
        "nversion": nversion.__version__,
    }


@cache
def _versions() -> dict[str, str]:
    found = {}
    for package in ("torchvision", "timm", "pillow", "numpy"):
        with suppress(PackageNotFoundError):  # an extra that is not installed
            found[package] = version(package)
    return found


def describe_condition(dataset: Dataset, canonical: Canonical, condition: Condition) -> dict[str, Any]:
    """Plain data that says which pixels a condition holds."""
    return {
        "rendering": RENDERING,
        "data": {"name": dataset.name, "fingerprint": dataset.fingerprint},
        "canonical": dict(vars(canonical)),
    } | condition.description()


def place(classifiers: Sequence[Classifier], inference: Inference, device: torch.device) -> None:
    """Move classifiers to the device, in the memory format that they will run in.

    Weights that classifiers share on the CPU (subnets of a supernet) keep their order: to sort them means to
    copy them. That holds for each of them, also where its own weights are whole tensors: its logits must not
    depend on which other classifiers run in the same study.
    """
    for classifier in classifiers:
        classifier.to(device)
        shared = device.type == "cpu" and classifier.card.shares_weights
        if inference.channels_last and not shared:
            classifier.to(memory_format=torch.channels_last)


def as_float(images_N3HW: Tensor, inference: Inference) -> Tensor:
    """uint8 images as float32 in [0, 1], in the memory format of the run."""
    images_N3HW = images_N3HW.to(torch.float32).div_(255)
    if inference.channels_last:
        images_N3HW = images_N3HW.contiguous(memory_format=torch.channels_last)
    return images_N3HW


def autocast(inference: Inference, device: torch.device) -> torch.autocast:
    """The context of the run's reduced precision; float32 where none is asked for."""
    amp = inference.amp
    return torch.autocast(device.type, dtype=getattr(torch, amp or "bfloat16"), enabled=amp is not None)


class StoreWriter(ABC):
    """Consumer of rendered batches that fills arrays on disk.

    Folder layout: `root/CONDITION/NAME-KEY/`, where KEY is a digest of everything that the array depends on;
    what comes later adds folders and touches no others.

    Args:
        root: the folder of all arrays of this kind.
        classifiers: where `place` put them.
        on_step: called with a model's name after each step of it.
    """

    def __init__(
        self,
        root: Path,
        classifiers: Sequence[Classifier],
        inference: Inference,
        device: torch.device,
        on_step: Callable[[str], None],
    ) -> None:
        self.root = root
        self.classifiers = list(classifiers)
        self.inference = inference
        self.device = device
        self.on_step = on_step
        self._opened: list[PartedArray] = []

    @abstractmethod
    def needs(self, condition: Condition, batch: int) -> bool:
        """Whether this batch of this condition is still to be computed."""

    @abstractmethod
    def num_steps(self) -> int:
        """How often `on_step` will be called for what is missing."""

    @abstractmethod
    def consume(self, rendered: RenderedBatch) -> None:
        """Compute and store what depends on this batch."""

    def set_aside(self) -> list[str]:
        """Files that did not match their manifest and will be computed again."""
        return [name for array in self._opened for name in array.set_aside]

    def finish(self) -> None:
        """Join what is complete; for arrays whose last part was written just before a kill."""
        for array in self._opened:
            array.finish()

    def _folder(self, condition: Condition, name: str, what: Mapping[str, Any]) -> Path:
        return self.root / condition.name / f"{name}-{fingerprint(what)[:12]}"

    def _open(
        self,
        folder: Path,
        what: Mapping[str, Any],
        bounds: Sequence[tuple[int, int]],
        row_shape: tuple[int, ...],
        dtype: str,
        classifiers: Sequence[Classifier],
    ) -> PartedArray:
        """Open an array of these classifiers, guarded by their outputs on a fixed image."""
        guard = [classifier.guard for classifier in classifiers]
        array = PartedArray(folder, what, made_with(self.device), bounds, row_shape, dtype, guard).open()
        self._opened.append(array)
        return array
