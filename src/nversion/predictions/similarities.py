"""Centered kernel alignment of all models' layers: made while the images are at hand, kept as HSIC1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from pydantic import Field
from torch import Tensor

from nversion.attribution import attribute, find_method
from nversion.core import PartedArray, UserError, code_fingerprint, generator, spans
from nversion.core.tables import Seed, Table
from nversion.data import Canonical, Condition, Dataset
from nversion.data.patterns import named_by
from nversion.diversity import MIN_IMAGES, CKASums, hsic1, linear_gram, matched_depth_cka
from nversion.ensembles import Replicated
from nversion.models import Classifier
from nversion.representations import Entry, cka_table, layer_entries, layer_grams, layers_of_pool

from .engine import RenderedBatch
from .writer import Inference, StoreWriter, as_float, autocast, describe_condition

MAPS = "map:"  # in front of the attribution method, in place of a layer's name


class RepresentationTable(Table):
    """`[representation]`: centered kernel alignment between the layers of all models."""

    layers: list[str] = Field(default_factory=list)  # name patterns; empty: stages or blocks, found by itself
    maps: list[str] = Field(default_factory=list)  # attribution methods whose maps are compared, too
    batches: int = Field(4, ge=1)  # whole batches of each data set, a seeded choice
    seed: Seed = 0
    conditions: list[str] = Field(["*"], min_length=1)  # names or shell patterns


def represented_batches(dataset: Dataset, spec: RepresentationTable, batch_size: int) -> list[int]:
    """Ascending indices of the seeded choice of whole batches; those of fewer than 4 images are no choice."""
    bounds = list(spans(len(dataset), batch_size))
    eligible = [batch for batch, (start, stop) in enumerate(bounds) if stop - start >= MIN_IMAGES]
    if len(eligible) <= spec.batches:
        return eligible
    rng = generator("represented batches", spec.seed, len(dataset), batch_size)
    return sorted(rng.choice(eligible, spec.batches, replace=False).tolist())


@dataclass(frozen=True)
class Representations:
    """The similarities under one condition, as they are stored.

    Attributes:
        entries: what the T rows and columns of HSIC1 are.
        num_models: M; every model has at least one layer.
        hsic_JTT: float64, of each of the J chosen batches.
        images_J: int64, readable images in each.
        num_blocks: B of the replicates; minibatch j lies in block j mod B.
    """

    entries: Sequence[Entry]
    num_models: int
    hsic_JTT: Tensor
    images_J: Tensor
    num_blocks: int

    def table(self, model_names: Sequence[str]) -> pl.DataFrame:
        """Rows of the table `cka`, without the condition; standard errors over the minibatches."""
        sums = CKASums.of(self.hsic_JTT, self.images_J, max(1, len(self.images_J)))
        return cka_table(self.entries, model_names, sums)

    def batches_B(self) -> Tensor:
        """int64 minibatches in each block, 0 where there are fewer of them than blocks."""
        block_J = torch.arange(len(self.images_J)) % max(1, self.num_blocks)
        return torch.bincount(block_J[self.images_J >= MIN_IMAGES], minlength=self.num_blocks)

    def similarity(self) -> Replicated:
        """The mean CKA of matched depths of every pair of models, (M, M), by activations alone.

        1 on the diagonal; nan where some matched pair of layers is undefined. The blocks of images of CKA are
        its minibatches, not those of the accuracies, because HSIC1 is no sum over single images: a block
        without a minibatch changes nothing, and `count_B` counts minibatches.
        """
        of_layers = torch.tensor([i for i, entry in enumerate(self.entries) if entry.depth >= 0])
        depths = [0] * self.num_models
        for entry in self.entries:
            depths[entry.model] += entry.depth >= 0
        used = max(1, min(self.num_blocks, len(self.images_J)))  # blocks that hold a minibatch
        sums = CKASums.of(self.hsic_JTT[:, of_layers][:, :, of_layers], self.images_J, used)
        full_MM = matched_depth_cka(sums.cka(), depths)
        without_BMM = full_MM.repeat(self.num_blocks, 1, 1)
        without_BMM[:used] = matched_depth_cka(sums.without_each_block(), depths)
        return Replicated(full_MM, without_BMM, count_B=self.batches_B())


class RepresentationWriter(StoreWriter):
    """Consumer of rendered batches that keeps the HSIC1 of all pairs of layers of each chosen batch.

    One array for each condition, a row a batch: the number of readable images, then HSIC1 (T, T) over the T
    entries, which are the layers of all models and behind them their attribution maps of the predicted
    class. All models see the same images; unreadable ones are left out.

    Memory, besides that of the models: one layer's features, or the maps of one model, and the Gram matrices
    of one batch, 8·T·N² bytes.

    Args:
        root, classifiers, inference, device, on_step: see `StoreWriter`.
        spec: layers, maps, batches, seed and conditions that are asked for.
        absolute: whether the attribution maps are magnitudes.

    Raises:
        UserError: a pattern fits no layer, a model has none, a method is unknown, or batches are too small.
    """

    def __init__(
        self,
        root: Path,
        dataset: Dataset,
        canonical: Canonical,
        conditions: Sequence[Condition],
        classifiers: Sequence[Classifier],
        spec: RepresentationTable,
        inference: Inference,
        device: torch.device,
        on_step: Callable[[str], None] = lambda _: None,
        *,
        absolute: bool = True,
    ) -> None:
        if inference.batch_size < MIN_IMAGES:
            raise UserError(
                expected=f"batches of at least {MIN_IMAGES} images for [representation]",
                found=f"batch_size = {inference.batch_size} under [run]",
                next_step="set a larger batch_size, or take [representation] out",
            )
        super().__init__(root, classifiers, inference, device, on_step)
        self.absolute = absolute
        self.methods = list(dict.fromkeys(spec.maps))
        self.batches = represented_batches(dataset, spec, inference.batch_size)
        self.conditions = named_by(conditions, spec.conditions)
        self.layers = layers_of_pool(classifiers, spec.layers)
        self.entries = layer_entries(self.layers) + [
            Entry(model, MAPS + method, -1) for model in range(len(classifiers)) for method in self.methods
        ]
        self._bounds = list(spans(len(dataset), inference.batch_size))
        self.arrays: dict[str, PartedArray] = {}
        for condition in self.conditions:
            what = describe_condition(dataset, canonical, condition) | {
                "models": [
                    [c.name, c.fingerprint, names] for c, names in zip(classifiers, self.layers, strict=True)
                ],
                "maps": [_describe_method(method, classifiers) for method in self.methods],
                "absolute": absolute,
                "num_samples": len(dataset),
                "batches": self.batches,
                "inference": {k: v for k, v in vars(inference).items() if k != "storage"},
            }
            self.arrays[condition.name] = self._open(
                self._folder(condition, "hsic1", what),
                what,
                [(part, part + 1) for part in range(len(self.batches))],
                (1 + len(self.entries) ** 2,),
                "float64",
                classifiers,
            )

    def needs(self, condition: Condition, batch: int) -> bool:
        if condition.name not in self.arrays or batch not in self.batches:
            return False
        return self.arrays[condition.name].lacks(self.batches.index(batch))

    def num_steps(self) -> int:
        return sum(len(array.missing()) for array in self.arrays.values()) * len(self.classifiers)

    def num_missing_samples(self) -> int:
        """Samples that every model will still see for it, summed over conditions."""
        bounds = (self._bounds[self.batches[p]] for array in self.arrays.values() for p in array.missing())
        return sum(stop - start for start, stop in bounds)

    def num_missing_passes(self) -> int:
        """Forward and backward passes that the missing maps of one model take, summed over samples."""
        return self.num_missing_samples() * sum(find_method(method).passes for method in self.methods)

    def consume(self, rendered: RenderedBatch) -> None:
        array = self.arrays[rendered.condition.name]
        readable_n = rendered.readable_N.to(self.device)
        images_n3HW = as_float(rendered.images_N3HW[readable_n], self.inference)
        num_images, num_entries = len(images_n3HW), len(self.entries)
        hsic_TT = torch.full((num_entries, num_entries), torch.nan, dtype=torch.float64)
        if num_images >= MIN_IMAGES:
            hsic_TT = hsic1(self._grams(images_n3HW)).cpu()
        else:
            for classifier in self.classifiers:
                self.on_step(classifier.name)
        row = torch.cat([torch.tensor([num_images], dtype=torch.float64), hsic_TT.flatten()])
        array.write(self.batches.index(rendered.batch), row[None].numpy())
        array.finish()

    def read(self, condition: Condition, num_blocks: int) -> Representations | None:
        """The finished similarities of a condition; None where none are asked for.

        Args:
            num_blocks: B of the replicates.
        """
        if condition.name not in self.arrays:
            return None
        rows = torch.from_numpy(np.array(self.arrays[condition.name].read()))
        num_entries = len(self.entries)
        hsic_JTT = rows[:, 1:].reshape(len(rows), num_entries, num_entries)
        return Representations(self.entries, len(self.classifiers), hsic_JTT, rows[:, 0].long(), num_blocks)

    def _grams(self, images_n3HW: Tensor) -> Tensor:
        """gram_Tnn in the order of the entries."""
        of_layers: list[Tensor] = []
        of_maps: list[Tensor] = []
        for classifier, names in zip(self.classifiers, self.layers, strict=True):
            with autocast(self.inference, self.device):
                grams_Lnn, logits_nC = layer_grams(classifier, images_n3HW, names)
            of_layers.append(grams_Lnn)
            for method in self.methods:
                maps_n3HW = attribute(classifier, images_n3HW, logits_nC.argmax(-1), method, self.absolute)
                of_maps.append(linear_gram(maps_n3HW.flatten(1))[None])
            self.on_step(classifier.name)
        return torch.cat(of_layers + of_maps)


def _describe_method(name: str, classifiers: Sequence[Classifier]) -> dict[str, object]:
    method = find_method(name)
    code = code_fingerprint(method.function)  # "" of nversion's own methods
    return {"method": name} | method.describe(classifiers) | ({"code": code} if code else {})
