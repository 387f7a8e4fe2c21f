"""The `args` of an architecture, checked before and while it is built."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import Field

from nversion.core import UserError, did_you_mean
from nversion.core.reasons import reason_of, shown

NumClasses = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
"""A setting `num_classes`."""

_UNEXPECTED = re.compile(r"([\w.]+)\(\) got an unexpected keyword argument '(\w+)'")


def split_num_classes(
    num_classes: int | None, args: Mapping[str, Any] | None, what: str
) -> tuple[int | None, dict[str, Any]]:
    """The number of classes, which may stand in `args` as well, and the other arguments.

    Raises:
        UserError: `args` has a number that is none, or another than `num_classes`.
    """
    rest = dict(args or {})
    if "num_classes" not in rest:
        return num_classes, rest
    inner = rest.pop("num_classes")
    if type(inner) is not int or inner < 1 or num_classes not in (None, inner):
        raise UserError(
            expected=f"a number of classes, at least 1, in the `args` of {what}"
            if num_classes is None
            else f"one number of classes of {what}",
            found=f"num_classes = {shown(inner)}"
            + ("" if num_classes is None else f" in `args` next to `num_classes = {num_classes}`"),
            next_step="correct it, or leave it out",
        )
    return inner, rest


def refuse_settings(args: Iterable[str], settings: Iterable[str], what: str) -> None:
    """Raise a UserError for settings of the source that stand in `args`."""
    for key in args:
        if key in settings:
            raise UserError(
                expected=f"arguments of the architecture of {what} in `args`",
                found=f"{key!r}, which is a setting",
                next_step=f"write `{key}` next to `args`, not in it",
            )


@contextmanager
def building(what: str, args: Mapping[str, Any]) -> Iterator[None]:
    """Turn errors inside the block into a UserError, if there are arguments to blame.

    Args:
        what: is built, as it reads in the error ("timm's 'resnet18'").
        args: what the user gave.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not args:
            raise
        raise _explained(error, what, args) from error


def close_parameters(error: Exception) -> tuple[str, str] | None:
    """The argument that a call does not take, and what its signature proposes; None of other errors."""
    match = _UNEXPECTED.search(str(error)) if isinstance(error, TypeError) else None
    if match is None:
        return None
    known = _parameters(error, match[1].removesuffix(".__init__").rpartition(".")[2])
    return match[2], did_you_mean(match[2], known) if known else "correct its name, or leave it out"


def _explained(error: Exception, what: str, args: Mapping[str, Any]) -> UserError:
    if (found := close_parameters(error)) is not None:
        name, step = found
        return UserError(expected=f"an argument of {what} in `args`", found=repr(name), next_step=step)
    return UserError(
        expected=f"{what} to be built with `args` of {', '.join(args)}",
        found=reason_of(error, with_type=True),
        next_step="correct `args`",
    )


def _parameters(error: Exception, name: str) -> list[str]:
    """Parameters of the class or function of that name which the frames of the error know."""
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        for value in (*frame.f_locals.values(), frame.f_globals.get(name)):
            if callable(value) and getattr(value, "__name__", None) == name:
                try:
                    parameters = inspect.signature(value).parameters.values()
                except (ValueError, TypeError):
                    continue
                variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
                return [p.name for p in parameters if p.kind not in variable]
        trace = trace.tb_next
    return []
