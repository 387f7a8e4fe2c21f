"""Read files of TOML or JSON tables and check them as a whole; errors name the place of each fault."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import UserError
from .registry import did_you_mean

_MOST_NESTED = 64  # far above what any file of ours needs, far below where Python's own stack ends
_INT64 = range(-(2**63), 2**63)


class Table(BaseModel):
    """A table that knows its keys, whose numbers are finite, and that does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


AnyTable = TypeVar("AnyTable", bound=Table)

LARGEST_SEED = 2**63 - 1  # what tables, which hold numbers of 64 bits with a sign, have room for
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
PathText = Annotated[str, Field(min_length=1, pattern=r"\S")]
"""A path that is not empty: an empty one would be the folder that relative paths start from."""


@dataclass(frozen=True)
class FileKind:
    """How errors speak of a kind of file.

    Attributes:
        noun: "study" or "recipe".
        example: where a whole one can be seen, as the end of a next step.
    """

    noun: str
    example: str

    def checked(
        self, table: type[AnyTable], content: Mapping[str, Any], origin: str, whole: type[Table] | None = None
    ) -> AnyTable:
        """`content` as a table.

        Args:
            table: what the content must be.
            content: as TOML gives it.
            origin: names the file in errors.
            whole: whose keys are proposed for an unknown one; None: those of `table`.

        Raises:
            UserError: an unknown key, a missing one, or a value that is not sound.
        """
        try:
            return table.model_validate(content)
        except ValidationError as error:
            # A missing table may be there under a misspelt name; that error then says more.
            first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
            place = ".".join(map(_key, first["loc"]))
            if first["type"] == "extra_forbidden":
                known = _known_keys(whole or table, first["loc"])
                raise self.unknown_key(place, origin, did_you_mean(str(first["loc"][-1]), known)) from error
            if first["type"] == "missing":
                raise UserError(
                    expected=f"{place} in {origin}", found="nothing", next_step=f"add it; {self.example}"
                ) from error
            message = first["msg"].removeprefix("Value error, ")
            raise UserError(
                expected=f"a sound value of {place} in {origin}"
                if place
                else f"tables of a {self.noun} in {origin}",
                found=f"{_shown(first['input'])} ({message})",
                next_step="correct it and run again",
            ) from error

    def unknown_key(self, place: str, origin: str, next_step: str) -> UserError:
        """The error for a key that the file does not know."""
        return UserError(
            expected=f"keys that a {self.noun} knows in {origin}", found=place, next_step=next_step
        )


def read_toml(path: Path, what: str, missing: str) -> dict[str, Any]:
    """The content of a TOML file.

    Args:
        path: of the file.
        what: it is, as it reads in an error ("a study file").
        missing: the next step where it cannot be read.

    Raises:
        UserError: the file cannot be read, is not UTF-8, or is no TOML.
    """
    try:
        content: dict[str, Any] = _plain(tomllib.loads(read_text(path, what, missing)), path)
        return content
    except (ValueError, RecursionError) as error:  # of TOML, or of Python: too many digits, nested too deep
        raise _unreadable("TOML", path, error) from error


def read_json(path: Path, what: str, missing: str, plain: Callable[[str], str] = str) -> Any:
    """The content of a JSON file; arguments and errors as for `read_toml`.

    Args:
        path: of the file.
        what: it is, as it reads in an error ("a configuration").
        missing: the next step where it cannot be read.
        plain: makes JSON of the file's text, where it is written in some dialect.
    """
    try:
        return _plain(json.loads(plain(read_text(path, what, missing))), path)
    except (ValueError, RecursionError) as error:
        raise _unreadable("JSON", path, error) from error


def read_text(path: Path, what: str, missing: str) -> str:
    """The text of a file of UTF-8; arguments and errors as for `read_toml`."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise OSError(0, "a pipe or a device, which may never end")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            expected=f"UTF-8 text in {path}", found="other bytes", next_step="save the file as UTF-8"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UserError(
            expected=what,
            found=f"{str(path)!r}, which cannot be read ({reason})"
            if not str(path).isprintable()
            else f"{path}, which cannot be read ({reason})",
            next_step=missing,
        ) from error


def _unreadable(language: str, path: Path, error: Exception) -> UserError:
    if isinstance(error, UserError):
        return error
    reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error).partition(";")[0]
    return UserError(
        expected=language, found=f"{path}: {reason}", next_step="correct that line and run again"
    )


def _plain(content: Any, path: Path) -> Any:
    """The content, if no value of it would fail far from here.

    Raises:
        UserError: a whole number beyond 64 bits, which TOML does not have; a text with a null byte, which
            no path or name can hold; tables or lists nested too deep.
    """
    level, depth = [("", content)], 0
    while level:
        below: list[tuple[str, Any]] = []
        for place, value in level:
            found = _unfit(value)
            if found or depth > _MOST_NESTED:
                raise UserError(
                    expected=f"whole numbers of 64 bits, texts without null bytes and at most {_MOST_NESTED} "
                    f"tables or lists inside one another in {path}",
                    found=f"{found or 'more'} at {place[:80].lstrip('.')}",
                    next_step="correct it and run again",
                )
            if isinstance(value, Mapping):
                below += [("", key) for key in value]
                below += [(f"{place}.{_key(key)}", item) for key, item in value.items()]
            elif isinstance(value, list):
                below += [(f"{place}.{number}", item) for number, item in enumerate(value)]
        level, depth = below, depth + 1
    return content


def _unfit(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value not in _INT64:
        return f"a number of {value.bit_length()} bits"
    return "a null byte" if isinstance(value, str) and "\0" in value else ""


def _key(step: int | str) -> str:
    """A step to a place, as it stands in a sentence: control characters would change the sentence."""
    return str(step) if str(step).isprintable() else repr(step)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:140]} ..."


def _known_keys(kind: type[Table], location: tuple[int | str, ...]) -> list[str]:
    table: Any = kind
    for step in location[:-1]:
        if str(step) not in table.model_fields:  # a place in a list, or a name that the user gave
            continue
        annotation = table.model_fields[str(step)].annotation
        options = [annotation, *getattr(annotation, "__args__", ())]
        table = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), table)
    return list(table.model_fields)
