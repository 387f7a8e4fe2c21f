"""Shared ancestry: what the models of a pool, and the members of each ensemble, have in common by descent.

An initiator of dependent failure, not a proof of it: models that learned from the same teacher, weights or
images may have learned the same mistakes. What no card names is unknown, not different.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from nversion.ensembles import Ensembles
from nversion.models import Card

from .registry import TEXT, table

KINDS = ("architecture", "initial_weights", "teacher", "training_data")


@dataclass(frozen=True)
class _Fact:
    """One value of one kind.

    Attributes:
        carries_M: 1 for models whose card states it.
        is_it_M: 1 for other models that are themselves this teacher, or the source of these weights.
    """

    kind: str
    value: str
    carries_M: NDArray[np.int64]
    is_it_M: NDArray[np.int64]


@table("lineage", of="study", schema={
    "model_a": TEXT, "model_b": TEXT, "kind": TEXT, "value": TEXT,
})  # fmt: skip
def lineage_table(cards: Sequence[Card]) -> Iterator[dict[str, object]]:
    """A row for each two models and each known thing that they share.

    They share an equal value of one kind; each training data set counts for itself. A model also shares its
    teacher with the model that taught it (by name or by architecture), and its initial weights with the model
    whose name they are.
    """
    for fact in _facts(cards):
        for a, b in combinations(range(len(cards)), 2):
            if _shared(fact.carries_M[a] + fact.carries_M[b], fact.is_it_M[a] + fact.is_it_M[b]):
                names: dict[str, object] = {"model_a": cards[a].name, "model_b": cards[b].name}
                yield names | {"kind": fact.kind, "value": fact.value}


def shared_lineage(cards: Sequence[Card], ensembles: Ensembles) -> list[str]:
    """For each ensemble, what at least two of its members share, as "KIND: VALUE; …"; empty: nothing known.

    The rule for two members is that of `lineage_table`.
    """
    facts = _facts(cards)
    membership_EM = ensembles.membership_EM(torch.float64).cpu().numpy()
    carries_MF = np.array([fact.carries_M for fact in facts]).reshape(len(facts), len(cards)).T
    is_it_MF = np.array([fact.is_it_M for fact in facts]).reshape(len(facts), len(cards)).T
    shared_EF = _shared(membership_EM @ carries_MF, membership_EM @ is_it_MF)
    texts = [f"{fact.kind}: {fact.value}" for fact in facts]
    # Few patterns of sharing occur, however many ensembles there are.
    patterns_PF, pattern_E = np.unique(shared_EF, axis=0, return_inverse=True)
    joined = [
        "; ".join(text for text, shared in zip(texts, row, strict=True) if shared) for row in patterns_PF
    ]
    return [joined[pattern] for pattern in pattern_E.reshape(-1).tolist()]


def _shared(carrying: NDArray[np.float64], being: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (carrying >= 2) | ((carrying >= 1) & (being >= 1))


def _facts(cards: Sequence[Card]) -> list[_Fact]:
    """Every value that a card states, kind after kind, in order of appearance."""
    facts = []
    for kind in KINDS:
        values_M = [_values(card, kind) for card in cards]
        for value in dict.fromkeys(value for values in values_M for value in values):
            carries_M = np.array([int(value in values) for values in values_M])
            is_it_M = np.array([int(value in _identities(card, kind)) for card in cards])
            facts.append(_Fact(kind, value, carries_M, is_it_M * (1 - carries_M)))
    return facts


def _values(card: Card, kind: str) -> list[str]:
    value: str | tuple[str, ...] = getattr(card, kind)
    return [value] if value and isinstance(value, str) else list(value)


def _identities(card: Card, kind: str) -> tuple[str, ...]:
    """What a card that states such a value may mean this model by."""
    if kind == "teacher":
        return (card.name, card.architecture)
    return (card.name,) if kind == "initial_weights" else ()
