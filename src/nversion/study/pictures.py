"""The pictures that a report shows: images under each condition, pixels masked by attribution."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from nversion.attribution import attribute, masked, to_png
from nversion.core import generator
from nversion.data import Canonical, Condition, Dataset, UnreadableImageError
from nversion.evaluation.registry import BOOL, BYTES, INT, TEXT, table
from nversion.models import Classifier


def chosen_samples(dataset: Dataset, count: int, purpose: str) -> list[int]:
    """A seeded choice of readable samples, from different classes as far as there are so many."""
    order = generator("pictures", purpose, len(dataset)).permutation(len(dataset)).tolist()
    chosen: list[int] = []
    seen: set[int] = set()
    for fresh_classes_only in (True, False):
        for index in order:
            if len(chosen) == count:
                return sorted(chosen)
            label = int(dataset.labels_N[index])
            if index in chosen or (fresh_classes_only and label in seen):
                continue
            try:
                dataset.decode(index)
            except UnreadableImageError:
                continue
            chosen.append(index)
            seen.add(label)
    return sorted(chosen)


@table("samples", of="folder", schema={
    "sample_id": TEXT, "label": INT, "label_name": TEXT, "condition": TEXT, "png": BYTES,
})  # fmt: skip
def samples_table(
    datasets: dict[str, Dataset], canonical: Canonical, conditions: Sequence[Condition], count: int
) -> list[dict[str, object]]:
    """`count` images of each data set under each of its conditions, as PNG."""
    rows: list[dict[str, object]] = []
    for name, dataset in datasets.items():
        for index in chosen_samples(dataset, count, "samples"):
            image_13HW = torch.from_numpy(canonical.render(dataset.decode(index))[None])
            label = int(dataset.labels_N[index])
            for condition in (c for c in conditions if c.dataset == name):
                shown = condition.render(image_13HW, [dataset.sample_ids[index]])[0]
                rows.append(
                    {
                        "sample_id": dataset.sample_ids[index],
                        "label": label,
                        "label_name": dataset.label_space.name_of(label),
                        "condition": condition.name,
                        "png": _png(shown.numpy()),
                    }
                )
    return rows


@table("maps", of="folder", schema={
    "sample_id": TEXT, "condition": TEXT, "model": TEXT, "family": TEXT, "label_name": TEXT,
    "predicted_name": TEXT, "right": BOOL, "png": BYTES,
})  # fmt: skip
def maps_table(
    dataset: Dataset,
    canonical: Canonical,
    condition: Condition,
    classifiers: Sequence[Classifier],
    count: int,
    method: str,
    absolute: bool,
    device: torch.device,
) -> list[dict[str, object]]:
    """Pixels of the same images masked by the attribution of each model (Fig. 2, 11).

    The map explains the class that the model predicts.
    """
    rows: list[dict[str, object]] = []
    for index in chosen_samples(dataset, count, "maps"):
        image_13HW = torch.from_numpy(canonical.render(dataset.decode(index))[None])
        image_13HW = condition.render(image_13HW, [dataset.sample_ids[index]])
        float_13HW = image_13HW.to(device, torch.float32) / 255
        label = int(dataset.labels_N[index])
        for classifier in classifiers:
            with torch.inference_mode():
                predicted_1 = classifier(float_13HW).argmax(-1)
            map_3HW = attribute(classifier, float_13HW, predicted_1, method, absolute)[0].cpu()
            rows.append(
                {
                    "sample_id": dataset.sample_ids[index],
                    "condition": condition.name,
                    "model": classifier.name,
                    "family": classifier.card.family,
                    "label_name": dataset.label_space.name_of(label),
                    "predicted_name": dataset.label_space.name_of(int(predicted_1)),
                    "right": int(predicted_1) == label,
                    "png": to_png(masked(image_13HW[0], map_3HW)),
                }
            )
    return rows


def models_of_different_families(classifiers: Sequence[Classifier], count: int) -> list[Classifier]:
    """Up to `count` classifiers, the first of each family before the second of any."""
    rank: dict[str, int] = {}
    ranked = []
    for position, classifier in enumerate(classifiers):
        rank[classifier.card.family] = rank.get(classifier.card.family, 0) + 1
        ranked.append((rank[classifier.card.family], position, classifier))
    chosen = sorted(sorted(ranked, key=lambda r: r[:2])[:count], key=lambda r: r[1])
    return [classifier for _, _, classifier in chosen]


def _png(image_3HW: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image_3HW.transpose(1, 2, 0)).save(buffer, "PNG")
    return buffer.getvalue()
