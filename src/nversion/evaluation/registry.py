"""The registry of tables: a decorator declares columns next to the function that makes the rows.

A function asks for what it needs by the names of its parameters, as tests ask for fixtures in pytest.
`shared` declares a value that several tables need; it is computed once. A required parameter whose value is
None leaves the table out; parameters with a default accept None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, signature
from typing import Any, Literal, ParamSpec, TypeVar

import polars as pl

from nversion.core import Registry

Of = Literal["condition", "data set", "study", "folder"]
Schema = Mapping[str, pl.DataType | type[pl.DataType]]
Rows = pl.DataFrame | Iterable[pl.DataFrame] | Iterable[Mapping[str, Any]]
P = ParamSpec("P")
T = TypeVar("T")

TEXT, INT, FLOAT, BOOL, BYTES, TEXTS = (
    pl.String,
    pl.Int64,
    pl.Float64,
    pl.Boolean,
    pl.Binary,
    pl.List(pl.String),
)


@dataclass(frozen=True)
class Made:
    """A function and what it asks for.

    Attributes:
        required, optional: names of its parameters.
    """

    function: Callable[..., Any]
    required: tuple[str, ...]
    optional: tuple[str, ...]

    @classmethod
    def by(cls, function: Callable[..., Any]) -> Made:
        parameters = signature(function).parameters.values()
        return cls(
            function,
            tuple(p.name for p in parameters if p.default is Parameter.empty),
            tuple(p.name for p in parameters if p.default is not Parameter.empty),
        )


@dataclass(frozen=True)
class Table:
    """A table of an evaluation or a study.

    Attributes:
        of: what the function is called for: every condition, every data set, or the study as a whole;
            "folder": a table that needs images or a finished selection, whose function is called by name.
        schema: types by column, in order. Fractions lie in [0, 1]; undefined is nan.
    """

    name: str
    of: Of
    schema: Schema
    made: Made


TABLES: Registry[Table] = Registry("table", "nversion.tables")
SHARED: dict[tuple[Of, str], Made] = {}


def table(name: str, *, of: Of, schema: Schema) -> Callable[[Callable[P, Rows]], Callable[P, pl.DataFrame]]:
    """Decorator: register the function that makes the rows of a table.

    The function returns or yields rows, or frames that hold the columns in any order. The decorated function
    returns one frame with the columns of `schema`.
    """

    def register(function: Callable[P, Rows]) -> Callable[P, pl.DataFrame]:
        @wraps(function)
        def make(*args: P.args, **kwargs: P.kwargs) -> pl.DataFrame:
            return _frame(function(*args, **kwargs), schema)

        TABLES.register(name)(Table(name, of, schema, Made.by(make)))
        return make

    return register


def shared(of: Of) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorator: a value that several tables ask for by the function's name; computed once."""

    def register(function: Callable[P, T]) -> Callable[P, T]:
        SHARED[of, function.__name__] = Made.by(function)
        return function

    return register


class Scope:
    """Values by name: given ones, then shared ones and tables, made at the first use; then the outer ones."""

    def __init__(self, of: Of, outer: Scope | None = None, **values: Any) -> None:
        self.of = of
        self.outer = outer
        self.values: dict[str, Any] = values
        self._tables: dict[str, pl.DataFrame | None] = {}

    def __getitem__(self, name: str) -> Any:
        if name in self.values:
            return self.values[name]
        if (self.of, name) in SHARED:
            self.values[name] = self._made(SHARED[self.of, name])
            return self.values[name]
        if name in TABLES and TABLES[name].of == self.of:
            return self.table(name)
        if self.outer is None:
            raise KeyError(name)
        return self.outer[name]

    def table(self, name: str) -> pl.DataFrame | None:
        """A table of this scope; None where a required argument is None."""
        if name not in self._tables:
            self._tables[name] = self._made(TABLES[name].made)
        return self._tables[name]

    def tables(self) -> dict[str, pl.DataFrame]:
        """All tables of this scope that can be made."""
        found = {name: self.table(name) for name, one in TABLES.items() if one.of == self.of}
        return {name: frame for name, frame in found.items() if frame is not None}

    def _made(self, made: Made) -> Any:
        arguments = {name: self[name] for name in (*made.required, *made.optional)}
        if any(arguments[name] is None for name in made.required):
            return None
        return made.function(**arguments)


def _frame(rows: Rows, schema: Schema) -> pl.DataFrame:
    parts = [rows] if isinstance(rows, pl.DataFrame) else list(rows)
    columns, types = list(schema), pl.Schema(schema)
    if not parts or not isinstance(parts[0], pl.DataFrame):
        return pl.DataFrame(parts, schema=types)
    return pl.concat([part.select(columns).cast(types) for part in parts if isinstance(part, pl.DataFrame)])
