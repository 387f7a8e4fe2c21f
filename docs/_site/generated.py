"""A page of the site that is made while the site is built."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Generated:
    """A page or picture of the site.

    Attributes:
        section: the heading of the navigation below which it is listed; "" where it is not.
    """

    path: str
    content: str | bytes
    title: str = ""
    section: str = ""
