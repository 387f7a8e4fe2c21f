"""Fingerprints of third-party code: a plug-in that is edited is another plug-in."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from .fingerprint import fingerprint
from .imports import is_installed, source_fingerprint
from .values import Walk, parts_of

_OF_THE_COMPILER = ("__firstlineno__", "__static_attributes__")  # where a class stood, and an unordered set


def code_fingerprint(thing: type | Callable[..., Any]) -> str:
    """The fingerprint of the source that defines a class or function; "" for nversion's own.

    What nversion itself computes is versioned by nversion; code from elsewhere is known by its bytes:

    - the source file of a function, or of a class and of every base, with all files that it imports from
      beside it (see `source_fingerprint`); bases of nversion, of the standard library and of other
      installed packages count by their names;
    - values that stand in no file: arguments of a `partial`, variables of a closure, attributes of a class
      that was made while the code ran;
    - without a file (a notebook, standard input), the qualified name, the bytecode and the plain
      values of the class: another Python version is then other code.

    >>> code_fingerprint(fingerprint)
    ''
    """
    walk = Walk()
    bound: list[object] = []
    while isinstance(thing, partial):
        bound += [walk(thing.args), walk(thing.keywords)] if thing.args or thing.keywords else []
        thing = thing.func
    if not isinstance(thing, type) and not isinstance(thing, FunctionType):
        thing = type(thing)  # an object that is called
    if _is_own(thing):
        return ""
    described = _class(thing, walk) if isinstance(thing, type) else _source(thing, walk)
    return fingerprint([described, *bound])


def _is_own(thing: type | Callable[..., Any]) -> bool:
    return thing.__module__ == "nversion" or thing.__module__.startswith("nversion.")


def is_users(thing: Any) -> bool:
    """Whether a class or function is of no installed package, nor of Python."""
    module = getattr(thing, "__module__", None)
    if not isinstance(module, str):
        return False
    top = module.partition(".")[0]
    if top == "nversion" or top in sys.stdlib_module_names:
        return module == "__main__"
    file = getattr(sys.modules.get(module), "__file__", None)
    return not _is_installed(file) if file is not None else module not in sys.modules


@cache
def _is_installed(file: str) -> bool:
    return is_installed(Path(file).resolve())


def _name(thing: Any) -> str:
    return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', type(thing).__qualname__)}"


def _source(thing: type | FunctionType, walk: Walk) -> list[object]:
    """Name and files of the module that defines the thing, or else its bytecode; and what it holds."""
    file = getattr(sys.modules.get(thing.__module__), "__file__", None)
    known = (
        [source_fingerprint(Path(file))]
        if file is not None and Path(file).is_file()
        else _bytecode(vars(thing) if isinstance(thing, type) else thing)
    )
    return [thing.__qualname__, *known, *_held(thing, walk)]


def _held(thing: type | FunctionType, walk: Walk) -> list[object]:
    """Values that stand in no file: of closures, and of classes that were made while the code ran."""
    if isinstance(thing, FunctionType):
        return [walk(value) for value in _closure(thing)]
    held: dict[str, object] = {}
    for name, value in vars(thing).items():
        inner = value.__func__ if isinstance(value, staticmethod | classmethod) else value
        if isinstance(inner, FunctionType):
            if closure := [v for v in _closure(inner) if v is not thing]:
                held[name] = closure
        elif isinstance(inner, partial) or (not name.startswith("_") and _is_value(inner)):
            held[name] = inner
    return [walk(held)] if held else []


def _closure(function: FunctionType) -> list[object]:
    found = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # not filled yet
            continue
    return [value for value in found if value is not function]


def _is_value(value: object) -> bool:
    return not callable(value) and not hasattr(type(value), "__get__")


@parts_of.register(type)
def _class(kind: type, walk: Walk) -> list[object]:
    """A class of an installed package by its name, the user's by its code and the code of its bases."""
    return ["class", *(_source(c, walk) if is_users(c) else _name(c) for c in kind.__mro__)]


@parts_of.register(FunctionType)
def _function(function: FunctionType, walk: Walk) -> list[object]:
    if not is_users(function):
        return ["function", _name(function), *_held(function, walk)]
    attributes = {k: v for k, v in vars(function).items() if not k.startswith("_torch")}  # of its compiler
    own = [walk(attributes)] if attributes else []
    # The bytecode, too: two functions without a name in one file are two functions.
    described = [*_source(function, walk), _bytecode(function.__code__)]
    return ["function", described, walk(function.__defaults__), walk(function.__kwdefaults__), *own]


@parts_of.register(MethodType)
def _method(method: MethodType, walk: Walk) -> list[object]:
    return ["method", walk(method.__func__), walk(method.__self__)]


@parts_of.register(BuiltinFunctionType)
def _builtin(function: BuiltinFunctionType, walk: Walk) -> list[object]:
    owner = getattr(function, "__self__", None)  # of a function in a module, that module
    bound = [] if owner is None or isinstance(owner, ModuleType) else [walk(owner)]
    return ["function", _name(function), *bound]


@parts_of.register(partial)
def _partial(value: partial[Any], walk: Walk) -> list[object]:
    return ["partial", walk(value.func), walk(value.args), walk(value.keywords)]


@parts_of.register(staticmethod)
@parts_of.register(classmethod)
def _wrapping(value: Any, walk: Walk) -> list[object]:
    return ["wrapping", walk(value.__func__)]


def _bytecode(value: object) -> list[object]:
    """Bytecode and constants as data that is the same in every process."""
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if isinstance(value, FunctionType):
        return [
            "function",
            *_bytecode(value.__code__),
            *_bytecode(value.__defaults__),
            *_bytecode(value.__kwdefaults__),
        ]
    if isinstance(value, CodeType):
        return ["code", value.co_code, list(value.co_names), *map(_bytecode, value.co_consts)]
    if isinstance(value, property):
        return ["property", *map(_bytecode, [value.fget, value.fset, value.fdel])]
    if isinstance(value, tuple | list):
        return ["sequence", *map(_bytecode, value)]
    if isinstance(value, set | frozenset):
        return ["set", *sorted(repr(item) for item in value)]
    if isinstance(value, Mapping):
        kept = sorted((key for key in value if key not in _OF_THE_COMPILER), key=str)
        return ["mapping", *([str(key), _bytecode(value[key])] for key in kept)]
    return [value if isinstance(value, None | bool | int | float | str | bytes) else type(value).__qualname__]
