"""Any Python value as plain data for a fingerprint: equal in every process where the values are equal."""

from __future__ import annotations

import array
import enum
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import singledispatch
from pathlib import PurePath
from types import ModuleType
from typing import Any

import numpy as np

from .fingerprint import fingerprint

_DEEPEST = 60  # values inside values; what lies deeper is walked afterwards
_PLAIN = (bool, int, float, str, bytes)
# Objects of other modules of the standard library (locks, loggers, pools, files) hold the state of a process.
_OF_VALUES = (
    *("collections", "datetime", "decimal", "fractions", "functools", "operator", "pathlib", "random"),
    *("re", "types", "uuid", "argparse", "copyreg", "dataclasses", "string", "typing"),
)


class Walk:
    """One walk over what a value holds; an object met twice is identified by its first place."""

    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        self._kept: list[object] = []  # ids are unique only among what is alive
        self._depth = 0
        self._waiting: list[object] = []

    def __call__(self, value: object) -> object:
        """Nested lists of plain data and arrays, which `fingerprint` takes."""
        found = self._walk(value)
        if self._depth or not self._waiting:
            return found
        deeper = []
        while self._waiting:
            deeper.append(self._walk(self._waiting.pop(0)))
        return [found, "deeper", *deeper]

    def _walk(self, value: object) -> object:
        if value is None or type(value) in _PLAIN:
            return value
        if id(value) in self._places:
            return ["again", self._places[id(value)]]
        if self._depth == _DEEPEST:
            self._waiting.append(value)
            return ["later"]
        self._places[id(value)] = len(self._places)
        self._kept.append(value)
        self._depth += 1
        try:
            return [parts_of(value, self)]
        finally:
            self._depth -= 1


@singledispatch
def parts_of(value: Any, walk: Walk) -> object:
    """What an object is made of; `parts_of.register(kind)` adds a kind, as `functools.singledispatch` does.

    An object of an unknown kind is its class with its attributes, or with what it would be pickled by.
    """
    kind = type(value)
    top = kind.__module__.partition(".")[0]
    if top in sys.stdlib_module_names and top not in _OF_VALUES:
        return ["object", walk(kind)]
    held = dict(_attributes(value))
    if held:
        return ["object", walk(kind), walk(held)]
    try:
        reduced = value.__reduce_ex__(2)
    except Exception:
        return ["object", walk(kind)]  # it has no value to speak of: a handle, a lock
    if isinstance(reduced, str):
        return ["object", walk(kind), reduced]
    return ["object", walk(kind), *(walk(list(p) if isinstance(p, Iterator) else p) for p in reduced[1:])]


def _attributes(value: object) -> Iterator[tuple[str, object]]:
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            is_private = name.startswith("__") and not name.endswith("__")
            attribute = f"_{kind.__name__.lstrip('_')}{name}" if is_private else name  # as Python calls it
            if name not in ("__dict__", "__weakref__") and hasattr(value, attribute):
                yield attribute, getattr(value, attribute)
    yield from getattr(value, "__dict__", {}).items()


@parts_of.register(list)
@parts_of.register(tuple)
def _sequence(value: Any, walk: Walk) -> object:
    return ["sequence", *_kind(value, walk, list, tuple), *(walk(item) for item in value)]


@parts_of.register(set)
@parts_of.register(frozenset)
def _set(value: Any, _: Walk) -> object:
    return ["set", *sorted(fingerprint(Walk()(item)) for item in value)]


@parts_of.register(Mapping)
def _mapping(value: Any, walk: Walk) -> object:
    kind = _kind(value, walk, dict)
    if isinstance(value, defaultdict):
        kind.append(walk(value.default_factory))
    if all(type(key) is str for key in value):
        return ["mapping", *kind, *(part for key in sorted(value) for part in (key, walk(value[key])))]
    pairs = [[walk(key), walk(value[key])] for key in value]
    return ["mapping", *kind, *sorted(pairs, key=lambda pair: fingerprint(pair[0]))]


def _kind(value: object, walk: Walk, *plain: type) -> list[object]:
    return [] if type(value) in plain else [walk(type(value))]


@parts_of.register(bytearray)
@parts_of.register(memoryview)
@parts_of.register(array.array)
def _buffer(value: Any, _: Walk) -> object:
    view = memoryview(value)
    return ["buffer", type(value).__name__, view.format, list(view.shape or ()), view.tobytes()]


@parts_of.register(np.ma.MaskedArray)
def _masked(value: Any, walk: Walk) -> object:
    return ["masked", walk(value.data), walk(np.ma.getmaskarray(value)), walk(value.fill_value)]


@parts_of.register(np.ndarray)
def _array(value: Any, walk: Walk) -> object:
    if value.dtype.hasobject:
        return ["array", list(value.shape), walk(value.tolist())]
    return ["array", np.asarray(value)]


@parts_of.register(np.generic)
def _scalar(value: Any, _: Walk) -> object:
    return ["scalar", np.asarray(value)]


@parts_of.register(enum.Enum)
def _member(value: Any, walk: Walk) -> object:
    return ["enum", walk(type(value)), value.name]


@parts_of.register(ModuleType)
def _module(value: Any, _: Walk) -> object:
    return ["module", value.__name__]


@parts_of.register(PurePath)
def _path(value: Any, _: Walk) -> object:
    return ["path", value.as_posix()]


@parts_of.register(complex)
@parts_of.register(range)
@parts_of.register(slice)
def _text(value: Any, _: Walk) -> object:
    return [type(value).__name__, repr(value)]
