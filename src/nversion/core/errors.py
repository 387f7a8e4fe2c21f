"""The one error a user sees: what was expected, what was found, what to do next."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake that the user can mend, told in one sentence.

    The command line prints it without a traceback and exits with code 2.

    >>> str(UserError(expected="a severity above 0", found="-1.0", next_step="pass a positive number"))
    'expected a severity above 0, found -1.0; pass a positive number'
    """

    def __init__(self, *, expected: str, found: str, next_step: str) -> None:
        super().__init__(f"expected {expected}, found {found}; {next_step}")
        self.expected = expected
        self.found = found
        self.next_step = next_step
