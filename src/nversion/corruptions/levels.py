"""Tables of ImageNet-C by level, read between levels, too."""

from __future__ import annotations

import math
from collections.abc import Sequence


def at(table: Sequence[tuple[float, ...]], severity: float) -> tuple[float, ...]:
    """The row of `table` at a severity from 1 to its length: linear between rows, exact at whole numbers.

    >>> at([(0.3, 0.0), (0.1, 0.0), (2.0, 0.5)], 3)
    (2.0, 0.5)
    >>> at([(10.0, 3.0), (15.0, 5.0)], 1.5)
    (12.5, 4.0)
    """
    assert 1 <= severity <= len(table), severity
    level = math.floor(severity)
    share = severity - level
    if share == 0:
        return tuple(table[level - 1])
    return tuple(
        (1 - share) * here + share * there for here, there in zip(table[level - 1], table[level], strict=True)
    )


def value_at(table: Sequence[float], severity: float) -> float:
    """`at` for a table of one number a level.

    >>> value_at([0.4, 0.3, 0.2], 1), value_at([0.5, 0.25, 0.125], 2.5)
    (0.4, 0.1875)
    """
    return at([(value,) for value in table], severity)[0]


def whole_at(table: Sequence[float], severity: float) -> int:
    """`value_at` rounded to a whole number, halves upwards.

    >>> whole_at([25, 18, 15], 1.5), whole_at([25, 18, 15], 2)
    (22, 18)
    """
    return math.floor(value_at(table, severity) + 0.5)
