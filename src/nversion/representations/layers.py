"""Which layers of a network are compared, in the order in which they run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from nversion.core import UserError, did_you_mean
from nversion.models import Classifier, eagerly

# Names under which model libraries keep the sequence of their stages or blocks.
_OF_BLOCKS = {"blocks", "features", "layer", "layers", "stages"}
_IS_STAGE = re.compile(r"s(tage)?\d+")
_PROBES = 3  # images of the probing run: one would let tensors without a batch axis pass


def layers_of(classifier: Classifier, patterns: Sequence[str] = ()) -> list[str]:
    """Names of the layers to compare, in the order in which they finish.

    Patterns are shell patterns of module names, as `named_modules()` of the classifier's module has them, in
    which `*` stands for dots, too: "layer?.?" are the blocks of a ResNet, "blocks.?" and "blocks.??" those
    of a ViT, "*" is every module. Modules that give no floating-point tensor with a row for each image (which
    they may return first in a tuple) are no layers.

    Without patterns the blocks are found: what stands in sequences of blocks, also where these stand in
    stages (`layer1.0`, `blocks.2.1`, `encoder.layers.encoder_layer_3`), and whatever else has at least two
    modules with weights on that level, such as a stem or a transition; never what returns the logits. A
    network without three of them (VGG) gives the last module before each change of resolution.

    A module that runs several times counts once, where it runs last.

    Raises:
        UserError: no pattern fits, or the network has nothing to compare but its logits.

    >>> from nversion.models import load_classifier
    >>> network = load_classifier({"source": "torchvision:resnet18", "pretrained": False})
    >>> layers_of(network, ["layer?.1"])
    ['layer1.1', 'layer2.1', 'layer3.1', 'layer4.1']
    >>> layers_of(network) == layers_of(network, ["layer?.?"])
    True
    """
    ran = _probe(classifier)
    if patterns:
        found = [name for name in ran if any(fnmatchcase(name, pattern) for pattern in patterns)]
        if not found:
            raise _no_match(classifier, patterns, ran)
        return found
    found = _blocks(classifier.written_module, ran)
    if len(found) < 3:
        found = _before_each_resolution(classifier.written_module, ran)
    if not found:
        raise UserError(
            expected=f"layers of {classifier.name!r} before its logits",
            found="none from which stage or block follow",
            next_step="name modules by patterns, or leave the model out",
        )
    return found


def layers_of_pool(classifiers: Sequence[Classifier], patterns: Sequence[str] = ()) -> list[list[str]]:
    """`layers_of` each classifier, where each pattern must fit some layer of some classifier.

    Raises:
        UserError: a pattern fits nowhere, or a classifier has no layer that fits.
    """
    layers = [layers_of(classifier, patterns) for classifier in classifiers]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for names in layers for name in names):
            raise UserError(
                expected="name patterns that fit a layer of some model",
                found=repr(pattern),
                next_step=did_you_mean(pattern, [name for names in layers for name in names]),
            )
    return layers


@contextmanager
def watching(module: nn.Module, layers: Sequence[str], see: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Call `see(name, output)` each time that one of the layers has run, until the context ends.

    The output is seen at once, before a later module may change it in place; a tuple, list or mapping is
    represented by its first tensor. Outputs without one are not seen.
    """
    modules = dict(module.named_modules())

    def hook(name: str, _module: nn.Module, _inputs: Any, output: Any) -> None:
        tensor = _first_tensor(output)
        if tensor is not None:
            see(name, tensor)

    handles = [modules[name].register_forward_hook(partial(hook, name)) for name in layers]
    try:
        with eagerly():
            yield
    finally:
        for handle in handles:
            handle.remove()


def _first_tensor(output: Any) -> Tensor | None:
    if isinstance(output, Tensor):
        return output
    parts = (
        output.values() if isinstance(output, dict) else output if isinstance(output, tuple | list) else ()
    )
    return next((tensor for tensor in map(_first_tensor, parts) if tensor is not None), None)


