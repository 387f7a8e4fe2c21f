"""What a weights file says of itself: data that is checked, and that never chooses code.

A file may name an architecture of timm, of torchvision or one of `OWN_BUILDERS`, with plain arguments. Any
other function that is to be called comes from the user: a study, a recipe or the command line.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, ValidationError
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from nversion.core import UserError
from nversion.core.reasons import printable, shown
from nversion.core.tables import Table
from nversion.core.toml import toml_value
from nversion.supernet.elastic import Elasticity

from .base import MODEL_SOURCES, source_of
from .card import Lineage
from .preprocessing import Preprocessing, read_preprocessing
from .tensors import checked_facts

OWN_BUILDERS: dict[str, dict[str, type]] = {
    "python:nversion.training.small_networks:build": {"name": str, "num_classes": int},
    "python:nversion.training.resnet_32:resnet50": {"num_classes": int},
}
"""Functions of this package that a file may name, and the arguments that it may give them."""

LONGEST_TEXT = 2000
_LONGEST = 100_000  # characters of a file's own description
_MOST_CLASSES = 1_000_000
_MOST_VALUES, _DEEPEST, _LARGEST = 1000, 6, 1_000_000  # of arguments: how many, how nested, how large
_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?")
# Parts of the names of timm's and torchvision's arguments that open files or the network, or that replace a
# model's configuration, in which such an argument may stand.
_OPENING = frozenset(
    {"cache", "cfg", "checkpoint", "dir", "file", "filter", "hub", "pretrained", "url", "weights"}
)
_HARMLESS = frozenset({"init_weights"})


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a text without control characters")
    return text


Text = Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(_printable)]


class StatedLineage(Table):
    """See `Lineage`."""

    architecture: Text = ""
    initial_weights: Text = ""
    teacher: Text = ""
    training_data: tuple[Text, ...] = Field((), max_length=100)
    seed: int | None = None


class Stated(Table):
    """The description that `save_weights` writes into a file.

    Attributes:
        arch: the source that builds the architecture.
        num_classes: its argument; None: it takes none.
        args: its other arguments.
        preprocessing: a table of `Preprocessing`.
        label_space, training, lineage: as on cards.
        elasticity: of a supernet, or of the supernet that `subnet` was taken from.
        subnet: which part of the architecture the weights are; None: all of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    arch: Text
    num_classes: int | None = Field(None, ge=1, le=_MOST_CLASSES)
    args: dict[str, Any] = Field(default_factory=dict)
    preprocessing: dict[str, Any]
    label_space: Text
    training: Text = "unspecified"
    lineage: StatedLineage = StatedLineage()
    elasticity: Elasticity | None = None
    subnet: Annotated[str, Field(max_length=10_000), AfterValidator(_printable)] | None = None

    def lineage_from(self, architecture: str) -> Lineage:
        """From what the weights descend; `architecture` where the file does not name it."""
        return Lineage(
            **self.lineage.model_dump() | {"architecture": self.lineage.architecture or architecture}
        )

    def read_preprocessing(self, path: Path) -> Preprocessing:
        """The table as a `Preprocessing`.

        Raises:
            UserError: it is none.
        """
        return read_preprocessing(self.preprocessing, f"the weights {path}")


def read_stated(text: str, tensors: Mapping[str, Tensor], path: Path) -> Stated:
    """The description in a file's metadata.

    Args:
        text: JSON.
        tensors: of the file.
        path: of the file, for errors.

    Raises:
        UserError: it is no description, or not that of these tensors.
    """
    if len(text) > _LONGEST:
        raise _broken(path, f"{len(text)} characters", f"at most {_LONGEST} characters")
    facts = checked_facts(text, tensors, path)
    try:
        stated = Stated.model_validate(facts)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        found = "none" if first["type"] == "missing" else shown(first["input"])
        raise _broken(path, f"{found} ({printable(message)[:200]})", f"a sound {shown(place)}") from error
    _check_plain(stated.args, path)
    return stated


def check_architecture(stated: Stated, path: Path) -> None:
    """Whether the file may choose its architecture and arguments.

    Raises:
        UserError: the architecture is code of the user's, or an argument opens files or the network.
    """
    prefix, _, name = stated.arch.partition(":")
    if stated.arch in OWN_BUILDERS:
        known = OWN_BUILDERS[stated.arch]
        wrong = [
            key for key, value in stated.args.items() if key not in known or type(value) is not known[key]
        ]
    elif prefix in MODEL_SOURCES and MODEL_SOURCES[prefix].named_in_files and _NAME.fullmatch(name):
        wrong = [key for key in stated.args if _opens(key)]
    else:
        raise UserError(
            expected=f"an architecture of timm, torchvision or nversion in the description inside {path}",
            found=shown(stated.arch),
            next_step="a file may not choose code that runs: if you trust that code, name it next to the "
            f"source of the model: {settings_of(stated)}",
        )
    if wrong:
        raise UserError(
            expected=f"arguments that a weights file may give {stated.arch!r}",
            found=f"{shown(wrong[0])} in {path}",
            next_step=f"if you trust it, write them next to the source of the model: {settings_of(stated)}",
        )


