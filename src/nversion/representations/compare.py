"""The similarity of all layers of two models as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from nversion.diversity import MIN_IMAGES, CKASums
from nversion.ensembles import FEWEST_BLOCKS
from nversion.models import Classifier

from .features import layer_grams
from .layers import layers_of_pool

CKA_COLUMNS = {
    "model_a": pl.String,
    "layer_a": pl.String,
    "depth_a": pl.Int64,
    "model_b": pl.String,
    "layer_b": pl.String,
    "depth_b": pl.Int64,
    "value": pl.Float64,
    "stderr": pl.Float64,
    "n_images": pl.Int64,
    "note": pl.String,
}


@dataclass(frozen=True)
class Entry:
    """One row and column of the sums: a layer of a model, or its attribution maps.

    Attributes:
        model: index of it.
        layer: name of the module, or "map:" and the attribution method.
        depth: its place in the order in which the model's layers run, from 0; −1 for maps.
    """

    model: int
    layer: str
    depth: int


def layer_entries(layers: Sequence[Sequence[str]]) -> list[Entry]:
    """The entries of the layers of all models, model after model."""
    return [
        Entry(model, layer, depth) for model, names in enumerate(layers) for depth, layer in enumerate(names)
    ]


def compare_representations(
    classifier_a: Classifier,
    classifier_b: Classifier,
    batches: Iterable[Any],
    layers: Sequence[str] = (),
    *,
    num_blocks: int = 50,
) -> pl.DataFrame:
    """Unbiased minibatch CKA between the layers of two models, as in Fig. 12.

    Both models see the same images, each through its own preprocessing, on the device where `classifier_a`
    is. Memory is that of the models and of one layer's features, whatever the number of batches.

    Args:
        batches: images of shape (N, 3, H, W), uint8 or float in [0, 1], or tuples that start with them, as
            a `DataLoader` gives; batches of fewer than 4 images are skipped and counted. Larger batches
            give smaller standard errors for the same number of images.
        layers: name patterns, of which each must fit a layer of one of the models; empty: see `layers_of`.
        num_blocks: minibatch j goes to block j mod B of the jackknife.

    Returns:
        A row for each layer of a and each of b with the columns `CKA_COLUMNS`, and for the pairs within a
        and within b.

    Raises:
        UserError: no layer fits.

    >>> from nversion.models import load_classifier
    >>> settings = {"source": "torchvision:resnet18", "pretrained": False}
    >>> a, b = (load_classifier({**settings, "name": name}) for name in ("first", "second"))
    >>> images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    >>> table = compare_representations(a, b, images.split(4), ["layer?"])
    >>> between = table.filter(pl.col("model_a") == "first", pl.col("model_b") == "second")
    >>> between["layer_a"].unique(maintain_order=True).to_list(), between["n_images"][0], len(between)
    (['layer1', 'layer2', 'layer3', 'layer4'], 8, 16)
    """
    classifiers = (classifier_a, classifier_b)
    names = layers_of_pool(classifiers, layers)
    entries = layer_entries(names)
    sums = CKASums.zeros(num_blocks, len(entries))
    device = next(classifier_a.parameters(), torch.empty(0)).device
    for batch in batches:
        images_N3HW = _as_float(batch[0] if isinstance(batch, tuple | list) else batch, device)
        grams = [
            layer_grams(classifier, images_N3HW, of_model)[0]
            for classifier, of_model in zip(classifiers, names, strict=True)
        ]
        sums.update(torch.cat(grams))
    return cka_table(entries, [classifier.name for classifier in classifiers], sums)


def cka_table(entries: Sequence[Entry], model_names: Sequence[str], sums: CKASums) -> pl.DataFrame:
    """Rows of the table `cka`: layers with layers and maps with maps, of each two models in their order.

    Within one model, and between two, all pairs of layers are there, so that a heatmap is a plain filter;
    of maps all but those of one model with themselves.
    """
    cka_TT, stderr_TT = sums.cka().numpy(), sums.stderr().numpy()
    model_T = np.array([entry.model for entry in entries], dtype=np.int64)
    depth_T = np.array([entry.depth for entry in entries], dtype=np.int64)
    is_map_T = depth_T < 0
    told_TT = (model_T[:, None] <= model_T) & (is_map_T[:, None] == is_map_T)
    told_TT &= ~np.diag(is_map_T)
    a, b = np.nonzero(told_TT)
    name_T = np.array([model_names[entry.model] for entry in entries], dtype=object)
    layer_T = np.array([entry.layer for entry in entries], dtype=object)
    reason_T = sums.reasons()
    count = f"{sums.num_skipped} minibatch{'es' if sums.num_skipped > 1 else ''}"
    skipped = f"{count} of fewer than {MIN_IMAGES} images left out" if sums.num_skipped else ""
    is_few = int((sums.batches_B > 0).sum()) < FEWEST_BLOCKS
    few = f"no standard error: fewer than {FEWEST_BLOCKS} minibatches" if is_few else ""
    columns: dict[str, Any] = {}
    for side, index in (("a", a), ("b", b)):
        columns |= {
            f"model_{side}": name_T[index],
            f"layer_{side}": layer_T[index],
            f"depth_{side}": depth_T[index],
        }
    columns |= {
        "value": cka_TT[a, b],
        "stderr": stderr_TT[a, b],
        "n_images": np.full(len(a), sums.num_images),
        "note": [
            "; ".join(filter(None, (reason_T[i] or reason_T[j] or few, skipped)))
            for i, j in zip(a, b, strict=True)
        ],
    }
    return pl.DataFrame(columns, schema=CKA_COLUMNS)


def _as_float(images_N3HW: Tensor, device: torch.device) -> Tensor:
    images_N3HW = images_N3HW.to(device)
    return images_N3HW if images_N3HW.is_floating_point() else images_N3HW.float() / 255
