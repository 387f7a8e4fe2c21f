"""What a supernet is trained from and searched for: a TOML file, checked as a whole before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from nversion.core import UserError
from nversion.core.settings import resolve
from nversion.core.tables import FileKind, Table, read_toml
from nversion.data.canonical import CanonicalTable
from nversion.supernet.elastic import Dimension, Elasticity, Importance
from nversion.training.recipe import AugmentTable, PreprocessingTable

Objective = Literal["accuracy", "improvement", "disagreement", "macs"]

SPEC = FileKind("supernet specification", "see recipes/supernet-*.toml")


class SupernetTable(Table):
    """`[supernet]`: the network that becomes elastic, and how its subnets are trained together."""

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    arch: str  # "timm:NAME", "torchvision:NAME" or "python:…"
    args: dict[str, Any] = Field(default_factory=dict)
    weights: str | None = None  # a weights file to start from; None: random
    architecture: str | None = None  # as cards name it; None: as its source does
    seed: int = 0
    importance: Importance = "readers"  # by which channels are sorted where a stage reorganises
    random_subnets: int = Field(2, ge=0)  # of each step, besides the largest and the smallest
    distillation: float = Field(1.0, ge=0, le=1)  # weight of the teacher's answers in a subnet's loss
    temperature: float = Field(1.0, gt=0)
    teacher: Literal["largest", "start"] = "largest"  # start: the weights that the training started from
    batch_norm_samples: int = Field(1500, ge=2)  # training images for the statistics of batch norms
    bootstrapnas: str | None = None  # a BootstrapNAS configuration that gives elasticity, stages and search


class StageTable(Table):
    """`[[stages]]`: part of the shrinking; what is not in `dims` stays at its largest."""

    dims: list[Dimension] = Field(default_factory=list)  # none: the largest alone is trained
    epochs: int = Field(ge=1, le=1_000_000)
    max_skips: int | None = Field(None, ge=0)  # blocks that a stage may leave off; None: all that may be
    num_widths: int | None = Field(None, ge=1)  # choices of each width, from the greatest; None: all
    reorganise: bool = False  # sort channels by importance first
    learning_rate: float | None = Field(None, gt=0)  # None: the optimizer's
    epochs_lr: int | None = Field(None, ge=1)  # half a cosine over so many epochs; None: the schedule


class TableIITable(Table):
    """A subnet as the paper's Table ii writes it; see `from_table_ii`."""

    depth: list[float]
    expansion: list[float]
    width: list[float]


class SubnetTable(Table):
    """`[[subnets]]`: a subnet that is recalibrated under a name of its own; what is left out is largest."""

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    depth: str | list[int] | None = None
    width: str | list[int | float] | None = None
    expansion: str | list[int | float] | None = None
    table_ii: TableIITable | str | None = None  # instead, in the paper's notation or by its name there

    @model_validator(mode="after")
    def _one_notation(self) -> SubnetTable:
        if self.table_ii is not None and (self.depth or self.width or self.expansion):
            raise ValueError("either table_ii or depth, width and expansion")
        if self.name == "largest":
            raise ValueError("the name of the supernet itself")
        return self


class SearchTable(Table):
    """`[search]`: NSGA-II over subnets, or over ensembles of them."""

    population: int = Field(50, ge=2)
    evaluations: int = Field(1000, ge=1)
    seed: int = 0
    size: int = Field(1, ge=1)  # members of an ensemble
    objectives: list[Objective] = Field(["accuracy", "macs"], min_length=1)
    clean: bool = True
    corruptions: dict[str, float] = Field(default_factory=dict)  # severity of each
    count: int | None = Field(None, ge=1)  # of the selection images, a seeded part; None: all
    max_macs: int | None = Field(None, ge=1)  # of one subnet
    ref_acc: float | None = Field(None, ge=0, le=100)  # percent: the cheapest candidate near it is reported
    acc_delta: float = Field(1.0, ge=0)  # percent below ref_acc that still count as near

    @model_validator(mode="after")
    def _sound(self) -> SearchTable:
        if self.evaluations < self.population:
            raise ValueError("at least as many evaluations as the population has members")
        if not (self.clean or self.corruptions):
            raise ValueError("no condition to evaluate on: set clean = true or name a corruption")
        if self.size == 1 and {"improvement", "disagreement"} & set(self.objectives):
            raise ValueError("improvement and disagreement are of ensembles: set `size` to 2 or more")
        return self


class SupernetSpec(Table):
    """A whole file."""

    supernet: SupernetTable
    data: dict[Literal["train", "validation", "selection"], dict[str, Any]]
    canonical: CanonicalTable = CanonicalTable()
    augment: AugmentTable = AugmentTable()
    preprocessing: PreprocessingTable | None = None
    elasticity: Elasticity = Elasticity()
    train: dict[str, Any] = Field(default_factory=dict)  # settings of a recipe's [train]
    optimizer: dict[str, Any] = Field(default_factory=lambda: {"name": "sgd"})
    schedule: dict[str, Any] = Field(default_factory=lambda: {"name": "constant"})
    stages: list[StageTable] = Field(default_factory=list)
    subnets: list[SubnetTable] = Field(default_factory=list)
    search: SearchTable = SearchTable()

    @field_validator("data")
    @classmethod
    def _something_to_train_on(cls, data: dict[str, Any]) -> dict[str, Any]:
        if "train" not in data:
            raise ValueError("no data to train on: add [data.train]")
        return data

    @field_validator("subnets")
    @classmethod
    def _names_once(cls, subnets: list[SubnetTable]) -> list[SubnetTable]:
        names = [subnet.name for subnet in subnets]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the name {name!r} is given to two subnets")
        return subnets

    @field_validator("train")
    @classmethod
    def _not_what_stages_say(cls, train: dict[str, Any]) -> dict[str, Any]:
        for key in ("name", "epochs", "seeds", "keep"):
            if key in train:
                raise ValueError(f"{key} is not set here: stages have epochs, [supernet] has name and seed")
        for key in ("tensorboard", "when_diverged", "label_space"):
            if key in train:
                raise ValueError(f"supernets have no {key}")
        return train


def read_spec(path: Path) -> SupernetSpec:
    """The specification of a file; with `bootstrapnas` in it, completed from that configuration.

    Raises:
        UserError: the file is missing, is no TOML, or says something that a specification does not know.
    """
    content = read_toml(path, "a supernet specification", f"correct the path; {SPEC.example}")
    return parse_spec(content, str(path), path.parent)


def parse_spec(content: Mapping[str, Any], origin: str, base: Path = Path()) -> SupernetSpec:
    """The specification of a file's content; see `read_spec`.

    Args:
        content: as TOML gives it.
        origin: names the file in errors.
        base: the folder from which the path `bootstrapnas` starts.
    """
    whole = dict(content)
    supernet = whole.get("supernet", {})
    if isinstance(supernet, dict) and isinstance(supernet.get("bootstrapnas"), str):
        from .bootstrapnas import read_bootstrapnas

        given = read_bootstrapnas(resolve(Path(supernet["bootstrapnas"]), base))
        # Its tables are completed or corrected key by key; stages are either its own or the file's.
        for name in ("supernet", "elasticity", "search"):
            if isinstance(own := whole.get(name, {}), Mapping):  # what is no table is refused below
                whole[name] = given.get(name, {}) | own
        whole = given | whole
    spec = SPEC.checked(SupernetSpec, whole, origin)
    if not spec.stages:
        raise UserError(
            expected=f"[[stages]] in {origin}", found="none", next_step=f"add one or more; {SPEC.example}"
        )
    return spec
