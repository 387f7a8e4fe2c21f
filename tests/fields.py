"""Every field of a pydantic model, nested ones by their path, each changed to another valid value."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError


def fields_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Path and annotation of every field that is no model itself; elements of lists have no index."""
    for name, field in model.model_fields.items():
        inner = next((kind for kind in kinds(field.annotation) if is_model(kind)), None)
        if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1:
            continue  # there is no other value
        if inner is None:
            yield prefix + name, field.annotation
        else:
            yield from fields_of(inner, f"{prefix}{name}.")


def kinds(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in get_args(annotation):
        yield from kinds(argument)


def is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def changed(
    model: type[BaseModel], content: Mapping[str, Any], path: str, annotation: Any, probes: Sequence[Any] = ()
) -> BaseModel:
    """`content` with another valid value of the field `path`.

    Args:
        content: in which every table with fields is present; a list or mapping of tables has one at least.
        probes: values to try; none: guessed by the value and the annotation.
    """
    before = at(model.model_validate(content).model_dump(mode="json"), path)
    for value in [*probes] or list(guesses(before, annotation)):
        other = copy.deepcopy(dict(content))
        *tables, name = path.split(".")
        place = other
        for table in tables:
            place = first(place.setdefault(table, {}))
        place[name] = value
        try:
            valid = model.model_validate(other)
        except ValidationError:
            continue
        if at(valid.model_dump(mode="json"), path) != before:
            return valid
    raise AssertionError(f"no other valid value of {path} was found beside {before!r}: name one in the test")


def at(content: Any, path: str) -> Any:
    *tables, name = path.split(".")
    for table in tables:
        content = first(content[table])
    return content[name]


def first(value: Any) -> Any:
    """The table itself, or the first of a list; the first table of a mapping of tables."""
    if isinstance(value, list):
        return value[0]
    if value and all(isinstance(own, dict) for own in value.values()) and set(value) == {"first"}:
        return value["first"]
    return value


def guesses(value: Any, annotation: Any) -> Iterator[Any]:
    for kind in kinds(annotation):
        if get_origin(kind) is Literal:
            literals = get_args(kind)
            yield from ([one] for one in literals) if isinstance(value, list) else literals
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, value - 1, value * 2, value * 0.9, value * 0.5, 0.5, 0.25)
    elif isinstance(value, str):
        yield from (f"{value}x", "other", "x")
    elif isinstance(value, list):
        yield from ([0.9 * one for one in value] if all(isinstance(o, float) for o in value) else [],)
        yield from ([*value, one] for one in (1, 7, "x", "other", 0.5))
    elif isinstance(value, dict):
        yield from ({**value, "x": 1}, {**value, "x": [1.0]}, {"x": "other"})
    elif value is None:
        yield from (1, 2, 0.5, "x", ["x"], [0.5, 1.0], [1], {"x": 1})
