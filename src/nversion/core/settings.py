"""Settings from a TOML table to keyword arguments: a function's signature is its table of settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from .errors import UserError
from .registry import did_you_mean

T = TypeVar("T")


def call_with_settings(function: Callable[..., T], settings: Mapping[str, Any], what: str, **given: Any) -> T:
    """Call `function(**settings, **given)` after checking the settings against its annotations.

    Every parameter of `function` is keyword-only and annotated. Values are converted where no
    information is lost (a text to a `Path`, a list to a tuple). A setting is never skipped in silence.

    Args:
        function: what to call, or a dataclass to make; errors that it raises pass unchanged.
        settings: what the user wrote.
        what: the name of the thing that is set, as it reads in an error ("the data set 'digits'").
        given: arguments that the program adds; they are no settings.

    Raises:
        UserError: an unknown setting, a missing one, or a value of the wrong type.

    >>> def area(*, width: int, depth: int = 2) -> int: return width * depth
    >>> call_with_settings(area, {"width": 3}, "a rectangle")
    6
    >>> call_with_settings(area, {"widht": 3}, "a rectangle")
    Traceback (most recent call last):
    nversion.core.errors.UserError: expected a setting of a rectangle, found 'widht'; did you mean 'width'?
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError, validate_call

    parameters = inspect.signature(function).parameters
    known = [name for name in parameters if name not in given]
    for key in settings:
        if key not in known:
            raise UserError(
                expected=f"a setting of {what}", found=repr(key), next_step=did_you_mean(key, known)
            )
        if isinstance(settings[key], str) and "Path" in str(parameters[key].annotation):
            _check_path(key, settings[key], what)
    for name in known:
        if parameters[name].default is inspect.Parameter.empty and name not in settings:
            raise UserError(
                expected=f"the setting {name!r} of {what}",
                found="none" if not settings else "only " + ", ".join(repr(key) for key in settings),
                next_step=f"add `{name} = ...`",
            )
    try:
        if inspect.isclass(function):
            adapter: TypeAdapter[T] = TypeAdapter(cast(Any, function))
            return adapter.validate_python({**settings, **given})
        checked = validate_call(config=ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False))(
            function
        )
        return checked(**settings, **given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if isinstance(own := first.get("ctx", {}).get("error"), UserError):
            raise own from error
        name = str(first["loc"][0]) if first["loc"] else "?"
        if name not in settings:
            raise
        message = first["msg"][0].lower() + first["msg"][1:]
        raise UserError(
            expected=f"a valid {name!r} of {what}",
            found=repr(settings[name]),
            next_step=f"correct it: {message}",
        ) from error


def _check_path(key: str, value: str, what: str) -> None:
    if not value.strip():  # it would be the folder that relative paths start from
        raise UserError(
            expected=f"a path as {key!r} of {what}",
            found="an empty text",
            next_step="write the path, or leave the setting out",
        )


def named_settings(spec: Mapping[str, Any], what: str, known: Iterable[str]) -> tuple[str, dict[str, Any]]:
    """The `name` that a table of settings gives, and its other settings.

    Args:
        spec: what the user wrote.
        what: the thing that is set, as it reads in an error ("the optimizer").
        known: names, of which an error lists all.

    Raises:
        UserError: no name.

    >>> named_settings({"name": "sgd", "momentum": 0.9}, "the optimizer", ["sgd"])
    ('sgd', {'momentum': 0.9})
    """
    settings = dict(spec)
    name = settings.pop("name", None)
    if not isinstance(name, str):
        raise UserError(
            expected=f"the setting 'name' of {what}",
            found="none" if name is None else repr(name),
            next_step=f'add `name = "..."`, one of {", ".join(known)}',
        )
    return name, settings


def resolve(path: Path, base: Path) -> Path:
    """`path` as it stands when absolute or from the home folder (~), otherwise under `base`.

    Raises:
        UserError: there is no home folder, or no user of that name.

    >>> resolve(Path("a/b"), Path("/study")).as_posix()
    '/study/a/b'
    """
    try:
        path = path.expanduser()
    except RuntimeError as error:
        raise UserError(
            expected="a path from a home folder that there is",
            found=str(path),
            next_step="write the whole path",
        ) from error
    return path if path.is_absolute() else base / path
