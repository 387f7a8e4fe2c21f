"""Classifier: a module, the preprocessing that belongs to its weights, and its card."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import Literal

import torch
from torch import Tensor, nn

from nversion.core import UserError, fingerprint
from nversion.core.label_spaces import IMAGENET, KNOWN_LABEL_SPACES, label_space_of

from .card import Card, Lineage
from .identity import fingerprint_of, is_lazy
from .logits_file import LogitsFile
from .preprocessing import Preprocessing
from .probe import check_outputs, guard_of, probe

PROBABILITY_FLOOR = torch.finfo(torch.float32).tiny
"""Smallest probability whose logarithm is taken, about 1e-38: that of 0 is -87.3, not minus infinity."""


class Classifier(nn.Module):
    """Canonical images in [0, 1] to logits: `module(preprocessing(images))`, or its logarithm.

    In eval mode, and no parameter requires a gradient; gradients with respect to the images flow.

    Args:
        module: (N, 3, S, S) normalised images to (N, C) logits, or probabilities where the card says so.
        preprocessing: what the weights expect.
        card: facts about it.
        fingerprint: of all that its logits are computed from; see `fingerprint_of`.
        guard: a short record of its logits on a fixed image; see `guard_of`. Empty: not known.
    """

    def __init__(
        self,
        module: nn.Module,
        preprocessing: Preprocessing,
        card: Card,
        fingerprint: str,
        guard: tuple[float, ...] = (),
    ) -> None:
        super().__init__()
        self.module = module
        self.preprocessing = preprocessing
        self.card = card
        self.fingerprint = fingerprint
        self.guard = guard
        evaluating(self)

    @property
    def name(self) -> str:
        """The card's name."""
        return self.card.name

    @property
    def written_module(self) -> nn.Module:
        """The module as it was written: what `torch.compile` was given, where it was compiled."""
        inner = getattr(self.module, "_orig_mod", None)
        return inner if isinstance(inner, nn.Module) else self.module

    @property
    def is_stored(self) -> bool:
        """Whether its logits are read from a file, so that no image can go through it."""
        return isinstance(self.module, LogitsFile)

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
        outputs_NC: Tensor = self.module(self.preprocessing(images_N3HW))
        if self.card.outputs == "probabilities":
            return outputs_NC.float().clamp_min(PROBABILITY_FLOOR).log()
        return outputs_NC


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
    outputs: Literal["logits", "probabilities"] = "logits",
    repeatable: bool = True,
    shares_weights: bool = False,
    notes: tuple[str, ...] = (),
) -> Classifier:
    """A classifier from a module: puts it in eval mode, fingerprints, runs it once, counts.

    Args:
        module: is changed: eval mode, float32, no gradients of parameters.
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
        outputs: what the module gives; of probabilities the logarithms are taken, not below that of
            `PROBABILITY_FLOOR`. Log-probabilities are logits.
        repeatable: whether its logits are said to be a function of the image alone; False is for
            classifiers that are known not to be (dropout, random crops), which a study marks.
        shares_weights: whether other classifiers hold the same weights in memory.
        notes: what a user should know of what was loaded.

    Raises:
        UserError: the module does not run on its input size, gives no finite (1, C) logits, gives
            probabilities unasked, or their number is not that of the label space.
    """
    guard: tuple[float, ...] = ()
    macs = num_parameters = None
    if isinstance(module, LogitsFile):
        identity, num_outputs = fingerprint([module.digest, outputs]), module.num_classes
    else:
        check_initialised(module, f"the classifier {name!r}")
        as_float32(evaluating(module))
        # Before it runs: a run may leave traces, such as caches.
        identity = fingerprint_of(module, preprocessing, code, outputs)
        probed = probe(module, preprocessing, name)
        notes = (*notes, *check_outputs(module, preprocessing, probed, outputs, name))
        num_parameters = sum(parameter.numel() for parameter in module.parameters())
        macs, num_outputs, guard = probed.macs, probed.outputs_1C.shape[1], guard_of(probed.outputs_1C)
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
        num_parameters=num_parameters,
        macs=macs,
        label_space=space,
        source=source,
        input_size=preprocessing.input_size,
        family_declared="family" not in guessed and family != "other",
        training_declared="training" not in guessed and training != "unspecified",
        outputs=outputs,
        repeatable=repeatable,
        shares_weights=shares_weights,
        notes=notes,
        **asdict(lineage or Lineage()),
    )
    return Classifier(module, preprocessing, card, identity, guard)


def evaluating(module: nn.Module) -> nn.Module:
    """The module in eval mode, without gradients of parameters; exported programs are what they are."""
    try:
        module.eval()
    except NotImplementedError:  # of a program by torch.export, here or inside
        for child in module.children():
            evaluating(child)
        module.training = False
    for parameter in module.parameters():  # scripted modules have no requires_grad_
        parameter.requires_grad_(False)
    return module


def as_float32(module: nn.Module) -> nn.Module:
    """The module with parameters and buffers in float32, the type of the images, if it has others."""
    if any(p.is_floating_point() and p.dtype != torch.float32 for p in module.parameters()):
        module.float()
    return module


def check_initialised(module: nn.Module, what: str) -> None:
    """Refuse lazy layers that have no weights yet.

    Raises:
        UserError: it has some; `what` is the module's name in the error.
    """
    lazy = [key for key, value in [*module.named_parameters(), *module.named_buffers()] if is_lazy(value)]
    if lazy:
        raise UserError(
            expected=f"the weights of {what}",
            found=f"lazy layers without any, such as {lazy[0]!r}",
            next_step="run the module once on an image and load its weights before it is returned",
        )
