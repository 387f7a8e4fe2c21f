"""What a model source is: it loads models, builds architectures, and answers for itself."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from nversion.core import Registry, UserError, code_fingerprint

from .card import Lineage
from .preprocessing import Preprocessing


@dataclass(frozen=True)
class Loaded:
    """What a source gives.

    Args:
        module: with its weights.
        preprocessing: that belongs to the weights; None: the settings must give it.
        name: of the classifier, where the settings give none.
        architecture: from which the family is guessed; None: from the name.
        training: how it was trained.
        training_guessed: from a name.
        label_space: of its logits, where the source knows.
        code: fingerprint of the user's code that built it.
        lineage: from what it descends, as far as the source knows for certain.
        notes: what a user should know of what was loaded.
    """

    module: nn.Module
    preprocessing: Preprocessing | None
    name: str
    architecture: str | None = None
    training: str = "unspecified"
    training_guessed: bool = False
    label_space: str | None = None
    code: str = ""
    lineage: Lineage = field(default_factory=Lineage)
    notes: tuple[str, ...] = ()


class ModelSource(ABC):
    """A source of models: "PREFIX:REFERENCE" in a study, a recipe or a supernet specification names one.

    A source loads classifiers; one that overrides `build` is an architecture of trainings, too. Instances
    hold no state.

    Attributes:
        form: of a reference, for errors and help ("NAME").
        builds_classes: whether `build` uses `num_classes`; False: the user's `args` say it where needed.
        takes_name: whether `load` depends on `name`, so that the reference of a pool needs no "{name}".
        shares_weights: whether models of one reference share memory, which must not be reordered.
        named_in_files: whether a weights file may name an architecture of this source, with arguments that
            open no files. False: the architecture is code that the user has to name.
    """

    form: ClassVar[str] = "NAME"
    builds_classes: ClassVar[bool] = True
    takes_name: ClassVar[bool] = False
    shares_weights: ClassVar[bool] = False
    named_in_files: ClassVar[bool] = False

    @abstractmethod
    def load(self, *args: Any, **settings: Any) -> Loaded:
        """A model with its weights.

        An override names its parameters, keyword-only and annotated: `reference` (the text after the prefix),
        `name` (of the classifier, or None), `base` (the folder from which relative paths start), and the
        settings of the source, which are checked against their annotations.

        Raises:
            UserError: the reference or a setting cannot be used.
        """

    def build(
        self,
        *,
        reference: str,
        name: str | None,
        base: Path,
        num_classes: int | None,
        args: dict[str, Any],
        seed: int,
    ) -> Loaded:
        """An untrained network, which a training then trains.

        Args:
            reference: the text after the prefix.
            name: of the classifier; None: the source's.
            base: the folder from which relative paths start.
            num_classes: of its output; None: the architecture's own.
            args: further arguments of the architecture.
            seed: of its random weights.
        """
        raise NotImplementedError

    @property
    def builds(self) -> bool:
        """Whether the source gives architectures."""
        return type(self).build is not ModelSource.build

    @property
    def settings(self) -> list[str]:
        """Names of the settings that `load` takes."""
        given = ("self", "reference", "name", "base")
        return [key for key in inspect.signature(self.load).parameters if key not in given]

    def default_name(self, reference: str) -> str:
        """The name of a classifier whose settings give none."""
        return reference.rpartition("/")[2]

    def architecture(self, reference: str, args: Mapping[str, Any]) -> str:
        """What a card calls a network that `build` makes."""
        return reference

    def absolute(self, reference: str, base: Path) -> str:
        """The reference, with a relative path in it starting from the root."""
        return reference

    def code(self, reference: str, args: Mapping[str, Any], base: Path) -> str:
        """A fingerprint of code outside nversion that `build` runs; "" if there is none."""
        return code_fingerprint(type(self))

    def published(self) -> Iterable[tuple[str, Mapping[str, Lineage]]]:
        """References that `nversion models ls` lists, with the lineage of each of their published weights."""
        return ()


class LibrarySource(ModelSource):
    """A library of architectures, of which `load` takes `pretrained`, `num_classes`, `args` and `seed`."""

    named_in_files = True

    def build(self, **settings: Any) -> Loaded:
        """The architecture with random weights."""
        return self.load(pretrained=False, **settings)


MODEL_SOURCES: Registry[type[ModelSource]] = Registry("model source", "nversion.models")


def source_of(text: Any) -> tuple[ModelSource, str]:
    """The source and the reference of a text such as "timm:resnet50".

    Raises:
        UserError: no prefix, no reference, or an unknown source.
    """
    prefix, _, reference = text.partition(":") if isinstance(text, str) else ("", "", "")
    if not reference:
        raise UserError(
            expected="the `source` of a model, prefix:reference",
            found="none" if text is None else repr(text),
            next_step="write one such as 'timm:resnet50'; prefixes: " + ", ".join(MODEL_SOURCES),
        )
    return MODEL_SOURCES[prefix](), reference


def architecture_of(text: str, what: str) -> tuple[ModelSource, str]:
    """The source and the reference of an architecture.

    Args:
        text: such as "timm:resnet50".
        what: the thing that it is for, as it reads in an error.

    Raises:
        UserError: no source that builds architectures.
    """
    prefix, _, reference = text.partition(":")
    if reference and prefix in MODEL_SOURCES and (source := MODEL_SOURCES[prefix]()).builds:
        return source, reference
    raise UserError(
        expected=f"an architecture for {what}", found=repr(text), next_step=f"write `arch` as {arch_forms()}"
    )


def classes_for(arch: str, num_classes: int) -> int | None:
    """The `num_classes` that a training gives an architecture; None where the user's `args` say it."""
    source, _ = architecture_of(arch, "a training")
    return num_classes if source.builds_classes else None


def arch_forms() -> str:
    """How `arch` is written: '"timm:NAME", ... or "python:PATH.py:FUNCTION"'."""
    forms = [f'"{prefix}:{kind.form}"' for prefix, kind in MODEL_SOURCES.items() if kind().builds]
    return f"{', '.join(forms[:-1])} or {forms[-1]}"
