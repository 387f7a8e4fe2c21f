"""The base class of losses: named terms of a batch of all members' logits, whose sum is minimised."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from nversion.core import Registry, UserError
from nversion.core.settings import call_with_settings, named_settings

Terms = dict[str, Tensor]
"""Scalars by name; their sum is the loss. Diversity terms carry their sign and weight."""

Needs = Literal["maps", "features", "teacher"]


@dataclass(frozen=True)
class TrainingBatch:
    """What a loss may look at; the loop makes only what the loss `needs`.

    Attributes:
        logits_MNC: of M members on N samples, with their graphs.
        labels_N: int64 classes.
        maps_MNP: attribution maps of the members on the first, or all, of the samples, differentiable; None
            unless needed.
        features_M: of each member the activations before its classifier, (N, F) with its own F; None unless
            needed.
        teacher_NC: a teacher's logits, without a graph; None unless needed.
        epoch: 0-based, with the fraction of the epoch that is done: for terms that warm up.
    """

    logits_MNC: Tensor
    labels_N: Tensor
    maps_MNP: Tensor | None = None
    features_M: Sequence[Tensor] | None = None
    teacher_NC: Tensor | None = None
    epoch: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Loss(ABC):
    """A loss of an ensemble's members; its fields are its settings in a recipe.

    To add one: a frozen dataclass with a registered name; a recipe then names it. The loop and the
    formulas know nothing of each other.

    Attributes:
        needs: what the loop has to compute in addition to the logits.
    """

    needs: ClassVar[frozenset[Needs]] = frozenset()
    __pydantic_config__: ClassVar[dict[str, bool]] = {"allow_inf_nan": False}  # of settings from a recipe

    @abstractmethod
    def __call__(self, batch: TrainingBatch) -> Terms:
        """The terms, scalars on the batch's device."""


LOSSES: Registry[type[Loss]] = Registry("loss", "nversion.losses")


def make_loss(spec: Mapping[str, Any]) -> Loss:
    """The loss that a table describes: `name` and the settings of that loss.

    Raises:
        UserError: no or an unknown name, an unknown setting, a value out of range.

    >>> make_loss({"name": "gncl", "weight": 0.2, "consensus": "median"}).consensus
    'median'
    """
    name, settings = named_settings(spec, "a loss", LOSSES)
    return call_with_settings(LOSSES[name], settings, f"the loss {name!r}")


def total(terms: Terms) -> Tensor:
    """The sum of the terms, in their order."""
    first, *others = terms.values()
    for term in others:
        first = first + term
    return first


def check_range(what: str, value: float, low: float, high: float = float("inf")) -> None:
    """Check that a setting lies in [low, high].

    Raises:
        UserError: it does not, or is nan.
    """
    if not low <= value <= high:
        bounds = f"of at least {low:g}" if high == float("inf") else f"from {low:g} to {high:g}"
        raise UserError(expected=f"a {what} {bounds}", found=repr(value), next_step="correct it")


def check_members(batch: TrainingBatch, at_least: int, what: str) -> None:
    """Check that there are enough members for a term that compares them.

    Raises:
        UserError: there are fewer.
    """
    if len(batch.logits_MNC) < at_least:
        raise UserError(
            expected=f"at least {at_least} members for {what}",
            found=str(len(batch.logits_MNC)),
            next_step="add members, or train with the loss 'independent'",
        )


def needed(value: Any, what: str, loss: str) -> Any:
    """What a loss needs and a batch may lack.

    Raises:
        UserError: the batch lacks it.
    """
    if value is None:
        raise UserError(
            expected=f"{what} in the batch for the loss {loss!r}",
            found="none",
            next_step="let the training loop make it, or pass it yourself",
        )
    return value
