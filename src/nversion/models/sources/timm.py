"""timm:NAME, an architecture of timm with its pretrained weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from nversion.core import UserError
from nversion.core.registry import did_you_mean
from nversion.models.card import Lineage
from nversion.models.downloads import downloading
from nversion.models.families import guess_training
from nversion.models.loading import MODEL_SOURCES, Loaded
from nversion.models.names import did_you_mean_model
from nversion.models.preprocessing import Preprocessing, read_preprocessing
from nversion.models.published import lineage_of_timm
from nversion.models.untrained import seeded


@MODEL_SOURCES.register("timm")
def load_timm(
    *,
    reference: str,
    name: str | None,
    base: Path,
    pretrained: bool = True,
    num_classes: int | None = None,
    args: dict[str, Any] | None = None,
    seed: int = 0,
) -> Loaded:
    """A model of timm; the preprocessing is the one recorded with the weights.

    Args:
        reference: a name of timm, with or without the weights' tag ("resnet50", "resnet50.a1_in1k").
        name: not used: the architecture's name is the default.
        base: not used.
        pretrained: download the weights, or take them from the cache; False: random weights.
        num_classes: of a model without pretrained weights; timm's own number if None.
        args: further arguments of `timm.create_model`.
        seed: of random weights.

    Raises:
        UserError: unknown name or tag, no weights, no connection, or new classes for old weights.
    """
    import timm

    architecture, _, tag = reference.partition(".")
    _check_name(reference, architecture, tag, pretrained)
    if pretrained and num_classes is not None:
        _refuse_new_head(reference, num_classes)
    arguments = dict(args or {})
    if num_classes is not None:
        arguments["num_classes"] = num_classes
    with downloading(f"the weights of timm's {reference!r}", "set HF_HOME to it"), seeded(seed):
        module: nn.Module = timm.create_model(reference, pretrained=pretrained, **arguments)
    built, tag = _name_and_tag(module, reference)
    return Loaded(
        module,
        _preprocessing(timm.data.resolve_model_data_config(module), reference),
        name=reference,
        training=guess_training(f"{architecture}.{tag}") if pretrained else "untrained",
        training_guessed=pretrained,
        lineage=lineage_of_timm(built, tag) if pretrained else Lineage(built, seed=seed),
    )


def _check_name(reference: str, architecture: str, tag: str, pretrained: bool) -> None:
    import timm

    if reference.startswith(("hf-hub:", "hf_hub:")):
        return
    if not timm.is_model(architecture):
        raise UserError(
            expected="a model name of timm",
            found=repr(architecture),
            next_step=did_you_mean_model(architecture, timm.list_models()),
        )
    tagged = timm.list_pretrained(f"{architecture}.*") if tag else []
    if tag and reference not in tagged:
        tags = [known.partition(".")[2] for known in tagged]
        raise UserError(
            expected=f"a weights tag of timm's {architecture!r}",
            found=repr(tag),
            next_step=did_you_mean(tag, tags) if tags else "leave it out: no weights exist",
        )
    if pretrained and not timm.models.is_model_pretrained(architecture):
        raise UserError(
            expected=f"pretrained weights of timm's {architecture!r}",
            found="none",
            next_step='set `pretrained = false`, or give a weights file with `source = "file:..."`',
        )


def _refuse_new_head(reference: str, num_classes: int) -> None:
    import timm

    config = timm.get_pretrained_cfg(reference)
    known = config.num_classes if config is not None else None
    if known != num_classes:
        raise UserError(
            expected=f"{known} classes of the pretrained {reference!r}",
            found=f"`num_classes = {num_classes}`, for which its last layer would be random",
            next_step='remove `num_classes`, or train the model and load it with `source = "file:..."`',
        )


def _name_and_tag(module: Any, reference: str) -> tuple[str, str]:
    """The architecture that timm built, which may be newer than the name asked for, and its weights' tag."""
    config = getattr(module, "pretrained_cfg", None) or {}
    return config.get("architecture") or reference.partition(".")[0], config.get("tag") or ""


def _preprocessing(config: Mapping[str, Any], reference: str) -> Preprocessing:
    channels, height, width = config["input_size"]
    if channels != 3 or height != width:
        raise UserError(
            expected="a model of square RGB images",
            found=f"{reference!r} with input size {channels}×{height}×{width}",
            next_step="choose another model",
        )
    settings = {key: config[key] for key in ("mean", "std", "interpolation", "crop_pct")}
    return read_preprocessing(settings | {"input_size": height}, f"timm's {reference!r}")