def settings_of(stated: Stated) -> str:
    """The settings of a `file:` source that say what the file does.

    >>> settings_of(Stated(arch="timm:resnet18", args={"stem_width": 8}, preprocessing={}, label_space="x"))
    'arch = "timm:resnet18", args = { stem_width = 8 }'
    """
    parts = {"arch": stated.arch} | ({"args": stated.args} if stated.args else {})
    return ", ".join(f"{key} = {toml_value(value)}" for key, value in parts.items())


def arch_settings(arch: str, args: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """The settings `arch` and `args` that a source needs because its weights file may not choose them.

    Args:
        arch: the architecture that the weights were saved with.
        args: its arguments.
        base: the folder from which a relative path in it starts; the setting's starts from the root.

    >>> arch_settings("timm:resnet18", {}, Path("/models"))
    {}
    >>> arch_settings("python:nets.py:build", {}, Path("/models"))
    {'arch': 'python:/models/nets.py:build', 'args': {}}
    """
    source, _ = source_of(arch)
    free = source.named_in_files or arch in OWN_BUILDERS
    return {} if free else {"arch": absolute(arch, base), "args": dict(args)}


def absolute(arch: str, base: Path) -> str:
    """The architecture, with a relative path in it starting from the root.

    >>> absolute("python:nets.py:build", Path("/models")), absolute("timm:resnet18", Path("/models"))
    ('python:/models/nets.py:build', 'timm:resnet18')
    """
    source, reference = source_of(arch)
    return f"{arch.partition(':')[0]}:{source.absolute(reference, base)}"


@contextmanager
def at_most(values: int, tensors: int, what: str) -> Iterator[None]:
    """Refuse networks that have more parameters and buffers, before the memory of the surplus is written to.

    Args:
        values: of all of them.
        tensors: number of them.
        what: the file, for the error.

    Raises:
        UserError: a network built inside the block has more.
    """
    count = total = 0

    def check(_module: nn.Module, _name: str, tensor: Tensor | None) -> None:
        nonlocal count, total
        count, total = count + 1, total + (0 if tensor is None else tensor.numel())
        if total > values or count > tensors:
            raise UserError(
                expected=f"an architecture of the size of the weights in {what}",
                found="a larger one in the file's own description",
                next_step="name `arch`, `num_classes` and `args` next to the source of the model",
            )

    handles = [
        register_module_parameter_registration_hook(check),
        register_module_buffer_registration_hook(check),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _opens(argument: str) -> bool:
    """Whether an argument of timm or torchvision reaches beyond the network that it describes.

    >>> [_opens(name) for name in ("pretrained_cfg", "checkpoint_path", "drop_path_rate", "init_weights")]
    [True, True, False, False]
    """
    import timm

    own = set(inspect.signature(timm.create_model).parameters)
    return argument not in _HARMLESS and (argument in own or bool(_OPENING & set(argument.split("_"))))


def _check_plain(args: Mapping[str, Any], path: Path) -> None:
    left = _MOST_VALUES

    def check(value: Any, depth: int) -> None:
        nonlocal left
        left -= 1
        if left < 0 or depth > _DEEPEST:
            raise _broken(path, "more", f"at most {_MOST_VALUES} values, {_DEEPEST} levels deep, in `args`")
        if isinstance(value, dict):
            for key, own in value.items():
                if not key.isidentifier() or len(key) > 100:
                    raise _broken(path, shown(key), "names of arguments in `args`")
                check(own, depth + 1)
        elif isinstance(value, list):
            for own in value:
                check(own, depth + 1)
        elif isinstance(value, str):
            if len(value) > 500 or not value.isprintable():
                raise _broken(path, shown(value), "short texts without control characters in `args`")
        elif isinstance(value, int | float) and not (math.isfinite(value) and abs(value) <= _LARGEST):
            raise _broken(path, shown(value), f"numbers up to {_LARGEST} in `args`")

    check(dict(args), 0)


def _broken(path: Path, found: str, expected: str) -> UserError:
    return UserError(
        expected=f"{expected} in the description inside {path}",
        found=found,
        next_step="the file is damaged or of another version of nversion: restore it, or train it again",
    )
