"""Another library's error as the short reason inside ours."""

from __future__ import annotations

import textwrap


def reason_of(error: BaseException, *, with_type: bool = False) -> str:
    """The error's text in one line of at most 160 characters; its type where there is no text.

    >>> reason_of(ValueError("first line\\n  second")), reason_of(EOFError())
    ('first line second', 'EOFError')
    >>> reason_of(KeyError("a"), with_type=True)
    "KeyError: 'a'"
    """
    text = textwrap.shorten(str(error), 160, placeholder=" ...").rstrip(".")
    name = type(error).__name__
    if not text:
        return name
    return f"{name}: {text}" if with_type else text
