"""Lengths of time in words."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """About how long, in the unit that suits it.

    >>> duration(30), duration(600), duration(9000)
    ('30 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
