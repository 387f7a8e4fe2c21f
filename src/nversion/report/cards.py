"""Families and training approaches of models: declared on cards, guessed from names, or not stated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from .labels import listed, plural
from .tables import Study

NOT_STATED = "not stated"
UNKNOWN = ("", "other", "unspecified")
"""Families and training approaches that mean none is known."""


def card_text(row: Mapping[str, Any], fact: str) -> str:
    """The family or training approach of a row of the models table, marked where it was guessed.

    >>> card_text({"family": "CNN", "family_declared": False}, "family")
    'CNN (guessed)'
    >>> card_text({"family": "other", "family_declared": False}, "family")
    'not stated'
    """
    if row[f"{fact}_declared"]:
        return str(row[fact])
    return NOT_STATED if row[fact] in UNKNOWN else f"{row[fact]} (guessed)"


def undeclared(study: Study, fact: str) -> list[str]:
    """The models whose card does not state a fact: it was guessed from their names, or is unknown."""
    cards = _cards(study).iter_rows(named=True)
    return [row["model"] for row in cards if not row.get(f"{fact}_declared", row[fact])]


def families(study: Study) -> str:
    """How many families the models are of, and whether that was declared.

    "from 3 families", "of one family (guessed from the names of 2 models)".
    """
    rows = list(_cards(study).iter_rows(named=True))
    known = [row for row in rows if row["family_declared"] or row["family"] not in UNKNOWN]
    guessed = sum(not row["family_declared"] for row in known)
    if not known:
        return "of unknown families"
    number = len({row["family"] for row in known})
    text = "of one family" if number == 1 else f"from {number} families"
    asides = [f"guessed from the names of {plural(guessed, 'model')}"] * bool(guessed)
    asides += [f"not stated of {plural(len(rows) - len(known), 'model')}"] * (len(known) < len(rows))
    return f"{text} ({listed(asides)})" if asides else text


def states(study: Study, model: str, fact: str) -> bool:
    """Whether a model's card states an architecture, initial weights, a teacher or training data."""
    return bool(_cards(study).row(by_predicate=pl.col("model") == model, named=True)[fact])


def _cards(study: Study) -> pl.DataFrame:
    return study.models.unique("model", keep="first", maintain_order=True)
