"""torchvision:NAME, an architecture of torchvision with its pretrained weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from nversion.core import UserError
from nversion.core.randomness import forked_randomness
from nversion.core.registry import did_you_mean
from nversion.models.arguments import NumClasses, building, refuse_settings, split_num_classes
from nversion.models.base import MODEL_SOURCES, LibrarySource, Loaded
from nversion.models.card import Lineage
from nversion.models.downloads import downloading
from nversion.models.names import did_you_mean_model
from nversion.models.preprocessing import Preprocessing
from nversion.models.published import lineage_of_torchvision


@MODEL_SOURCES.register("torchvision")
class TorchvisionSource(LibrarySource):
    """Classifiers of torchvision."""

    def load(
        self,
        *,
        reference: str,
        name: str | None,
        base: Path,
        pretrained: bool = True,
        weights: str | None = None,
        num_classes: NumClasses | None = None,
        args: dict[str, Any] | None = None,
        seed: int = 0,
    ) -> Loaded:
        """A classifier of torchvision; the preprocessing is that of its weights' transforms.

        Args:
            reference: a name of torchvision ("mobilenet_v2").
            name: not used: the architecture's name is the default.
            base: not used.
            pretrained: download the weights, or take them from the cache; False: random weights, with
                the preprocessing of the default ones.
            weights: which weights ("IMAGENET1K_V1"); the default ones if None.
            num_classes: of a model without pretrained weights; 1000 if None.
            args: further arguments of the architecture.
            seed: of random weights.

        Raises:
            UserError: unknown name or weights, no connection, or new classes for old weights.
        """
        from torchvision import models

        names = models.list_models(module=models)
        if reference not in names:
            raise UserError(
                expected="a classifier's name of torchvision",
                found=repr(reference),
                next_step=did_you_mean_model(reference, names),
            )
        what = f"torchvision's {reference!r}"
        refuse_settings(args or {}, ("pretrained", "weights", "seed"), what)
        num_classes, arguments = split_num_classes(num_classes, args, what)
        choices = models.get_model_weights(reference)
        known = [choice.name for choice in choices]
        if weights is not None and (weights not in known or not pretrained):
            raise UserError(
                expected=f"weights of torchvision's {reference!r}",
                found=repr(weights) if pretrained else f"{weights!r} with `pretrained = false`",
                next_step=did_you_mean(weights, known) if pretrained else "remove one of the two settings",
            )
        chosen = choices[weights] if weights is not None else choices.DEFAULT
        if pretrained and num_classes not in (None, len(chosen.meta["categories"])):
            raise UserError(
                expected=f"{len(chosen.meta['categories'])} classes of the pretrained {reference!r}",
                found=f"`num_classes = {num_classes}`, which its last layer does not have",
                next_step='remove `num_classes`, or train the model and load it with `source = "file:..."`',
            )
        if num_classes is not None:
            arguments["num_classes"] = num_classes
        cache = "TORCH_HOME, folder hub/checkpoints"
        with (
            downloading(f"the weights {chosen.name} of {what}", cache),
            building(what, arguments),
            forked_randomness(seed),
        ):
            module: nn.Module = models.get_model(
                reference, weights=chosen if pretrained else None, **arguments
            )
        return Loaded(
            module,
            _preprocessing(chosen.transforms()),
            name=reference,
            training="supervised" if pretrained else "untrained",
            training_guessed=pretrained,
            lineage=lineage_of_torchvision(reference, chosen.name)
            if pretrained
            else Lineage(reference, seed=seed),
        )

    def published(self) -> Iterable[tuple[str, Mapping[str, Lineage]]]:
        """All classifiers of torchvision."""
        from torchvision import models

        for name in models.list_models(module=models):
            weights = [choice.name for choice in models.get_model_weights(name)]
            yield name, {own: lineage_of_torchvision(name, own) for own in weights}


def _preprocessing(transforms: Any) -> Preprocessing:
    size, resized = transforms.crop_size[0], transforms.resize_size[0]
    return Preprocessing(
        input_size=size,
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        interpolation=transforms.interpolation.value,
        crop_pct=round(size / resized, 4),
    )
