"""Blocks of a section: plain data that the template lays out, one macro for each kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import polars as pl

from .images import data_uri
from .labels import UNDEFINED, coefficient, condition_label, interval, is_undefined, points, points_interval
from .tables import Study

Only = Literal["", "screen", "print"]
"""Where a block is shown: everywhere, on screens or on paper."""


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    text: str
    only: Only = ""
    kind: ClassVar[str] = "heading"


@dataclass(frozen=True)
class Words:
    """A paragraph; `quiet` ones are remarks."""

    text: str
    quiet: bool = False
    only: Only = ""
    kind: ClassVar[str] = "words"


@dataclass(frozen=True)
class Listing:
    """A list of sentences; `numbered` ones are the findings."""

    items: Sequence[str]
    numbered: bool = False
    kind: ClassVar[str] = "listing"


@dataclass(frozen=True)
class Facts:
    """Pairs of a term and its value or meaning."""

    pairs: Sequence[tuple[str, str]]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Drawing:
    """The place of a figure, by name; nothing where the study has no data for it."""

    name: str
    kind: ClassVar[str] = "drawing"


@dataclass(frozen=True)
class Cell:
    """One entry of a table.

    Attributes:
        text: the entry.
        small: set small below it, an interval.
        sure: whether it is bold.
        name: set small below both, a name that may break over lines.
        note: shown where a pointer rests on the cell.
        spread: whether `small` is a range over ensembles instead of an interval, set in italics.
        sort: what the column is sorted by where readers can sort; None for the text.
        shade: CSS colour of the background.
        mark: reference to a numbered note.
        left: whether it is words, aligned left.
    """

    text: str
    small: str = ""
    sure: bool = False
    name: str = ""
    note: str = ""
    spread: bool = False
    sort: str | None = None
    shade: str = ""
    mark: str = ""
    left: bool = False


NOT_MEASURED = Cell("not measured")
SMALL_PRINT = (
    "Small: 95 % intervals over images, written 1.0–2.0. For a mean over ensembles, in italics: the range of "
    "5 to 95 % of the ensembles, written 1.0 … 2.0, which is not a confidence interval."
)
"""How to read what is set small below a number."""


@dataclass(frozen=True)
class Row:
    """A row of a table; where its `group` differs from that of the row above, a group of that name starts."""

    label: str
    cells: Sequence[Cell]
    small: str = ""
    group: str = ""


@dataclass(frozen=True)
class LeftOut:
    """Rows that a table leaves out: how many, why, and a link that saves all of them.

    Attributes:
        text: a sentence.
        name: of the file that the link saves.
        uri: its content, comma-separated values.
    """

    text: str
    name: str
    uri: str
    kind: ClassVar[str] = "left_out"


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        caption: above it, and its name where the reader chooses among several.
        columns: heads of the cells.
        rows: in order.
        corner: head of the rows' names.
        notes: below it, plain text; numbered where cells refer to them by `mark`.
        style: of the cells: numbers, words, sortable numbers, centred correlations, or text.
        source: name of the study's table that holds all rows.
        only: "screen" for a table that paper leaves out.
        tail: number of last columns that paper shows in any case.
        left_out: rows that are not shown.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Row]
    corner: str = ""
    notes: Sequence[str] = ()
    style: Literal["", "words", "sortable", "relations", "contenders", "text"] = ""
    source: str = ""
    only: Only = ""
    tail: int = 0
    left_out: LeftOut | None = None


PRINTED_ROWS, PRINTED_COLUMNS = 24, 10
"""Rows and columns of a table that paper shows; the others are on the screen and in the table's file."""


@dataclass(frozen=True)
class Tables:
    """One table, or several of which the reader chooses one."""

    grids: Sequence[Grid]
    label: str = "Show: "
    kind: ClassVar[str] = "tables"


@dataclass(frozen=True)
class Picture:
    """A picture with lines of text below it; no picture where `uri` is None.

    Attributes:
        right: whether a model's answer, the text, is right; None for other texts.
    """

    uri: str | None
    alt: str
    title: str = ""
    lines: Sequence[str] = ()
    right: bool | None = None


@dataclass(frozen=True)
class Sheet:
    """Pictures in the order of reading."""

    pictures: Sequence[Picture]
    kind: ClassVar[str] = "sheet"


@dataclass(frozen=True)
class PictureGrid:
    """Pictures in rows and columns; columns have a label and a second, small one."""

    caption: str
    columns: Sequence[tuple[str, str]]
    rows: Sequence[tuple[str, Sequence[Picture]]]
    kind: ClassVar[str] = "picture_grid"


Block = Heading | Words | Listing | Facts | Drawing | Tables | Sheet | PictureGrid | LeftOut


@dataclass(frozen=True)
class Section:
    """A section of the page: its anchor, name in the contents, heading, and blocks in order."""

    id: str
    nav: str
    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)


