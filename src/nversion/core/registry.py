"""Registries: a decorator files classes and functions by name; unknown names get a suggestion."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import TypeVar

from .errors import UserError
from .synonyms import meant_by

T = TypeVar("T")


def did_you_mean(name: str, known: list[str]) -> str:
    """The next step for an unknown name: the known ones that it is another word for, the closest, or all.

    >>> did_you_mean("waterdrop", ["lines", "water_drop"])
    "did you mean 'water_drop'?"
    >>> did_you_mean("mean", ["average", "median"])
    "did you mean 'average'?"
    """
    close = meant_by(name, known) or difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(repr(c) for c in close) + "?"
    return "known: " + ", ".join(known)


class Registry(Mapping[str, T]):
    """An ordered mapping from a name to a class or function, open to third parties.

    Args:
        kind: what an entry is, as it reads in an error ("corruption").
        group: entry-point group in which installed packages announce modules that register more
            entries when they are imported; they are imported once, at the first look-up.
    """

    def __init__(self, kind: str, group: str) -> None:
        self.kind = kind
        self.group = group
        self._entries: dict[str, T] = {}
        self._aliases: dict[str, str] = {}
        self._third_parties_loaded = False

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator: file the decorated thing under `name`; a name is taken once."""

        def file(entry: T) -> T:
            if name in self._entries:
                raise UserError(
                    expected=f"a new name for a {self.kind}",
                    found=f"{name!r}, which is taken",
                    next_step="register it under another name",
                )
            self._entries[name] = entry
            return entry

        return file

    def alias(self, name: str, of: str) -> None:
        """A second name of an entry: found like it, but not listed."""
        self._aliases[name] = of

    @property
    def aliases(self) -> Mapping[str, str]:
        """Second names and the listed names that they stand for."""
        self._load_third_parties()
        return dict(self._aliases)

    def __getitem__(self, name: str) -> T:
        self._load_third_parties()
        name = self._aliases.get(name, name)
        if name not in self._entries:
            raise UserError(
                expected=f"a known {self.kind}",
                found=repr(name),
                next_step=did_you_mean(str(name), list(self._entries)),
            )
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        self._load_third_parties()
        return name in self._entries or name in self._aliases

    def __iter__(self) -> Iterator[str]:
        self._load_third_parties()
        return iter(self._entries)

    def __len__(self) -> int:
        self._load_third_parties()
        return len(self._entries)

    def _load_third_parties(self) -> None:
        if not self._third_parties_loaded:
            self._third_parties_loaded = True
            for entry_point in entry_points(group=self.group):
                entry_point.load()
