"""Footnotes of a table from the notes of its cells: one for each kind of note, not for each note."""

from __future__ import annotations

import re
from collections.abc import Iterable

KINDS = {
    r"fewer than \d+ models( of .+)?: the interval .+": (
        "Where a methodology has fewer than 3 models an interval covers other images, but not other models "
        "of the methodology."
    ),
    r"(no|[\d.e+]+) failures?( on average)? in \d+ images; .+": (
        "Where fewer than 5 images failed an interval is the union with Clopper and Pearson’s."
    ),
    r"estimated at .+ and shown as .+": (
        "A correlation estimated beyond ±1 is shown as ±1: a variance of difficulty is hardly above 0."
    ),
    r"undefined without one model or block in .+": (
        "Replicates of an interval that are undefined are left out of it."
    ),
    r"from the complete part of the crossing: .+": (
        "Two choices are crossed over the part in which every cell has two models."
    ),
    r"undecided: .+": "",
}
"""A pattern of notes and the footnote for all of them; the note itself is the tooltip of its cell."""


def footnotes(notes: Iterable[str | None]) -> list[str]:
    """A footnote for each kind of note, in order of appearance: notes that name models would repeat it.

    >>> len(footnotes([f"fewer than 3 models of {name}: the interval is of images" for name in "ab"]))
    1
    >>> footnotes(["as it is", None, ""])
    ['Note: as it is.']
    """
    parts = dict.fromkeys(part for note in notes for part in parts_of(note or ""))
    said = dict.fromkeys(
        next((text for kind, text in KINDS.items() if re.fullmatch(kind, part)), f"Note: {part}.")
        for part in parts
    )
    return [text for text in said if text]


def parts_of(note: str) -> list[str]:
    """The notes that one text joins; a note on few failures has a semicolon of its own.

    >>> parts_of("fewer than 3 models: x; no failure in 9 images; a rate below 0.1 needs 29 without one")
    ['fewer than 3 models: x', 'no failure in 9 images; a rate below 0.1 needs 29 without one']
    """
    return [part for part in re.split("; (?!a rate below)", note) if part]
