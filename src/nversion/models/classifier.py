"""Classifier: a module, the preprocessing that belongs to its weights, and its card."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nversion.core import UserError, fingerprint
from nversion.core.label_spaces import IMAGENET, KNOWN_LABEL_SPACES, label_space_of
from nversion.core.reasons import reason_of

from .card import Card, Lineage
from .preprocessing import Preprocessing


class Classifier(nn.Module):
    """Canonical images in [0, 1] to logits: `module(preprocessing(images))`.

    In eval mode, and no parameter requires a gradient; gradients with respect to the images flow.

    Args:
        module: (N, 3, S, S) normalised images to (N, C) logits.
        preprocessing: what the weights expect.
        card: facts about it.
        fingerprint: of weights, preprocessing and architecture; see `fingerprint_of`.
    """

    def __init__(self, module: nn.Module, preprocessing: Preprocessing, card: Card, fingerprint: str) -> None:
        super().__init__()
        self.module = module
        self.preprocessing = preprocessing
        self.card = card
        self.fingerprint = fingerprint
        self.requires_grad_(False)
        self.eval()

    @property
    def name(self) -> str:
        """The card's name."""
        return self.card.name

    def forward(self, images_N3HW: Tensor) -> Tensor:
        """Logits (N, C) of floating-point images in [0, 1].

        Raises:
            ValueError: the images are not (N, 3, H, W) floating-point.
        """
        if images_N3HW.ndim != 4 or images_N3HW.shape[1] != 3 or not images_N3HW.is_floating_point():
            raise ValueError(
                f"expected floating-point images (N, 3, H, W) in [0, 1], found {images_N3HW.dtype} "
                f"{tuple(images_N3HW.shape)}; divide uint8 images by 255"
            )
        logits_NC: Tensor = self.module(self.preprocessing(images_N3HW))
        return logits_NC


def make_classifier(
    module: nn.Module,
    preprocessing: Preprocessing,
    *,
    name: str,
    source: str,
    family: str = "other",
    training: str = "unspecified",
    label_space: str | None = None,
    num_classes: int | None = None,
    code: str = "",
    lineage: Lineage | None = None,
    guessed: Collection[str] = (),
) -> Classifier:
    """A classifier from a module: puts it in eval mode, runs it once, counts, fingerprints.

    Args:
        module: is changed: eval mode, no gradients of parameters.
        preprocessing: what the weights expect.
        name: of the classifier.
        source: from where it comes, as text.
        family: of the architecture.
        training: how it was trained.
        label_space: name of the label space; if None, a module of 1000 outputs is taken to be in
            "imagenet-1k", any other must name it.
        num_classes: what the settings say, checked against the module's output.
        code: fingerprint of the user's code that built the module.
        lineage: from what it descends, as far as that is known.
        guessed: which of "family" and "training" were guessed from a name; the card says so.

    Raises:
        UserError: the module does not run on its input size, gives no finite (1, C) logits, or
            their number is not that of the label space.
    """
    module.eval().requires_grad_(False)
    macs, num_outputs = _run_once(module, preprocessing, name)
    if label_space is None:
        if num_outputs != KNOWN_LABEL_SPACES[IMAGENET]:
            raise UserError(
                expected=f"the label space of the classifier {name!r}",
                found=f"none for {num_outputs} classes",
                next_step='add `label_space = "..."` with the name that its data set uses',
            )
        label_space = IMAGENET
    space = label_space_of(
        f"the classifier {name!r}", label_space, num_classes=num_classes, num_outputs=num_outputs
    )
    card = Card(
        name=name,
        family=family,
        training=training,
        num_parameters=sum(parameter.numel() for parameter in module.parameters()),
        macs=macs,
        label_space=space,
        source=source,
        input_size=preprocessing.input_size,
        family_declared="family" not in guessed and family != "other",
        training_declared="training" not in guessed and training != "unspecified",
        **asdict(lineage or Lineage()),
    )
    return Classifier(module, preprocessing, card, fingerprint_of(module, preprocessing, code))


def fingerprint_of(module: nn.Module, preprocessing: Preprocessing, code: str = "") -> str:
    """The fingerprint of all that determines the logits of an image.

    Names, types, shapes and bytes of all parameters and buffers; the preprocessing as it is
    applied; the class of the module and its printed structure, because two networks may share all
    weights and differ in an activation or a padding; and `code`, the fingerprint of the user's code.
    A `forward` that was replaced on the object alone is not seen.
    """
    applied = preprocessing.to_dict()
    del applied["crop_pct"]
    structure = re.sub(r" at 0x[0-9a-f]+", "", repr(module))
    return fingerprint(
        {
            "class": f"{type(module).__module__}.{type(module).__qualname__}" if not code else "",
            "structure": structure,
            "preprocessing": applied,
            "weights": {key: _plain(value) for key, value in module.state_dict().items()},
            "code": code,
        }
    )


def _plain(value: Any) -> list[Any]:
    if not isinstance(value, Tensor):  # a module's own extra state
        return [repr(value)]
    # As bytes, because numpy has no bfloat16.
    flat = value.detach().cpu().contiguous().reshape(-1)
    return [str(value.dtype), list(value.shape), flat.view(torch.uint8).numpy()]


def _run_once(module: nn.Module, preprocessing: Preprocessing, name: str) -> tuple[int, int]:
    """MACs and number of logits of one image.

    MACs are half of the FLOPs that torch counts: matrix products, convolutions and attention;
    element-wise operations, norms and pooling are not counted, as is usual.
    """
    parameter = next(module.parameters(), torch.empty(0))
    size = preprocessing.input_size
    image = torch.full((1, 3, size, size), 0.5, device=parameter.device, dtype=parameter.dtype)
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), counter:
            logits = module(preprocessing(image))
    except Exception as error:
        raise UserError(
            expected=f"the classifier {name!r} to run on 1×3×{size}×{size}",
            found=reason_of(error, with_type=True),
            next_step="check the module and the `input_size` of its preprocessing",
        ) from error
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != 1:
        found = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise UserError(
            expected=f"logits of shape (N, classes) from the classifier {name!r}",
            found=f"{found} for one image",
            next_step="wrap the module so that it returns the logits alone",
        )
    if not torch.isfinite(logits).all():
        raise UserError(
            expected=f"finite logits from the classifier {name!r}",
            found="infinite ones or NaN for a grey image",
            next_step="check the weights and the preprocessing",
        )
    return counter.get_total_flops() // 2, logits.shape[1]
