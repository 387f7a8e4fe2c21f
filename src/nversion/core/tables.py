"""Files of TOML tables: read, checked as a whole, every fault told with its place."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import UserError
from .registry import did_you_mean


class Table(BaseModel):
    """A table that knows its keys and does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


AnyTable = TypeVar("AnyTable", bound=Table)


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
            # A table that is missing may be there under a name with a slip, which then says more.
            first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
            place = ".".join(map(str, first["loc"]))
            if first["type"] == "extra_forbidden":
                known = _known_keys(whole or table, first["loc"])
                raise self.unknown_key(place, origin, did_you_mean(str(first["loc"][-1]), known)) from error
            if first["type"] == "missing":
                raise UserError(
                    expected=f"{place} in {origin}", found="nothing", next_step=f"add it; {self.example}"
                ) from error
            message = first["msg"].removeprefix("Value error, ")
            raise UserError(
                expected=f"a sound value of {place} in {origin}",
                found=f"{first['input']!r} ({message})",
                next_step="mend it and run again",
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
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(
            expected=f"UTF-8 text in {path}", found="other bytes", next_step="save the file as UTF-8"
        ) from error
    except OSError as error:
        raise UserError(
            expected=what, found=f"{path}, which cannot be read ({error.strerror})", next_step=missing
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(
            expected="TOML", found=f"{path}: {error}", next_step="mend that line and run again"
        ) from error


def _known_keys(kind: type[Table], location: tuple[int | str, ...]) -> list[str]:
    table: Any = kind
    for step in location[:-1]:
        if str(step) not in table.model_fields:  # a place in a list, or a name that the user gave
            continue
        annotation = table.model_fields[str(step)].annotation
        options = [annotation, *getattr(annotation, "__args__", ())]
        table = next(o for o in options if isinstance(o, type) and issubclass(o, BaseModel))
    return list(table.model_fields)
