"""What a section of the page is made of: plain data that the template only lays out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import polars as pl

from .images import data_uri
from .labels import UNDEFINED, coefficient, interval, is_undefined, points, points_interval


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    text: str
    kind: ClassVar[str] = "heading"


@dataclass(frozen=True)
class Words:
    """A paragraph; `quiet` ones are asides."""

    text: str
    quiet: bool = False
    kind: ClassVar[str] = "words"


@dataclass(frozen=True)
class Drawing:
    """The place of a figure, by its name; nothing where the study has no such figure."""

    name: str
    kind: ClassVar[str] = "drawing"


@dataclass(frozen=True)
class Cell:
    """One entry of a table: its text, what stands small below it, and whose it is.

    `sure` sets it in bold; `name` may break over lines; `note` is told to who points at it. `spread` says
    that the small text is no interval but where ensembles lie, and sets it in italics.
    """

    text: str
    small: str = ""
    sure: bool = False
    name: str = ""
    note: str = ""
    spread: bool = False


SMALL_PRINT = (
    "Small: 95 % intervals over images, written 1.0–2.0; of a mean over ensembles, in italics, where 5 to "
    "95 % of the ensembles lie, written 1.0 … 2.0, which is no interval."
)
"""How to read what stands small below a number."""


@dataclass(frozen=True)
class Row:
    """A row of a table; a row whose `group` is not that of the row above starts a group of that name."""

    label: str
    cells: Sequence[Cell]
    small: str = ""
    group: str = ""


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        caption: above it, and its name where the reader chooses among several.
        columns: heads of the cells.
        rows: as they stand.
        corner: head of the rows' names.
        notes: below it, plain text.
        words: whether the cells hold words, that are set from the left.
        source: name of the study's table that holds all of it.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Row]
    corner: str = ""
    notes: Sequence[str] = ()
    words: bool = False
    source: str = ""


PRINTED_ROWS, PRINTED_COLUMNS = 24, 10
"""Of a table, as many as paper shows; the others are on the screen and in the file of the table."""


@dataclass(frozen=True)
class Tables:
    """One table, or several of which the reader chooses one."""

    grids: Sequence[Grid]
    label: str = "Show: "
    kind: ClassVar[str] = "tables"


@dataclass(frozen=True)
class Sheet:
    """Pictures with words below each."""

    pictures: Sequence[Mapping[str, Any]]
    kind: ClassVar[str] = "sheet"


@dataclass(frozen=True)
class LeftOut:
    """Rows that a table leaves out because they decide nothing: how many, why, and all of them to save.

    Attributes:
        text: a sentence.
        name: of the file that a click saves.
        uri: its content, comma-separated values.
    """

    text: str
    name: str
    uri: str
    kind: ClassVar[str] = "left_out"


Block = Heading | Words | Drawing | Tables | Sheet | LeftOut


def left_out(text: str, name: str, rows: pl.DataFrame) -> LeftOut:
    """What is left out of a table, as a sentence and as a file of all its rows."""
    plain = rows.select(pl.exclude(pl.List, pl.Binary))
    return LeftOut(text, f"{name}.csv", data_uri(plain.write_csv().encode(), "text/csv"))


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        id: of its place; what the contents link to.
        nav: its name in the contents.
        title: its heading.
        blocks: in their order.
    """

    id: str
    nav: str
    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)


def share_cell(
    value: float | None,
    low: float | None,
    high: float | None,
    digits: int | None = None,
    *,
    spread: bool = False,
) -> Cell:
    """A fraction in percent over its interval; without `digits`, two below one percent and else one.

    Args:
        spread: `low` and `high` are quantiles over ensembles, no interval; they are written apart.

    >>> share_cell(0.123, 0.1, 0.15).small, share_cell(0.123, 0.1, 0.15, spread=True).small
    ('10.0–15.0', '10.0 … 15.0')
    """
    if value is None or is_undefined(value):
        return Cell(UNDEFINED)
    digits = (2 if value < 0.01 else 1) if digits is None else digits
    small = ""
    if low is not None and high is not None and not is_undefined(low) and not is_undefined(high):
        small = f"{100 * low:.{digits}f}{' … ' if spread else '–'}{100 * high:.{digits}f}"
    return Cell(f"{100 * value:.{digits}f}", small, spread=spread and bool(small))


def points_cell(value: float | None, low: float | None, high: float | None) -> Cell:
    """A difference of fractions in points over its interval; sure where that excludes zero.

    >>> points_cell(0.02, 0.01, 0.03)
    Cell(text='+2.0', small='[+1.0, +3.0]', sure=True, name='', note='', spread=False)
    """
    if is_undefined(value):
        return Cell(UNDEFINED)
    if low is None or high is None or is_undefined(low) or is_undefined(high):
        return Cell(points(value), "no interval")
    return Cell(points(value), points_interval(low, high), sure=low > 0 or high < 0)


def coefficient_cell(value: float | None, low: float | None, high: float | None) -> Cell:
    """A correlation over its interval; sure where that excludes zero."""
    if is_undefined(value):
        return Cell(UNDEFINED)
    if low is None or high is None or is_undefined(low) or is_undefined(high):
        return Cell(coefficient(value), "no interval")
    return Cell(coefficient(value), interval(low, high), sure=low > 0 or high < 0)


def digits_for(half: float | None, value: float) -> int:
    """Digits behind the point for a value of this error: its first figure, and two digits below ten.

    >>> [digits_for(half, 0.5) for half in (0.6, 0.0004)], digits_for(None, 558.0)
    ([2, 4], 0)
    """
    known = half if half is not None and not is_undefined(half) and half > 0 else abs(value) / 10
    least = 2 if abs(value) < 10 else 0
    return max(least, min(6, -math.floor(math.log10(known)))) if known > 0 else 2


def half_cell(value: float | None, half: float | None, digits: int | None = 2, unit: float = 1.0) -> Cell:
    """A value over the half width of its interval; with as many digits as that is worth for None.

    >>> half_cell(0.5, 0.02)
    Cell(text='0.50', small='± 0.02', sure=False, name='', note='', spread=False)
    """
    if value is None or is_undefined(value):
        return Cell(UNDEFINED)
    digits = digits_for(half, value) if digits is None else digits
    small = "" if half is None or is_undefined(half) else f"± {unit * half:.{digits}f}"
    return Cell(coefficient(unit * value, digits), small)
