"""Gram matrices of attribution maps: made while the images are at hand, kept instead of the maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.attribution import METHODS, attribute_targets, gram
from nversion.core import PartedArray, chunk_length, code_fingerprint, fingerprint, generator, spans
from nversion.data import Canonical, Condition, Dataset
from nversion.models import Classifier
from nversion.predictions import Inference, RenderedBatch, as_float, describe_condition, made_with

from .spec import AttributionTable

MAPS_BYTES = 256 << 20  # of all models' maps at a time; a constant, so that sub-batches never differ


def metric_name(method: str, target: str, normalise: str) -> str:
    """The name under which the tables hold Eq. 7 of one kind of map."""
    return f"attribution_{method}_{target}_{normalise}"


def attributed_samples(dataset: Dataset, spec: AttributionTable) -> NDArray[np.int64]:
    """Ascending indices of the seeded part of the data set whose maps are made."""
    if spec.images is None or spec.images >= len(dataset):
        return np.arange(len(dataset))
    rng = generator("attributed images", spec.seed, len(dataset))
    return np.sort(rng.choice(len(dataset), spec.images, replace=False))


def attributed_conditions(conditions: Sequence[Condition], spec: AttributionTable) -> list[Condition]:
    """The conditions whose names match one of the patterns."""
    return [c for c in conditions if any(fnmatchcase(c.name, pattern) for pattern in spec.conditions)]


class GramWriter:
    """Consumer of rendered batches that keeps one M×M Gram matrix for each attributed sample.

    One array for each (condition, method, target, normalisation); the maps of all models of a batch
    live only while that batch is at hand.
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
    ) -> None:
        self.classifiers = list(classifiers)
        self.spec = spec
        self.device = device
        self.inference = inference
        self.on_step = on_step
        self.samples = attributed_samples(dataset, spec)
        self.conditions = attributed_conditions(conditions, spec)
        self.map_length = chunk_length(
            len(spec.targets) * len(classifiers) * 3 * canonical.size**2 * 4, MAPS_BYTES
        )
        bounds = [
            (int(np.searchsorted(self.samples, start)), int(np.searchsorted(self.samples, stop)))
            for start, stop in spans(len(dataset), inference.batch_size)
        ]
        self.arrays: dict[tuple[str, str], PartedArray] = {}
        for condition in self.conditions:
            for method in spec.methods:
                code = code_fingerprint(METHODS[method])  # "" of nversion's own methods
                for target in spec.targets:
                    for normalise in spec.normalise:
                        name = metric_name(method, target, normalise)
                        what = (
                            describe_condition(dataset, canonical, condition)
                            | {
                                "models": [[c.name, c.fingerprint] for c in classifiers],
                                "method": method,
                                "target": target,
                                "targets": list(spec.targets),  # they share passes: see attribute_targets
                                "normalise": normalise,
                                "absolute": spec.absolute,
                                "images": [len(self.samples), spec.seed],
                                "batch_size": inference.batch_size,
                                "channels_last": inference.channels_last,
                            }
                            | ({"method_code": code} if code else {})
                        )
                        folder = root / condition.name / f"{name}-{fingerprint(what)[:12]}"
                        num_models = len(classifiers)
                        self.arrays[condition.name, name] = PartedArray(
                            folder, what, made_with(device), bounds, (num_models, num_models), "float64"
                        ).open()
        self._missing = {key: set(array.missing()) for key, array in self.arrays.items()}
        self._in_condition = {
            condition.name: [key for key in self.arrays if key[0] == condition.name]
            for condition in conditions
        }

    def needs(self, condition: Condition, batch: int) -> bool:
        return any(batch in self._missing[key] for key in self._in_condition[condition.name])

    def num_steps(self) -> int:
        """How often `on_step` will be called for what is missing."""
        steps = 0
        for keys in self._in_condition.values():
            for batch in set().union(*(self._missing[key] for key in keys)):
                start, stop = self.arrays[keys[0]].bounds[batch]
                steps += len(list(spans(stop - start, self.map_length)))
        return steps * len(self.classifiers) * len(self.spec.methods)

    def num_missing_samples(self) -> int:
        """Samples still to be attributed, summed over conditions."""
        total = 0
        for keys in self._in_condition.values():
            for batch in set().union(*(self._missing[key] for key in keys)):
                start, stop = self.arrays[keys[0]].bounds[batch]
                total += stop - start
        return total

    def set_aside(self) -> list[str]:
        """Files that did not match their manifest and will be computed again."""
        return [name for array in self.arrays.values() for name in array.set_aside]

    def consume(self, rendered: RenderedBatch) -> None:
        inside = (self.samples >= rendered.start) & (self.samples < rendered.stop)
        rows_n = torch.from_numpy(self.samples[inside] - rendered.start)
        images_n3HW = as_float(rendered.images_N3HW[rows_n.to(self.device)], self.inference)
        labels_n = rendered.labels_N[rows_n.to(self.device)]
        for method in self.spec.methods:
            grams = [
                self._grams(images_n3HW[start:stop], labels_n[start:stop], method)
                for start, stop in spans(len(rows_n), self.map_length)
            ]
            for target, normalise in grams[0]:
                key = rendered.condition.name, metric_name(method, target, normalise)
                if rendered.batch in self._missing[key]:
                    gram_nMM = torch.cat([g[target, normalise] for g in grams])
                    gram_nMM[~rendered.readable_N[rows_n]] = torch.nan
                    self.arrays[key].write(rendered.batch, gram_nMM.numpy())
                    self._missing[key].discard(rendered.batch)
                    if not self._missing[key]:
                        self.arrays[key].finish()

    def finish(self) -> None:
        """Join what is complete; for arrays whose last part was written just before a kill."""
        for array in self.arrays.values():
            array.finish()

    def _grams(self, images_n3HW: Tensor, labels_n: Tensor, method: str) -> dict[tuple[str, str], Tensor]:
        shape = (len(self.classifiers), *images_n3HW.shape)
        maps: dict[str, Tensor] = {
            target: torch.empty(shape, device=self.device) for target in self.spec.targets
        }
        for model, classifier in enumerate(self.classifiers):
            targets: dict[str, Tensor] = {
                target: labels_n if target == "label" else _predicted(classifier, images_n3HW)
                for target in self.spec.targets
            }
            found = attribute_targets(classifier, images_n3HW, targets, method, self.spec.absolute)
            for target, maps_n3HW in found.items():
                maps[target][model] = maps_n3HW
            self.on_step(classifier.name)
        return {
            (target, normalise): gram(maps[target], normalise).cpu()
            for target in self.spec.targets
            for normalise in self.spec.normalise
        }


def _predicted(classifier: Classifier, images_n3HW: Tensor) -> Tensor:
    with torch.inference_mode():
        predicted_n: Tensor = classifier(images_n3HW).argmax(-1)
    return predicted_n
