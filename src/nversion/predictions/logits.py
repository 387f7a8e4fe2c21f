"""Logits of every classifier under every condition, computed where missing and kept on disk.

The same manifest on the same device, libraries and number of threads gives the same bytes. Other kernels
sum in another order. Measured on the CPU in float32 with 14 pretrained networks, largest difference as a
share of the largest logit: 5e-7 with another number of threads, 4e-7 with another batch size, 6e-7 with
`channels_last`, 9e-7 without oneDNN; float16 on disk rounds to 5e-4. Between CPU and GPU 1e-4 is what a
test allows, with TF32 off (`torch.backends.cudnn.allow_tf32`), which torch turns on for convolutions and
which keeps 10 bits of each factor. An unfinished array is never continued by another make: see `made_with`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nversion.core import PartedArray, UserError, spans
from nversion.data import Canonical, Condition, Dataset
from nversion.data.dataset import Part
from nversion.models import Classifier
from nversion.models.classifier import PROBABILITY_FLOOR
from nversion.models.logits_file import LogitsFile

from .engine import RenderedBatch
from .storage import StoredLogits, offsets_folder, read_back, to_storage
from .writer import Inference, StoreWriter, as_float, autocast, describe_condition


def run_classifier(
    classifier: Classifier, images_N3HW: Tensor, inference: Inference, device: torch.device
) -> Tensor:
    """Logits (N, C) in float32 on the CPU; images as `as_float` gives them."""
    with torch.inference_mode(), autocast(inference, device):
        logits_NC: Tensor = classifier(images_N3HW)
    return logits_NC.float().cpu()


class LogitsWriter(StoreWriter):
    """Consumer of rendered batches that fills one `PartedArray` for each (condition, classifier).

    Arguments as of `StoreWriter`. Logits in float16 have a second array, of each row's maximum.
    """

    def __init__(
        self,
        root: Path,
        dataset: Dataset,
        canonical: Canonical,
        conditions: Sequence[Condition],
        classifiers: Sequence[Classifier],
        inference: Inference,
        device: torch.device,
        on_step: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(root, classifiers, inference, device, on_step)
        self.dataset = dataset
        self.arrays: dict[tuple[str, str], PartedArray] = {}
        self.offsets: dict[tuple[str, str], PartedArray] = {}  # of float16
        bounds = list(spans(len(dataset), inference.batch_size))
        for condition in conditions:
            for classifier in classifiers:
                num_classes = classifier.card.label_space.num_classes
                what = describe_condition(dataset, canonical, condition) | {
                    "model": {"name": classifier.name, "fingerprint": classifier.fingerprint},
                    "inference": dict(vars(inference)),
                    "num_samples": len(dataset),
                    "num_classes": num_classes,
                }
                folder = self._folder(condition, _file_name(classifier.name), what)
                key, one, storage = (condition.name, classifier.name), [classifier], inference.storage
                self.arrays[key] = self._open(folder, what, bounds, (num_classes,), storage, one)
                if storage == "float16":
                    offsets = offsets_folder(folder, condition.name)
                    self.offsets[key] = self._open(offsets, what, bounds, (), "float32", one)

    def needs(self, condition: Condition, batch: int) -> bool:
        return any(self._lacks((condition.name, c.name), batch) for c in self.classifiers)

    def missing(self, key: tuple[str, str]) -> list[int]:
        """Batches of a condition and classifier that are still to run, in order."""
        return [batch for batch in range(len(self.arrays[key].bounds)) if self._lacks(key, batch)]

    def num_steps(self) -> int:
        return sum(len(self.missing(key)) for key in self.arrays)

    def read(self, key: tuple[str, str]) -> StoredLogits:
        """The finished logits of a condition and classifier, memory-mapped."""
        return StoredLogits(
            self.arrays[key].read(), self.offsets[key].read() if key in self.offsets else None
        )

    def _lacks(self, key: tuple[str, str], batch: int) -> bool:
        return self.arrays[key].lacks(batch) or (key in self.offsets and self.offsets[key].lacks(batch))

    def stored_logits(self, classifier: Classifier, condition: Condition) -> Tensor:
        """Logits (N, C) of a classifier that is a file of logits, in the order of the samples.

        Raises:
            UserError: the condition or samples are not in the file, or its labels are others.
        """
        module, dataset = classifier.module, self.dataset
        assert isinstance(module, LogitsFile), f"{classifier.name} runs"
        logits_NC = torch.from_numpy(
            module.aligned(
                dataset.name,
                condition.name,
                dataset.sample_ids,
                dataset.labels_N,
                part=isinstance(dataset, Part),
            ).astype(np.float32)
        )
        if classifier.card.outputs == "probabilities":
            return logits_NC.clamp_min(PROBABILITY_FLOOR).log()
        return logits_NC

    def read_files(self, conditions: Sequence[Condition]) -> None:
        """Take the logits of classifiers that are files of logits; the loop over images has them then."""
        for classifier in self.classifiers:
            for condition in conditions if classifier.is_stored else ():
                key = condition.name, classifier.name
                if not (missing := self.missing(key)):
                    continue
                logits_NC = self.stored_logits(classifier, condition)
                for batch in missing:
                    start, stop = self.arrays[key].bounds[batch]
                    readable_N = torch.ones(stop - start, dtype=torch.bool)
                    labels_N = torch.tensor(self.dataset.labels_N[start:stop])
                    rendered = RenderedBatch(
                        batch, start, stop, condition, torch.empty(0), labels_N, readable_N
                    )
                    self._store(key, classifier, rendered, logits_NC[start:stop])
                    self.on_step(classifier.name)

    def consume(self, rendered: RenderedBatch) -> None:
        images_N3HW = as_float(rendered.images_N3HW, self.inference)
        for classifier in self.classifiers:
            key = rendered.condition.name, classifier.name
            if self._lacks(key, rendered.batch):
                logits_NC = run_classifier(classifier, images_N3HW, self.inference, self.device)
                self._store(key, classifier, rendered, logits_NC)
                self.on_step(classifier.name)

    def _store(
        self, key: tuple[str, str], classifier: Classifier, rendered: RenderedBatch, logits_NC: Tensor
    ) -> None:
        """Write the batch in its storage dtype, nan where unreadable, and how many top-1 that changed."""
        stored_NC, offsets_N = to_storage(logits_NC, self.inference.storage)
        readable_N = rendered.readable_N
        bad_N = ~stored_NC.isfinite().all(-1) & readable_N
        if bad_N.any():
            first = self.dataset.sample_ids[rendered.start + int(bad_N.nonzero()[0])]
            overflow = bool(logits_NC[bad_N].isfinite().all())
            raise UserError(
                expected=f"finite logits from {classifier.name!r} under {rendered.condition.name}",
                found=f"{'some further apart than float16 holds' if overflow else 'nan or inf'} on "
                f"{int(bad_N.sum())} of {len(bad_N)} images, first on {first!r}",
                next_step='set storage = "float32" under [run]'
                if overflow
                else "check its weights and preprocessing, or leave it out; finished batches are kept",
            )
        answers_N = read_back(logits_NC, self.inference.storage).argmax(-1)
        changed = int(((answers_N != logits_NC.argmax(-1)) & readable_N).sum())
        self._write(self.arrays[key], rendered, stored_NC, changed)
        if offsets_N is not None:
            self._write(self.offsets[key], rendered, offsets_N, 0)

    def _write(self, array: PartedArray, rendered: RenderedBatch, rows: Tensor, note: int) -> None:
        if array.lacks(rendered.batch):
            readable = rendered.readable_N if rows.ndim == 1 else rendered.readable_N[:, None]
            array.write(rendered.batch, torch.where(readable, rows, torch.nan).numpy(), note=note)
        array.finish()


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
