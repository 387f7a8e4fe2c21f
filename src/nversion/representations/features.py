"""Features become Gram matrices the moment they exist: one layer's features are held at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nversion.core import UserError
from nversion.diversity import linear_gram
from nversion.models import Classifier

from .layers import watching


def layer_grams(classifier: Classifier, images_N3HW: Tensor, layers: Sequence[str]) -> tuple[Tensor, Tensor]:
    """The Gram matrix of each layer's features on one batch, and the logits of the same run.

    A sample's features are all values of its row, every position of every channel or token. Memory besides
    the network's own: one layer's features and 8·L·N² bytes.

    Args:
        classifier: in eval mode; runs as it stands, also under the caller's automatic mixed precision, of
            which the products are exempt.
        images_N3HW: float, in [0, 1].
        layers: as `layers_of` names them.

    Returns:
        gram_LNN: float64, on the device of the images, in the order of `layers`.
        logits_NC: the classifier's output.

    Raises:
        UserError: a layer did not run, or gave something else than a row for each image.
    """
    num_samples = len(images_N3HW)
    grams: dict[str, Tensor] = {}

    def see(name: str, output: Tensor) -> None:
        if len(output) != num_samples or output.ndim < 2:
            raise UserError(
                expected=f"features of {num_samples} images from the layer {name!r} of {classifier.name!r}",
                found=f"shape {tuple(output.shape)}",
                next_step="name other layers",
            )
        with torch.autocast(output.device.type, enabled=False):
            grams[name] = linear_gram(_rows(output))

    with torch.inference_mode(), watching(classifier.written_module, layers, see):
        logits_NC = classifier(images_N3HW)
    if missing := [name for name in layers if name not in grams]:
        raise UserError(
            expected=f"the layer {missing[0]!r} of {classifier.name!r} to run",
            found="that it did not on this batch",
            next_step="name layers that every image goes through",
        )
    return torch.stack([grams[name] for name in layers]), logits_NC


def _rows(features: Tensor) -> Tensor:
    """One row a sample, without a copy where memory allows: the order of features does not matter."""
    if features.ndim == 4 and features.is_contiguous(memory_format=torch.channels_last):
        features = features.permute(0, 2, 3, 1)
    return features.flatten(1)
