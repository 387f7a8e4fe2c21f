"""Corruptions of ImageNet-C, whose settings stand in a table by level, with their variants of CIFAR-10-C."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from .base import CORRUPTIONS, Corruption, create


class Levelled(Corruption):
    """A corruption of ImageNet-C: levels 1 to 5, each with a row of `table`."""

    lowest = 1.0
    highest = 5.0
    table: ClassVar[Sequence[Any]]

    @property
    def row(self) -> tuple[float, ...]:
        """The settings of this severity."""
        return at(self.table, self.severity)

    @property
    def value(self) -> float:
        """The setting of this severity, where there is one a level."""
        return value_at(self.table, self.severity)


def cifar_variant(table: Sequence[Any], **settings: Any) -> Callable[[type[Levelled]], type[Levelled]]:
    """Decorator: register NAME_cifar, the same corruption with the table of CIFAR-10-C, for 32 pixels.

    Args:
        table: one row a level.
        settings: other class attributes that differ.

    >>> import numpy as np
    >>> create("contrast_cifar", 5).sample_parameters(np.random.default_rng(0), size=(8, 8))
    {'factor': 0.15}
    """

    def register(kind: type[Levelled]) -> type[Levelled]:
        attributes = {
            "__doc__": f"`{kind.name}` with the table of CIFAR-10-C.",
            "__module__": kind.__module__,
            "__reduce__": lambda self: (create, (self.name, self.severity)),  # no name in its module
            "table": table,
            **settings,
        }
        CORRUPTIONS.register(f"{kind.name}_cifar")(type(f"{kind.__name__}Cifar", (kind,), attributes))
        return kind

    return register


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
