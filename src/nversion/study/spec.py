"""What a study asks: a TOML file, checked once and as a whole before anything runs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, field_validator, model_validator

from nversion.core import did_you_mean, fault_of_name
from nversion.core.tables import FileKind, PathText, Seed, Table, read_toml
from nversion.data.canonical import CanonicalTable
from nversion.data.released import AS_RELEASED
from nversion.evaluation.settings import EnsemblesTable, ReliabilityTable
from nversion.predictions.grams import AttributionTable
from nversion.predictions.similarities import RepresentationTable

Spec = TypeVar("Spec", bound=Table)

STUDY = FileKind("study", "a whole example comes from: nversion study new")

NAME_BYTES = 200  # of data sets and models: a key of 13 and what sets a file aside come after them
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"

Severities = Annotated[list[float], Field(max_length=100)]


class StudyTable(Table):
    """`[study]`: its name and the question it answers."""

    name: str = Field(min_length=1, max_length=NAME_BYTES, pattern=_NAME)
    question: str = "Which ensembles of these models fail together least?"
    baseline: str | None = None  # the model that figures compare with


class StoredTable(Table):
    """`[conditions.stored.NAME]`: corrupted images on disk, read as they are."""

    path: PathText
    data: str | None = None  # the data set they belong to, where a study has several
    corruptions: list[str] | None = None  # None: all that are there
    severities: Severities | None = None


class ConditionsTable(Table):
    """`[conditions]`: clean, corruptions with one or several severities, and corrupted images on disk."""

    clean: bool = True
    seed: Seed = 0
    as_released: bool = False  # corruptions of ImageNet-C and -C̄ go through JPEG, as the released images did
    sets: list[str] = Field(default_factory=list)  # published ones, merged with `corruptions`
    corruptions: dict[str, Severities] = Field(default_factory=dict)
    severities: PathText | None = None  # a file of `nversion corruptions severities`; adds to `corruptions`
    stored: dict[str, StoredTable] = Field(default_factory=dict)

    @field_validator("corruptions", mode="before")
    @classmethod
    def _one_severity_is_a_list_of_one(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: s if isinstance(s, list) else [s] for name, s in value.items()}
        return value

    @model_validator(mode="after")
    def _at_least_one(self) -> ConditionsTable:
        for name, severities in self.corruptions.items():
            if not severities:
                raise ValueError(f"{name} has no severity: name one, or take the line out")
        if not (self.clean or self.corruptions or self.sets or self.stored or self.severities):
            raise ValueError("no condition is asked for: set clean = true or name a corruption")
        return self

    @field_validator("stored")
    @classmethod
    def _names_stand_in_names_of_conditions(cls, stored: dict[str, StoredTable]) -> dict[str, StoredTable]:
        for name in stored:
            if not re.fullmatch(_NAME, name) or len(name) > NAME_BYTES // 2:
                of = f"at most {NAME_BYTES // 2} letters, digits, dots, - and _"
                raise ValueError(f"stored images cannot be called {name!r}: {of}")
            if name == AS_RELEASED:
                raise ValueError(
                    f"stored images cannot be called {name!r}: `as_released = true` is called so"
                )
        return stored


class HazardsTable(Table):
    """`[hazards]`: files with groups of classes and with the cost of taking one class for another."""

    groups: PathText | None = None
    costs: PathText | None = None


class BenchmarkTable(Table):
    """`[benchmark]`: whose errors corruption errors are relative to."""

    baseline: str | None = None  # a model of the study, "alexnet", or a row of `published`
    published: PathText | None = None  # a CSV file of rows: name, clean, and a column for each corruption


class RunTable(Table):
    """`[run]`: how models run; the answers do not depend on it beyond rounding."""

    device: str = "auto"
    threads: int | None = Field(None, ge=1, le=1024)  # of torch; None: the cores that the process may use
    batch_size: int = Field(64, ge=1, le=65_536)
    storage: Literal["float16", "float32"] = "float16"
    amp: Literal["bfloat16", "float16"] | None = None
    channels_last: bool = True
    unreadable: Literal["stop", "exclude"] = "stop"


class ReportTable(Table):
    """`[report]`: which pictures are shown."""

    images: int = Field(4, ge=0, le=32)  # sample images, under every condition
    maps: int = Field(6, ge=0, le=32)  # images whose attribution maps are drawn
    suspects: int = Field(24, ge=0, le=200)  # images on which nearly all models fail, as a contact sheet
    ensembles: list[list[str]] = Field(default_factory=list)  # members' names, shown beside the chosen one
    map_models: list[str] = Field(default_factory=list)  # empty: up to six, one of each family first


class ImagesSpec(Table):
    """What images a study sees: the part of its file that needs no models."""

    data: dict[str, dict[str, Any]] = Field(min_length=1)
    canonical: CanonicalTable = CanonicalTable()
    conditions: ConditionsTable = ConditionsTable()

    @field_validator("data")
    @classmethod
    def _names_are_folders_of_the_store(cls, data: dict[str, Any]) -> dict[str, Any]:
        for name in data:
            if name.startswith(".") or "/" in name or "\\" in name:
                raise ValueError(f"a data set cannot be called {name!r}: no slashes, no dot in front")
            if fault := fault_of_name(name, NAME_BYTES):
                raise ValueError(f"a data set cannot be called {name[:40]!r}: {fault}")
        if twins := twins_of(data):
            raise ValueError(f"{twins[0]!r} and {twins[1]!r} are one folder where upper case does not count")
        return data


class PoolSpec(ImagesSpec):
    """The images of a study and the models that see them."""

    models: list[dict[str, Any]] = Field(min_length=1)
    run: RunTable = RunTable()


class StudySpec(PoolSpec):
    """A whole study file."""

    study: StudyTable
    ensembles: EnsemblesTable = EnsemblesTable()
    attribution: AttributionTable | None = None
    representation: RepresentationTable | None = None
    reliability: ReliabilityTable = ReliabilityTable()
    hazards: HazardsTable = HazardsTable()
    benchmark: BenchmarkTable = BenchmarkTable()
    report: ReportTable = ReportTable()


def twins_of(names: Iterable[str]) -> tuple[str, str] | None:
    """Two names that some file systems take for one: they differ in case, or in how accents are encoded.

    >>> twins_of(["val", "Val"]), twins_of(["val", "test"])
    (('val', 'Val'), None)
    """
    seen: dict[str, str] = {}
    for name in names:
        plain = unicodedata.normalize("NFC", name).casefold()
        if plain in seen:
            return seen[plain], name
        seen[plain] = name
    return None


def read_spec(path: Path) -> StudySpec:
    """Read and check a study file.

    Raises:
        UserError: the file is missing, is no TOML, or says something that a study does not know.
    """
    return parse_spec(_read_study(path), str(path))


def read_images_spec(path: Path) -> ImagesSpec:
    """Read and check the tables of a study file that say which images it sees; the others are not read.

    Raises:
        UserError: the file is missing, is no TOML, or says something that a study does not know.
    """
    return _read_part(ImagesSpec, path)


def read_pool_spec(path: Path) -> PoolSpec:
    """Read and check the tables of a study file that say which models see which images.

    Raises:
        UserError: the file is missing, is no TOML, or says something that a study does not know.
    """
    return _read_part(PoolSpec, path)


def parse_spec(content: dict[str, Any], origin: str) -> StudySpec:
    """Check the content of a study file; `origin` names it in errors."""
    return STUDY.checked(StudySpec, content, origin)


def _read_part(kind: type[Spec], path: Path) -> Spec:
    content, known = _read_study(path), list(StudySpec.model_fields)
    for table in content:
        if table not in known:
            raise STUDY.unknown_key(table, str(path), did_you_mean(table, known))
    part = {table: value for table, value in content.items() if table in kind.model_fields}
    return STUDY.checked(kind, part, str(path), whole=StudySpec)


def _read_study(path: Path) -> dict[str, Any]:
    return read_toml(path, "a study file", f"write one with: nversion study new {path.name}")
