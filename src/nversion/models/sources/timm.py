"""timm:NAME, an architecture of timm with its pretrained weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from nversion.core import UserError
from nversion.core.randomness import forked_randomness
from nversion.core.registry import did_you_mean
from nversion.models.arguments import NumClasses, building, refuse_settings, split_num_classes
from nversion.models.base import MODEL_SOURCES, LibrarySource, Loaded
from nversion.models.card import Lineage
from nversion.models.downloads import downloading
from nversion.models.families import guess_training
from nversion.models.names import did_you_mean_model
from nversion.models.preprocessing import Preprocessing, read_preprocessing
from nversion.models.published import lineage_of_timm


@MODEL_SOURCES.register("timm")
class TimmSource(LibrarySource):
    """Architectures of timm."""

    def load(
        self,
        *,
        reference: str,
        name: str | None,
        base: Path,
        pretrained: bool = True,
        num_classes: NumClasses | None = None,
        args: dict[str, Any] | None = None,
        size: Literal["train", "test"] = "test",
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
            size: of the images: "test", the one at which the weights' authors evaluated them (larger than
                that of their training for about 300 of timm's weights), or "train". Networks of a fixed size
                have one.
            seed: of random weights.

        Raises:
            UserError: unknown name or tag, no weights, no connection, arguments that the architecture does
                not take, or for which a part of pretrained weights would be missing or random.
        """
        import timm

        what = f"timm's {reference!r}"
        refuse_settings(args or {}, ("pretrained", "seed", "size", "checkpoint_path"), what)
        num_classes, arguments = split_num_classes(num_classes, args, what)
        architecture, _, tag = reference.partition(".")
        _check_name(reference, architecture, tag, pretrained)
        if pretrained:
            _check_head(timm.get_pretrained_cfg(reference), reference, num_classes)
        if num_classes is not None:
            arguments["num_classes"] = num_classes
        with (
            downloading(f"the weights of {what}", "set HF_HOME to it", from_hub=pretrained),
            building(what, arguments),
            forked_randomness(seed),
        ):
            module: nn.Module = timm.create_model(reference, pretrained=pretrained, **arguments)
        config: Any = module.pretrained_cfg
        if pretrained:
            _check_head(timm.models.PretrainedCfg(**config), reference, num_classes)
            if arguments:
                _check_loaded(module, reference, arguments, seed)
        elif getattr(module, "num_classes", None) == 0:
            raise UserError(
                expected=f"a classifier in {what}",
                found="a network without classes, as its default weights have none",
                next_step="add `num_classes = ...`",
            )
        built, tag = _name_and_tag(module, reference)
        preprocessing, note = _preprocessing(module, arguments, size, reference)
        return Loaded(
            module,
            preprocessing,
            name=reference,
            training=guess_training(f"{architecture}.{tag}") if pretrained else "untrained",
            training_guessed=pretrained,
            lineage=lineage_of_timm(built, tag) if pretrained else Lineage(built, seed=seed),
            notes=(note,) if note else (),
        )

    def published(self) -> Iterable[tuple[str, Mapping[str, Lineage]]]:
        """All architectures of timm."""
        import timm

        tags: dict[str, dict[str, Lineage]] = {}
        for full_name in timm.list_pretrained():
            name, _, tag = full_name.partition(".")
            tags.setdefault(name, {})[tag] = lineage_of_timm(name, tag)
        return [(name, tags.get(name, {})) for name in timm.list_models()]


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


def _check_head(config: Any, reference: str, num_classes: int | None) -> None:
    """Whether the last layer is the one of the weights.

    Raises:
        UserError: the weights have none, or one of other classes.
    """
    known = getattr(config, "num_classes", None)
    if known == 0:
        raise UserError(
            expected=f"weights of a classifier in timm's {reference!r}",
            found="those of a network without a last layer, whose outputs are features and no logits",
            next_step="choose others of `nversion models ls`, or train a last layer and load it with "
            '`source = "file:..."`',
        )
    if known is not None and num_classes not in (None, known):
        raise UserError(
            expected=f"{known} classes of the pretrained {reference!r}",
            found=f"`num_classes = {num_classes}`, for which its last layer would be random",
            next_step='remove `num_classes`, or train the model and load it with `source = "file:..."`',
        )


def _check_loaded(module: nn.Module, reference: str, arguments: Mapping[str, Any], seed: int) -> None:
    """Whether no parameter still has the random value with which it was built.

    Raises:
        UserError: some have; they are named.
    """
    import timm

    def untrained(seed: int) -> dict[str, Tensor]:
        with forked_randomness(seed):
            network: nn.Module = timm.create_model(reference, pretrained=False, **arguments)
        return dict(network.named_parameters())

    drawn = untrained(seed)
    kept = [name for name, value in module.named_parameters() if _equal(value, drawn.get(name))]
    if kept:  # also what is built from no random numbers: a table of positions
        others = untrained(seed + 1)
        kept = [name for name in kept if not _equal(drawn[name], others[name])]
    if kept:
        raise UserError(
            expected=f"all weights of the pretrained {reference!r} from its file",
            found=f"{len(kept)} that are random: {', '.join(kept[:3])}{', ...' * (len(kept) > 3)}",
            next_step=f"leave out what changes the architecture: `args` has {', '.join(arguments)}",
        )


def _equal(value: Tensor, other: Tensor | None) -> bool:
    return other is not None and torch.equal(value, other)


def _name_and_tag(module: Any, reference: str) -> tuple[str, str]:
    """The architecture that timm built, which may be newer than the name asked for, and its weights' tag."""
    config = getattr(module, "pretrained_cfg", None) or {}
    return config.get("architecture") or reference.partition(".")[0], config.get("tag") or ""


def _preprocessing(
    module: nn.Module, arguments: Mapping[str, Any], size: str, reference: str
) -> tuple[Preprocessing, str]:
    """What belongs to the weights, and a note where they have two sizes."""
    import timm

    card: Any = module.pretrained_cfg
    # A network of a fixed size cannot see its weights' test size.
    test = size == "test" and not card.get("fixed_input_size") and "img_size" not in arguments
    config = timm.data.resolve_model_data_config(module, use_test_size=test)
    channels, height, width = config["input_size"]
    if isinstance(own := arguments.get("img_size"), int):
        height = width = own
    elif own is not None:
        height, width = own
    if channels != 3 or height != width:
        raise UserError(
            expected="a model of square RGB images",
            found=f"{reference!r} with input size {channels}×{height}×{width}",
            next_step="choose another model",
        )
    settings = {key: config[key] for key in ("mean", "std", "interpolation", "crop_pct")}
    trained, tested = card["input_size"][1], (card.get("test_input_size") or card["input_size"])[1]
    note = ""
    if trained != tested and height in (trained, tested):
        chosen, other = ("test", "train") if height == tested else ("train", "test")
        note = f"input of {height} pixels, the weights' {chosen} size; {trained + tested - height} with "
        note += f'`size = "{other}"`'
    return read_preprocessing(settings | {"input_size": height}, f"timm's {reference!r}"), note
