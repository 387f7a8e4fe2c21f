"""The one error a user sees: what was expected, what was found, what to do next."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any


class UserError(ValueError):
    """A mistake that the user can correct, reported in one sentence.

    The command line prints it without a traceback and exits with code 2. Control characters, which names and
    paths may hold, stand in it as escapes.

    >>> str(UserError(expected="a severity above 0", found="-1.0", next_step="pass a positive number"))
    'expected a severity above 0, found -1.0; pass a positive number'
    """

    def __init__(self, *, expected: str, found: str, next_step: str) -> None:
        self.expected, self.found, self.next_step = map(_printable, (expected, found, next_step))
        super().__init__(f"expected {self.expected}, found {self.found}; {self.next_step}")

    def __reduce__(self) -> tuple[Callable[..., UserError], tuple[Any, ...]]:
        # The error travels from worker processes, and its arguments are not the message.
        return partial(UserError, expected=self.expected, found=self.found, next_step=self.next_step), ()


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
