"""Where long work says what it does."""

from __future__ import annotations

from typing import Protocol

from nversion.core import duration

__all__ = ["Reporter", "Silent", "duration"]


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
