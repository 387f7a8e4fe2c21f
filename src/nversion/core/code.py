"""Fingerprints of third-party code: a plug-in that is edited is another plug-in."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from .fingerprint import fingerprint, fingerprint_file

_OF_THE_COMPILER = ("__firstlineno__", "__static_attributes__")  # where a class stood, and an unordered set


def code_fingerprint(thing: type | Callable[..., Any]) -> str:
    """The fingerprint of the source that defines a class or function; "" for nversion's own.

    What nversion itself computes is versioned by nversion; code from elsewhere is known by its bytes:

    - the source file of a function, or of a class and of every base that is neither nversion's nor of
      the standard library;
    - without a file (a notebook, standard input), the qualified name, the bytecode and the plain
      values of the class: another Python version is then other code.

    Code that such a file imports is not seen.

    >>> code_fingerprint(fingerprint)
    ''
    """
    while isinstance(thing, partial):
        thing = thing.func
    if not isinstance(thing, type) and not isinstance(thing, FunctionType):
        thing = type(thing)  # an object that is called
    origins = thing.__mro__ if isinstance(thing, type) else (thing,)
    if _is_own(origins[0]):
        return ""
    return fingerprint([_source(o) for o in origins if not _is_own(o) and not _is_standard(o)])


def _is_own(thing: type | Callable[..., Any]) -> bool:
    return thing.__module__ == "nversion" or thing.__module__.startswith("nversion.")


def _is_standard(thing: type | Callable[..., Any]) -> bool:
    return thing.__module__.partition(".")[0] in sys.stdlib_module_names


def _source(thing: type | Callable[..., Any]) -> list[object]:
    """Name and file of the module that defines the thing, or else its bytecode."""
    file = getattr(sys.modules.get(thing.__module__), "__file__", None)
    if file is not None and Path(file).is_file():
        return [thing.__qualname__, fingerprint_file(Path(file))]
    return [thing.__qualname__, *_plain(vars(thing) if isinstance(thing, type) else thing)]


def _plain(value: object) -> list[object]:
    """Bytecode and constants as data that is the same in every process."""
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if isinstance(value, FunctionType):
        return [
            "function",
            *_plain(value.__code__),
            *_plain(value.__defaults__),
            *_plain(value.__kwdefaults__),
        ]
    if isinstance(value, CodeType):
        return ["code", value.co_code, list(value.co_names), *_in_order(value.co_consts)]
    if isinstance(value, property):
        return ["property", *_in_order([value.fget, value.fset, value.fdel])]
    if isinstance(value, tuple | list):
        return ["sequence", *_in_order(value)]
    if isinstance(value, set | frozenset):
        return ["set", *sorted(repr(item) for item in value)]
    if isinstance(value, Mapping):
        kept = sorted((key for key in value if key not in _OF_THE_COMPILER), key=str)
        return ["mapping", *([str(key), _plain(value[key])] for key in kept)]
    return [value if isinstance(value, None | bool | int | float | str | bytes) else type(value).__qualname__]


def _in_order(values: Iterable[object]) -> list[object]:
    return [_plain(value) for value in values]
