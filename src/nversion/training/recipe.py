"""The tables of a recipe: a TOML file that is checked as a whole before anything runs."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from nversion.core import UserError
from nversion.core.names import is_plain
from nversion.core.tables import FileKind, Seed, Table, read_toml
from nversion.data.canonical import CanonicalTable

RECIPE = FileKind("recipe", "see recipes/ for examples")


class TrainTable(Table):
    """`[train]`: how long, in which batches, from which seeds, on what."""

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    epochs: int = Field(ge=1, le=1_000_000)
    batch_size: int = Field(64, ge=2)  # batch norm needs two
    seeds: list[Seed] = Field([0], min_length=1)  # each repeats the whole run
    accumulate: int = Field(1, ge=1)  # batches whose gradients are summed before a step
    clip: float | None = Field(None, gt=0)  # greatest norm of each member's gradient
    label_space: str | None = None
    empty_classes: bool = False  # whether classes without an image are meant
    device: str = Field("auto", pattern=r"^([a-z]+|cuda:[0-9]+)$")  # "cuda:1": the second of them
    threads: int | None = Field(None, ge=1, le=1024)  # of torch; None: the cores that the process may use
    devices: int = Field(1, ge=1)  # more than one: distributed data parallel
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    workers: int = Field(2, ge=0)  # processes that decode images that do not fit in memory
    keep: Literal["last", "best"] = "last"  # which epoch's weights; best: of validation cross-entropy
    diverged_above: float = Field(1e4, gt=0)  # a term of this size stops the run
    when_diverged: Literal["stop", "keep"] = "stop"  # keep: the last good weights become the result
    checkpoint_steps: int = Field(500, ge=1)  # and at the end of every epoch
    tensorboard: bool = False  # the diary as scalars, too

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("each seed stands for a run of its own: name it once")
        return seeds

    @field_validator("devices")
    @classmethod
    def _one_where_it_is_named(cls, devices: int, info: ValidationInfo) -> int:
        device = info.data.get("device", "")
        if devices > 1 and ":" in device:
            raise ValueError(f'{device} is one device; several are counted from the first, with "cuda"')
        return devices


class AugmentTable(Table):
    """`[augment]`: what is done to a training image each time it is seen (Table iii when left out)."""

    crop_scale: tuple[float, float] | None = (0.08, 1.0)  # share of the area; None: no random crop
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)  # width by height
    flip: float = Field(0.5, ge=0, le=1)
    max_shift: int = Field(0, ge=0, le=4096)  # pixels in each direction

    @model_validator(mode="after")
    def _ordered(self) -> AugmentTable:
        for low, high in (self.crop_scale or (1.0, 1.0), self.crop_ratio):
            if not 0 < low <= high:
                raise ValueError("a range goes from a number above 0 to one that is not smaller")
        if self.crop_ratio[0] < 0.01 or self.crop_ratio[1] > 100:
            raise ValueError("a crop is at most 100 times as wide as high, or as high as wide")
        if self.crop_scale is not None and self.crop_scale[1] > 1:
            raise ValueError("a crop has at most the whole area, 1.0")
        return self


class MemberTable(Table):
    """`[[members]]`: an architecture, and how many members have it."""

    arch: str  # "timm:NAME", "torchvision:NAME" or "python:PATH.py:FUNCTION"
    args: dict[str, Any] = Field(default_factory=dict)
    count: int = Field(1, ge=1, le=1000)
    name: str | None = Field(None, max_length=200)  # of its file, too
    family: str = "other"
    weights: str | None = None  # a weights file to start from; None: random
    # Patterns of parameters that are not trained; "backbone": all but the classifier's.
    frozen: list[str] = Field(default_factory=list)

    @field_validator("name")
    @classmethod
    def _of_a_file(cls, name: str | None) -> str | None:
        if name is not None and not is_plain(name):
            raise ValueError("members' files have these names: no path, no control character")
        return name


class StrategyTable(Table):
    """`[strategy]`: which members are trained together, on which samples, one after which."""

    name: str = "joint"
    settings: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _others_are_settings(cls, value: Any) -> Any:
        if isinstance(value, dict) and "settings" not in value:
            return {
                "name": value.get("name", "joint"),
                "settings": {k: v for k, v in value.items() if k != "name"},
            }
        return value


class MapsTable(Table):
    """`[maps]`: the attribution maps that a loss asks for, gradients of the input that keep their graph."""

    method: str = "saliency"  # an attribution method whose maps can be differentiated
    of: Literal["logit", "log_probability", "loss"] = "logit"  # whose gradient, for the label's class
    absolute: bool = True
    smooth: int = Field(1, ge=1)  # side of the pixel blocks over which maps are averaged
    images: int | None = Field(None, ge=1)  # of each batch; None: all


class PretrainingTable(Table):
    """`[pretraining]`: the backbone learns without labels first, by DINO (Caron et al. 2021).

    What has a default has that of its authors' code, but for the weights' decay, which does not grow.
    """

    method: Literal["dino"] = "dino"
    epochs: int = Field(ge=1, le=1_000_000)
    batch_size: int = Field(64, ge=2)
    seed: Seed = 0  # of the backbone; the seeds of [train] are the classifier's
    optimizer: dict[str, Any] = Field(default_factory=lambda: {"name": "adamw", "learning_rate": 5e-4})
    schedule: dict[str, Any] = Field(default_factory=lambda: {"name": "cosine", "warm_up": 10})
    clip: float | None = Field(3.0, gt=0)  # greatest norm of the gradient
    # Views: shares of the area, number and size of the crops, and what is done to them.
    global_crops: tuple[float, float] = (0.4, 1.0)
    local_crops: tuple[float, float] = (0.05, 0.4)
    num_local: int = Field(8, ge=0)
    local_size: int | None = Field(None, ge=1)  # pixels; None: 3/7 of the image, 96 of 224
    flip: float = Field(0.5, ge=0, le=1)
    color: float = Field(1.0, ge=0, le=1)  # strength of brightness, contrast, saturation and hue
    grey: float = Field(0.2, ge=0, le=1)  # share of views without colour
    blur: float = Field(1.0, ge=0, le=1)  # times the authors' shares: 1.0, 0.1 and 0.5 of the views
    solarize: float = Field(0.2, ge=0, le=1)  # share of second global views
    # The head, its targets, and the teacher that gives them.
    out_dim: int = Field(65536, ge=2)
    hidden_dim: int = Field(2048, ge=1)
    bottleneck_dim: int = Field(256, ge=1)
    head_batch_norm: bool = False
    head_norm_last: bool = True
    freeze_last_epochs: int = Field(1, ge=0)  # of the head's last layer
    student_temperature: float = Field(0.1, gt=0)
    teacher_temperature: float = Field(0.04, gt=0)
    first_temperature: float = Field(0.04, gt=0)  # of the teacher; grows linearly over the warm-up
    warm_up_temperature: float = Field(0.0, ge=0)  # epochs
    center_momentum: float = Field(0.9, ge=0, lt=1)
    teacher_momentum: float = Field(0.996, ge=0, le=1)  # grows to 1 along half a cosine

    @model_validator(mode="after")
    def _ordered(self) -> PretrainingTable:
        for low, high in (self.global_crops, self.local_crops):
            if not 0 < low <= high <= 1:
                raise ValueError("crops have shares of the area from above 0 to at most 1, in order")
        return self


class PreprocessingTable(Table):
    """`[preprocessing]`: normalisation of pixels in [0, 1], for architectures without their own."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


