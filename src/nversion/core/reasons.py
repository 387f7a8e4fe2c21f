"""Another library's error as the short reason inside ours."""

from __future__ import annotations

import re
import textwrap

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # what sets colours of a terminal


def reason_of(error: BaseException, *, with_type: bool = False) -> str:
    """The error's text in one line of at most 160 printable characters; its type where there is no text.

    >>> reason_of(ValueError("first line\\n  second")), reason_of(EOFError())
    ('first line second', 'EOFError')
    >>> reason_of(KeyError("a"), with_type=True)
    "KeyError: 'a'"
    """
    text = textwrap.shorten(printable(str(error)), 160, placeholder=" ...").rstrip(".")
    name = type(error).__name__
    if not text:
        return name
    return f"{name}: {text}" if with_type else text


def printable(text: str) -> str:
    """The text without what a terminal would take for a command; line ends become spaces.

    >>> printable("one\\n\\x1b[1mtwo\\x1b[0m\\x07")
    'one two'
    """
    return "".join(c if c.isprintable() else " " * c.isspace() for c in _ESCAPE.sub("", text))


def shown(value: object, most: int = 80) -> str:
    """What a file or user gave, as an error shows it: its `repr`, cut after `most` characters.

    >>> shown("a\\x1b"), shown("b" * 99, most=5)
    ("'a\\\\x1b'", "'bbbb...")
    """
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."
