"""What ensembles are called, and which models a text means: members are a list, their names one text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice

from .errors import UserError
from .registry import did_you_mean

_MISTAKABLE = re.compile(r'^\s|\s$|^"|(^|\s)\+(\s|$)')
_MOST_PARTS = 200
_SEPARATOR = re.compile(r"\s*[+,]\s*")


def ensemble_name(members: Sequence[str], pool: Sequence[str]) -> str:
    """One name for the members of an ensemble, different from those of all others and of all models.

    A single model has its own name. The names of several are joined by " + ", all in double quotes where a
    model of the pool has a name that could be mistaken for several.

    Args:
        members: names of models.
        pool: names of all models that ensembles are made of.

    >>> ensemble_name(["resnet50", "vit"], ["resnet50", "vit", "mixer"])
    'resnet50 + vit'
    >>> print(ensemble_name(["AugMix", "ANT"], ["AugMix", "ANT", "AugMix + ANT"]))
    "AugMix" + "ANT"
    """
    if len(members) == 1:
        return members[0]
    return " + ".join(map(_quoted, members) if _is_mistakable(tuple(pool)) else members)


@lru_cache(maxsize=16)
def _is_mistakable(pool: tuple[str, ...]) -> bool:
    return any(_MISTAKABLE.search(name) for name in pool)


def members_named(text: str, known: Sequence[str]) -> list[str]:
    """The models that a text names: one, or several joined by + or commas, with blanks or without.

    Any order; a name may stand in double quotes, as `ensemble_name` writes it. Names may hold + and
    commas themselves: what counts is which known names the text can be made of.

    Returns:
        Them in the order of `known`.

    Raises:
        UserError: a name that is not known, one that is named twice, or a text that can be read in two ways.

    >>> members_named("vit+resnet50", ["resnet50", "vit", "vit+resnet50-a"])
    ['resnet50', 'vit']
    """
    text = text if text in known else text.strip()
    if (num_parts := len(_SEPARATOR.findall(text)) + 1) > _MOST_PARTS:
        raise UserError(
            expected=f"at most {_MOST_PARTS} names",
            found=f"a text of {num_parts}",
            next_step=f"models of this study: {len(known)}; name each member once",
        )
    readings: list[list[str]] = []
    for reading in islice(_readings(text, known), 50):
        found = sorted(reading, key=list(known).index)
        if found not in readings:
            readings.append(found)
    if not readings:
        raise _unknown(text, known)
    if len(readings) > 1:
        ways = [" + ".join(map(_quoted, reading)) for reading in readings[:2]]
        raise UserError(
            expected="a name that can be read in one way",
            found=f"{text!r}, which is {ways[0]} or {ways[1]}",
            next_step=f"write the one that is meant with its double quotes, in a shell: '{ways[0]}'",
        )
    if len(set(readings[0])) < len(readings[0]):
        raise UserError(expected="each member once", found=repr(text), next_step="drop the repeated ones")
    return readings[0]


def _readings(text: str, known: Sequence[str]) -> Iterator[list[str]]:
    spelled = [(spelling, name) for name in known for spelling in (name, _quoted(name))]
    dead: set[int] = set()  # places from which no reading reaches the end

    def from_place(place: int) -> Iterator[list[str]]:
        if place in dead:
            return
        is_dead = True
        for spelling, name in spelled:
            if not text.startswith(spelling, place):
                continue
            end = place + len(spelling)
            if end == len(text):
                is_dead = False
                yield [name]
            elif separator := _SEPARATOR.match(text, end):
                for rest in from_place(separator.end()):
                    is_dead = False
                    yield [name, *rest]
        if is_dead:
            dead.add(place)

    return from_place(0)


def _unknown(text: str, known: Sequence[str]) -> UserError:
    parts = [part.strip('"') for part in _SEPARATOR.split(text)]
    part = next((part for part in parts if part not in known), text)
    return UserError(
        expected='a model of this study, or members joined by " + " or commas',
        found=repr(part),
        next_step=did_you_mean(part, list(known)),
    )


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)
