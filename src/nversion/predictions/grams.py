"""Gram matrices of attribution maps: made while the images are at hand, kept instead of the maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from nversion.attribution import PASS_BYTES, Method, attribute_targets, find_method, gram
from nversion.core import (
    PartedArray,
    chunk_length,
    code_fingerprint,
    generator,
    spans,
)
from nversion.core.tables import Seed, Table
from nversion.data import Canonical, Condition, Dataset
from nversion.data.patterns import named_by
from nversion.diversity import Metric, attribution_metric
from nversion.models import Classifier

from .engine import RenderedBatch
from .writer import Inference, StoreWriter, as_float, describe_condition

MAPS_BYTES = 256 << 20  # of all models' maps at a time; a constant, so that sub-batches never differ


class AttributionTable(Table):
    """`[attribution]`: methods, targets, normalisations, and on how many images of which conditions."""

    methods: list[str] = Field(["saliency"], min_length=1)
    targets: list[Literal["predicted", "label", "ensemble"]] = Field(["predicted", "label"], min_length=1)
    normalise: list[Literal["none", "l2", "sum"]] = Field(["none", "l2"], min_length=1)
    absolute: bool = True
    images: int | None = Field(None, ge=1)  # of each data set, a seeded part; None means all
    seed: Seed = 0
    conditions: list[str] = Field(["*"], min_length=1)  # names or shell patterns


def attributed_samples(dataset: Dataset, spec: AttributionTable) -> NDArray[np.int64]:
    """Ascending indices of the seeded part of the data set whose maps are made."""
    if spec.images is None or spec.images >= len(dataset):
        return np.arange(len(dataset))
    rng = generator("attributed images", spec.seed, len(dataset))
    return np.sort(rng.choice(len(dataset), spec.images, replace=False))


class GramWriter(StoreWriter):
    """Consumer of rendered batches that keeps one M×M Gram matrix for each attributed sample.

    One array for each (condition, method, target, normalisation); the maps of all models of a batch
    live only while that batch is at hand. The target "predicted" is the class that a model predicts,
    "label" the right one, and "ensemble" the one that the mean of all models' logits predicts: each
    model runs once on an image for them, whatever the number of methods. (The logits are those at
    hand, in float32; a stored one may have been rounded to float16.)

    Memory: `MAPS_BYTES` for the maps of one method and `pass_bytes` for the activations of one model.

    Args:
        root, classifiers, inference, device, on_step: see `StoreWriter`.
        pass_bytes: what activations may take; see `nversion.attribution.images_per_pass`.

    Raises:
        UserError: a method is unknown, or cannot explain one of the classifiers.
    """

    def __init__(
        self,
        root: Path,
        dataset: Dataset,
        canonical: Canonical,
        conditions: Sequence[Condition],
        classifiers: Sequence[Classifier],
        spec: AttributionTable,
        inference: Inference,
        device: torch.device,
        on_step: Callable[[str], None] = lambda _: None,
        pass_bytes: int = PASS_BYTES,
    ) -> None:
        super().__init__(root, classifiers, inference, device, on_step)
        self.pass_bytes = pass_bytes
        self.spec = spec
        self.samples = attributed_samples(dataset, spec)
        self.conditions = named_by(conditions, spec.conditions)
        self.map_length = chunk_length(
            len(spec.targets) * len(classifiers) * 3 * canonical.size**2 * 4, MAPS_BYTES
        )
        self.bounds = [
            (int(np.searchsorted(self.samples, start)), int(np.searchsorted(self.samples, stop)))
            for start, stop in spans(len(dataset), inference.batch_size)
        ]
        self.methods = [find_method(name) for name in spec.methods]
        self.arrays: dict[tuple[str, str], PartedArray] = {}
        self.metrics: dict[str, Metric] = {}
        self._keys: dict[tuple[str, str], list[tuple[str, str]]] = {}  # of a condition and a method
        facts = {
            method.name: method.describe(classifiers)
            # "" of nversion's own methods
            | ({"method_code": code} if (code := code_fingerprint(method.function)) else {})
            for method in self.methods
        }
        for condition in self.conditions:
            shared = describe_condition(dataset, canonical, condition) | {
                "models": [[c.name, c.fingerprint] for c in classifiers],
                "targets": list(spec.targets),  # they share passes: see attribute_targets
                "absolute": spec.absolute,
                "images": [len(self.samples), spec.seed],
                "batch_size": inference.batch_size,
                "channels_last": inference.channels_last,
            }
            for method in self.methods:
                for target in spec.targets:
                    for normalise in spec.normalise:
                        metric = attribution_metric(method.name, target, normalise, absolute=spec.absolute)
                        name = metric.name
                        self.metrics[name] = metric
                        what = shared | {"method": method.name, "target": target, "normalise": normalise}
                        what |= facts[method.name]
                        folder, shape = (
                            self._folder(condition, name, what),
                            (len(classifiers), len(classifiers)),
                        )
                        array = self._open(folder, what, self.bounds, shape, "float64", classifiers)
                        self.arrays[condition.name, name] = array
                        self._keys.setdefault((condition.name, method.name), []).append(
                            (condition.name, name)
                        )

    def needs(self, condition: Condition, batch: int) -> bool:
        return any(self._lacks(condition, method, batch) for method in self.methods)

    def num_steps(self) -> int:
        steps = 0
        for condition in self.conditions:
            for method in self.methods:
                for batch in self._missing_of(condition, method):
                    steps += len(list(spans(self._num_samples(batch), self.map_length)))
        return steps * len(self.classifiers)

    def num_missing_samples(self) -> int:
        """Samples that some method still has to attribute, summed over conditions."""
        return sum(
            self._num_samples(batch)
            for condition in self.conditions
            for batch in set().union(*(self._missing_of(condition, method) for method in self.methods))
        )

    def num_missing_passes(self) -> int:
        """Forward and backward passes of each model for what is missing, one target's for each sample."""
        return sum(
            method.passes * self._num_samples(batch)
            for condition in self.conditions
            for method in self.methods
            for batch in self._missing_of(condition, method)
        )

    def consume(self, rendered: RenderedBatch) -> None:
        inside = (self.samples >= rendered.start) & (self.samples < rendered.stop)
        rows_n = torch.from_numpy(self.samples[inside] - rendered.start)
        images_n3HW = as_float(rendered.images_N3HW[rows_n.to(self.device)], self.inference)
        labels_n = rendered.labels_N[rows_n.to(self.device)]
        pieces = [
            (images_n3HW[start:stop], self._targets(images_n3HW[start:stop], labels_n[start:stop]))
            for start, stop in spans(len(rows_n), self.map_length)
        ]
        for method in self.methods:
            if not self._lacks(rendered.condition, method, rendered.batch):
                continue
            grams = []
            for images, targets in pieces:
                maps = self._maps(images, targets, method)
                of_method = [
                    self.metrics[name] for _, name in self._keys[rendered.condition.name, method.name]
                ]
                grams.append({m.name: gram(maps[str(m.target)], str(m.normalise)).cpu() for m in of_method})
            for key in self._keys[rendered.condition.name, method.name]:
                array = self.arrays[key]
                if array.lacks(rendered.batch):
                    gram_nMM = torch.cat([of_piece[key[1]] for of_piece in grams])
                    gram_nMM[~rendered.readable_N[rows_n]] = torch.nan
                    array.write(rendered.batch, gram_nMM.numpy())
                    array.finish()

    def _missing_of(self, condition: Condition, method: Method) -> set[int]:
        """Batches for which some Gram of the method is missing; none where it is not asked for."""
        return set().union(*(array.missing() for array in self._arrays_of(condition, method)))

    def _lacks(self, condition: Condition, method: Method, batch: int) -> bool:
        return any(array.lacks(batch) for array in self._arrays_of(condition, method))

    def _arrays_of(self, condition: Condition, method: Method) -> list[PartedArray]:
        return [self.arrays[key] for key in self._keys.get((condition.name, method.name), [])]

    def _num_samples(self, batch: int) -> int:
        start, stop = self.bounds[batch]
        return stop - start

    def _targets(self, images_n3HW: Tensor, labels_n: Tensor) -> dict[str, Tensor]:
        """targets_Mn, the class to explain of each model and image, by the name of the target."""
        labels_Mn = labels_n.expand(len(self.classifiers), -1)
        if set(self.spec.targets) <= {"label"}:
            return {"label": labels_Mn}
        predicted, total_nC = [], torch.zeros(())
        with torch.inference_mode():
            for classifier in self.classifiers:
                logits_nC = classifier(images_n3HW)
                predicted.append(logits_nC.argmax(-1))
                total_nC = total_nC.to(logits_nC.device) + logits_nC.double()
        known = {
            "predicted": torch.stack(predicted),
            "label": labels_Mn,
            "ensemble": total_nC.argmax(-1).expand(len(self.classifiers), -1),
        }
        return {target: known[target] for target in self.spec.targets}

    def _maps(self, images_n3HW: Tensor, targets: Mapping[str, Tensor], method: Method) -> dict[str, Tensor]:
        """maps_Mn3HW by target."""
        shape = (len(self.classifiers), *images_n3HW.shape)
        maps = {target: torch.empty(shape, device=self.device) for target in targets}
        for model, classifier in enumerate(self.classifiers):
            found = attribute_targets(
                classifier,
                images_n3HW,
                {target: targets_Mn[model] for target, targets_Mn in targets.items()},
                method.name,
                self.spec.absolute,
                pass_bytes=self.pass_bytes,
            )
            for target, maps_n3HW in found.items():
                maps[target][model] = maps_n3HW
            self.on_step(classifier.name)
        return maps