@dataclass(frozen=True)
class _Ran:
    """What one run of a layer shows: the shape of an image's features, and whether they are the logits."""

    shape: tuple[int, ...]
    is_logits: bool

    @property
    def resolution(self) -> tuple[int, ...]:
        """Height and width of a feature map; of anything else the whole shape."""
        return self.shape[1:] if len(self.shape) == 3 else self.shape


def _probe(classifier: Classifier) -> dict[str, _Ran]:
    """Every layer that runs, in the order in which it finishes (for the last time)."""
    seen: dict[str, Tensor] = {}
    num_logits = _PROBES * classifier.card.label_space.num_classes

    def see(name: str, output: Tensor) -> None:
        seen.pop(name, None)
        # Only what may be the logits is kept; of anything else the shape, on the device without memory.
        seen[name] = output if output.numel() == num_logits else torch.empty_like(output, device="meta")

    parameter = next(classifier.parameters(), torch.empty(0))
    size = classifier.preprocessing.input_size
    images_N3HW = torch.full((_PROBES, 3, size, size), 0.5, device=parameter.device)
    names = [name for name, _ in classifier.written_module.named_modules() if name]
    with torch.inference_mode(), watching(classifier.written_module, names, see):
        logits_NC = classifier(images_N3HW)
    return {
        name: _Ran(tuple(output.shape[1:]), output.data_ptr() == logits_NC.data_ptr())
        for name, output in seen.items()
        if output.ndim >= 2 and len(output) == _PROBES and output.is_floating_point()
    }


def _no_match(classifier: Classifier, patterns: Sequence[str], ran: dict[str, _Ran]) -> UserError:
    named = [name for name, _ in classifier.written_module.named_modules() if name]
    unfit = [name for name in named if any(fnmatchcase(name, pattern) for pattern in patterns)]
    if unfit:
        return UserError(
            expected=f"layers of {classifier.name!r} that give a tensor with a row for each image",
            found=", ".join(map(repr, unfit[:3])),
            next_step="name the modules around or inside them",
        )
    return UserError(
        expected=f"name patterns that fit a layer of {classifier.name!r}",
        found=" and ".join(map(repr, patterns)),
        next_step=did_you_mean(patterns[0], list(ran)),
    )


def _blocks(root: nn.Module, ran: dict[str, _Ran]) -> list[str]:
    """Blocks that ran, in the order in which they finish."""

    def inside(module: nn.Module, prefix: str) -> list[str]:
        return [name for key, child in module.named_children() for name in walk(child, f"{prefix}{key}")]

    def walk(module: nn.Module, name: str) -> list[str]:
        found = inside(module, f"{name}.") if _holds_blocks(module, name) else []
        # What holds a single "block" under such a name is rather the block itself (torchvision's MNASNet).
        if len(found) > 1 or (found and (_is_sequence(module, name) or name not in ran)):
            return found
        return [name] if name in ran and not ran[name].is_logits and _num_weighted(module) >= 2 else []

    found = inside(root, "")
    while len(found) == 1:  # one module around all the rest, as in Sequential(normalise, network)
        deeper = inside(root.get_submodule(found[0]), f"{found[0]}.")
        if not deeper:
            break
        found = deeper
    return [name for name in ran if name in set(found)]


def _is_sequence(module: nn.Module, name: str) -> bool:
    is_stage = _IS_STAGE.fullmatch(name.rpartition(".")[2]) is not None
    return isinstance(module, nn.Sequential | nn.ModuleList) or is_stage


def _holds_blocks(module: nn.Module, name: str) -> bool:
    return _is_sequence(module, name) or any(
        key in _OF_BLOCKS and isinstance(child, nn.Sequential | nn.ModuleList)
        for key, child in module.named_children()
    )


def _num_weighted(module: nn.Module) -> int:
    """Modules in it that have weights of their own."""
    return sum(any(True for _ in part.parameters(recurse=False)) for part in module.modules())


def _before_each_resolution(root: nn.Module, ran: dict[str, _Ran]) -> list[str]:
    """The last innermost module of each run of equal resolution, without those that return the logits."""
    leaves = [
        name for name in ran if not ran[name].is_logits and not any(root.get_submodule(name).children())
    ]
    return [list(run)[-1] for _, run in groupby(leaves, key=lambda name: ran[name].resolution)]
