"""The manifest and the tables of a finished study: their digests are checked before they are read.

`manifest.json` is written last and holds the digest of every table, and its own. Tables that do not match it
are damaged, edited, of another study, or of a run that ended before its manifest.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import UserError
from .files import write_bytes
from .fingerprint import fingerprint_bytes, fingerprint_file
from .sealed import move_aside, read_record, write_record

MANIFEST = "manifest.json"
SELECTION_LOG = "selection-log.jsonl"
"""A sealed line for every selection that was made in the folder; lines are only ever added."""
FORMAT = 3
"""Of the manifest and the tables; raised where one of them changes."""
Read = TypeVar("Read")


class _Named(BaseModel):
    name: str


class _Manifest(BaseModel):
    """What readers take from a manifest; it may hold more."""

    model_config = ConfigDict(extra="allow", strict=True)

    format: Literal[3]
    study: str
    study_hash: str
    settings: dict[str, Any]
    models: list[_Named]
    tables: dict[str, str]
    logits: dict[str, dict[str, str]]


@dataclass
class StudyFiles:
    """A finished study's files, as far as they match its manifest.

    Attributes:
        folder: of the study.
        manifest: the content of `manifest.json`, which matches its own digest.
    """

    folder: Path
    manifest: dict[str, Any]
    _checked: set[str] = field(default_factory=set)

    @classmethod
    def open(cls, folder: Path) -> StudyFiles:
        """Read the manifest of `folder`.

        Raises:
            UserError: there is none, it does not match its digest, or it is of another version.
        """
        path = folder / MANIFEST
        again = f"{run_again(folder)} writes it again; what is stored is not computed again"
        content = read_record(path, next_step=again)
        if content is None:
            raise UserError(
                expected=f"a finished study in {folder}",
                found=f"no {MANIFEST}" if folder.is_dir() else "no such folder",
                next_step="run `nversion study run STUDY.toml` to its end and give its folder",
            )
        try:
            _Manifest.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            raise UserError(
                expected=f"a manifest of format {FORMAT} in {path}",
                found=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
                next_step=again,
            ) from error
        return cls(folder, content)

    @property
    def digests(self) -> Mapping[str, str]:
        """By the name of a table, the digest of its file."""
        digests: Mapping[str, str] = self.manifest["tables"]
        return digests

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """The study's settings."""
        settings: Mapping[str, Any] = self.manifest["settings"]
        return settings

    def has(self, name: str) -> bool:
        """Whether the study wrote this table."""
        return name in self.digests

    def read(self, name: str) -> pl.DataFrame:
        """A table that the study wrote.

        Raises:
            UserError: it is not there, or not what the run wrote.
        """
        return self._parsed(name, pl.read_parquet)

    def facts(self, name: str) -> dict[str, str]:
        """What a table's file says of itself; errors as of `read`."""
        return self._parsed(name, pl.read_parquet_metadata)

    def check(self, name: str) -> None:
        """Raise a UserError where the file of a table is not what the run wrote."""
        if name in self._checked:
            return
        path = table_path(self.folder, name)
        if not path.is_file():
            raise self._refusal(path, "no such file")
        if not self.has(name):
            raise self._refusal(path, "a table that is not in the manifest")
        if fingerprint_file(path) != self.digests[name]:
            found = "other bytes: it is damaged, edited, of another study, or of a run that did not end"
            raise self._refusal(path, found)
        self._checked.add(name)

    def _parsed(self, name: str, parse: Callable[[Path], Read]) -> Read:
        self.check(name)
        path = table_path(self.folder, name)
        try:
            return parse(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._refusal(path, str(error).splitlines()[0]) from error

    def _refusal(self, path: Path, found: str) -> UserError:
        return UserError(
            expected=f"{path} as the run that wrote {MANIFEST} left it",
            found=found,
            next_step=f"{run_again(self.folder)} computes it again from the stored predictions",
        )


def run_again(folder: Path) -> str:
    """The command that completes a study's folder."""
    return f"`nversion study run STUDY.toml --folder {folder}`"


def table_path(folder: Path, name: str) -> Path:
    """Where a table of a study lies."""
    return folder / "tables" / f"{name}.parquet"


def write_table(folder: Path, name: str, frame: pl.DataFrame, facts: Mapping[str, str]) -> str:
    """Write a table, whole, with `facts` in the file's metadata; returns the digest for the manifest."""
    buffer = io.BytesIO()  # write_bytes reports a full disk as a UserError, polars does not
    frame.write_parquet(buffer, metadata=dict(facts))
    write_bytes(table_path(folder, name), buffer.getvalue())
    return fingerprint_bytes(buffer.getvalue())


def write_manifest(folder: Path, content: Mapping[str, Any], digests: Mapping[str, str]) -> None:
    """Write `manifest.json`: after all tables, since it says that they are whole."""
    manifest = {"format": FORMAT, **content, "tables": dict(digests)}
    as_read = json.loads(json.dumps(manifest))  # keys as text, tuples as lists: what the seal is checked on
    write_record(folder / MANIFEST, as_read, sort_keys=False)


def begin_tables(folder: Path) -> list[str]:
    """Set aside what does not match the manifest of an earlier run, and remove that manifest.

    For the holder of the folder's lock, before the first table is written. Until the next manifest the
    folder is unfinished, and no reader takes old tables and new ones for tables of one run.

    Returns:
        The new names of what was set aside.
    """
    set_aside: list[str] = []
    path = folder / MANIFEST
    try:
        files = StudyFiles.open(folder)
    except UserError:
        if path.is_file():
            set_aside.append(str(move_aside(path)))
        return set_aside
    for name in files.digests:
        table = table_path(folder, name)
        try:
            files.check(name)
        except UserError:
            if table.is_file():
                set_aside.append(str(move_aside(table)))
    path.unlink()
    return set_aside


def remove_other_tables(folder: Path, keep: Container[str]) -> None:
    """Remove the tables of earlier runs that are not in `keep`; files that no run wrote stay."""
    for path in (folder / "tables").glob("*.parquet"):
        if path.stem not in keep and _is_of_a_run(path):
            path.unlink()


def _is_of_a_run(path: Path) -> bool:
    try:
        return "study_hash" in pl.read_parquet_metadata(path)
    except (pl.exceptions.PolarsError, OSError):
        return False  # it stays: what is not in the manifest is never read


def read_table(folder: Path, name: str) -> pl.DataFrame:
    """Read one table of a finished study.

    Raises:
        UserError: there is no finished study, no such table, or one that does not match the manifest.
    """
    return StudyFiles.open(folder).read(name)
