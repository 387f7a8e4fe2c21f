"""Where long work says what it does."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Where a run says what it does; the command line draws progress bars with it."""

    def say(self, text: str) -> None:
        """One line."""

    def start(self, text: str, total: int) -> None:
        """A piece of work of `total` steps begins."""

    def advance(self) -> None:
        """One step of it is done."""


class Silent:
    """A reporter that says nothing."""

    def say(self, text: str) -> None:
        pass

    def start(self, text: str, total: int) -> None:
        pass

    def advance(self) -> None:
        pass


def duration(seconds: float) -> str:
    """About how long, in the unit that suits it.

    >>> duration(30), duration(600), duration(9000)
    ('30 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