class TrainingRecipe(Table):
    """A whole recipe; of one variant once `variants` are taken apart."""

    train: TrainTable
    data: dict[Literal["train", "validation"], dict[str, Any]]
    members: list[MemberTable] = Field(min_length=1)
    canonical: CanonicalTable = CanonicalTable()
    augment: AugmentTable = AugmentTable()
    strategy: StrategyTable = StrategyTable()
    loss: dict[str, Any] = Field(default_factory=lambda: {"name": "independent"})
    maps: MapsTable = MapsTable()
    optimizer: dict[str, Any] = Field(default_factory=lambda: {"name": "adamw"})
    schedule: dict[str, Any] = Field(default_factory=lambda: {"name": "constant"})
    preprocessing: PreprocessingTable | None = None
    pretraining: PretrainingTable | None = None
    teacher: list[dict[str, Any]] = Field(
        default_factory=list
    )  # [[models]] tables; several: their mean logits

    @field_validator("data")
    @classmethod
    def _something_to_train_on(cls, data: dict[str, Any]) -> dict[str, Any]:
        if "train" not in data:
            raise ValueError("no data to train on: add [data.train]")
        return data

    @model_validator(mode="after")
    def _one_backbone(self) -> TrainingRecipe:
        if self.pretraining is not None and len(self.members) > 1:
            raise ValueError(
                "a pretrained backbone is that of one [[members]] table; take `count` or variants"
            )
        return self

    @property
    def num_members(self) -> int:
        """Members of the ensemble."""
        return sum(member.count for member in self.members)


def read_recipe(path: Path) -> dict[str, TrainingRecipe]:
    """The variants of a recipe file by name; one without `[[variants]]` has one, of its own name.

    A variant is a table with a `name` and whole tables that replace those of the recipe.

    Raises:
        UserError: the file is missing, is no TOML, or says something that a recipe does not know.
    """
    content = read_toml(path, "a recipe file", f"correct the path; {RECIPE.example}")
    return parse_recipe(content, str(path))


def parse_recipe(content: Mapping[str, Any], origin: str) -> dict[str, TrainingRecipe]:
    """The variants of a recipe's content; `origin` names it in errors."""
    whole = RECIPE.checked(_Variants, content, origin)
    common: dict[str, Any] = {**(whole.model_extra or {})}
    if "train" in whole.model_fields_set:
        common["train"] = whole.train
    if whole.variants is None:
        recipe = RECIPE.checked(TrainingRecipe, common, origin)
        return {recipe.train.name: recipe}
    found: dict[str, TrainingRecipe] = {}
    for position, variant in enumerate(whole.variants):
        if variant.name is None or variant.name in found:
            raise UserError(
                expected=f"a name of its own for every variant in {origin}",
                found=f"{variant.name!r} for variant {position}",
                next_step='add `name = "..."`',
            )
        changed = copy.deepcopy(common) | (variant.model_extra or {})
        changed["train"] = {**whole.train, **variant.train, "name": variant.name}
        place = f"{origin}, variant {variant.name!r}"
        found[variant.name] = RECIPE.checked(TrainingRecipe, changed, place)
    return found


class _Variant(Table):
    """`[[variants]]`: a name, and tables that are checked as part of the recipe that they make."""

    model_config = ConfigDict(extra="allow")

    name: str | None = None
    train: dict[str, Any] = Field(default_factory=dict)


class _Variants(Table):
    """A recipe before its variants are taken apart."""

    model_config = ConfigDict(extra="allow")

    train: dict[str, Any] = Field(default_factory=dict)
    variants: list[_Variant] | None = Field(None, min_length=1)