def quiet(*texts: str) -> list[Block]:
    """Remarks, without those that are empty."""
    return [Words(text, quiet=True) for text in texts if text]


def tables(grids: Sequence[Grid], label: str = "Show: ") -> list[Block]:
    """A block of the tables; no block where there is none."""
    return [Tables(grids, label)] if grids else []


def by_condition(
    study: Study,
    caption: str,
    rows: Iterable[tuple[str, str, str, Mapping[str, Any]]],
    make: Callable[[Any], Cell],
    conditions: Sequence[str] | None = None,
    **options: Any,
) -> Grid:
    """A table with conditions across.

    Args:
        rows: label, name below it, group, and for each condition what the cell is made of; what is missing
            there was not measured.
        make: a cell from what a row holds for a condition.
        conditions: all of the study for None.
        options: of the `Grid`.
    """
    names = study.condition_names if conditions is None else conditions
    cells = [
        Row(label, [cell_of(found.get(c), make) for c in names], small, group)
        for label, small, group, found in rows
    ]
    return Grid(caption, [condition_label(study, c) for c in names], cells, **options)


def left_out(text: str, name: str, rows: pl.DataFrame) -> LeftOut:
    """Rows that a table leaves out, as a sentence and as a file of all of them."""
    plain = rows.select(pl.exclude(pl.List, pl.Binary))
    return LeftOut(text, f"{name}.csv", data_uri(plain.write_csv().encode(), "text/csv"))


def cell_of(row: Mapping[str, Any] | None, make: Callable[[Any], Cell]) -> Cell:
    """The cell of a row that may be missing."""
    return NOT_MEASURED if row is None else make(row)


def share_cell(
    value: float | None,
    low: float | None = None,
    high: float | None = None,
    digits: int | None = None,
    *,
    spread: bool = False,
) -> Cell:
    """A fraction in percent over its interval; without `digits`, two below one percent and else one.

    Args:
        spread: `low` and `high` are quantiles over ensembles, not an interval; they are written apart.

    >>> share_cell(0.123, 0.1, 0.15).small, share_cell(0.123, 0.1, 0.15, spread=True).small
    ('10.0–15.0', '10.0 … 15.0')
    >>> share_cell(0.123, -0.1, 0.15).small
    '−10.0 to 15.0'
    """
    if value is None or is_undefined(value):
        return Cell(UNDEFINED)
    digits = (2 if value < 0.01 else 1) if digits is None else digits
    small = ""
    if low is not None and high is not None and not is_undefined(low) and not is_undefined(high):
        joint = " to " if low < 0 else " … " if spread else "–"  # a minus and a dash would run together
        small = f"{100 * low:.{digits}f}{joint}{100 * high:.{digits}f}".replace("-", "−")
    return Cell(f"{100 * value:.{digits}f}".replace("-", "−"), small, spread=spread and bool(small))


def points_cell(value: float | None, low: float | None, high: float | None) -> Cell:
    """A difference of fractions in points over its interval; bold where that excludes zero.

    >>> cell = points_cell(0.02, 0.01, 0.03)
    >>> cell.text, cell.small, cell.sure
    ('+2.0', '[+1.0, +3.0]', True)
    """
    return _signed_cell(value, low, high, points, points_interval)


def coefficient_cell(value: float | None, low: float | None, high: float | None) -> Cell:
    """A correlation over its interval; bold where that excludes zero."""
    return _signed_cell(value, low, high, coefficient, interval)


def _signed_cell(
    value: float | None,
    low: float | None,
    high: float | None,
    write: Callable[[float | None], str],
    write_interval: Callable[[float | None, float | None], str],
) -> Cell:
    if is_undefined(value):
        return Cell(UNDEFINED)
    if low is None or high is None or is_undefined(low) or is_undefined(high):
        return Cell(write(value), "no interval")
    return Cell(write(value), write_interval(low, high), sure=low > 0 or high < 0)


def digits_for(half: float | None, value: float) -> int:
    """Decimals for a value with this error: its first figure, and two decimals below ten.

    >>> [digits_for(half, 0.5) for half in (0.6, 0.0004)], digits_for(None, 558.0)
    ([2, 4], 0)
    """
    known = half if half is not None and not is_undefined(half) and half > 0 else abs(value) / 10
    least = 2 if abs(value) < 10 else 0
    return max(least, min(6, -math.floor(math.log10(known)))) if known > 0 else 2


def half_cell(
    value: float | None, half: float | None = None, digits: int | None = 2, unit: float = 1.0
) -> Cell:
    """A value over the half width of its interval; None for as many digits as the error allows.

    >>> cell = half_cell(0.5, 0.02)
    >>> cell.text, cell.small
    ('0.50', '± 0.02')
    """
    if value is None or is_undefined(value):
        return Cell(UNDEFINED)
    digits = digits_for(half, value) if digits is None else digits
    small = "" if half is None or is_undefined(half) else f"± {unit * half:.{digits}f}"
    return Cell(coefficient(unit * value, digits), small)
