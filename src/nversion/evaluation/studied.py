"""What a study saw of each corruption, and how often each of its models and ensembles was right there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl
import torch
from torch import Tensor

from nversion.core.members import ensemble_name
from nversion.corruptions import published
from nversion.corruptions.severities import SMALL_IMAGE
from nversion.data import Condition
from nversion.ensembles import CREDITS, Ensembles, Replicated

from .measure import ConditionResult

CELLS = 1 << 20
"""Numbers that one step holds: blocks × corruptions or severities × contenders."""
OTHER = "other"
_LIMITS = {"error": (0.0, 1.0), "mean_error": (0.0, 1.0), "area": (0.0, 1.0), "ce": (0.0, math.inf)}


@dataclass(frozen=True)
class Contenders:
    """X models and ensembles; all models first.

    Attributes:
        members: names of the models of each, one of a model.
        consensus: how the ensembles decide.
        num_models: how many of them are models.
        named: indices of the ensembles that the study names.
    """

    members: Sequence[Sequence[str]]
    consensus: str
    num_models: int
    named: Sequence[int] = ()

    @classmethod
    def of(
        cls,
        families: Sequence[Ensembles],
        model_names: Sequence[str],
        consensus: str,
        named: Sequence[Sequence[str]],
    ) -> Contenders:
        """All models, then the ensembles of every size.

        Args:
            named: members of the ensembles that the study names.
        """
        members = [row for family in families for row in family.members_EK.tolist()]
        wanted = {frozenset(map(model_names.index, names)) for names in named}
        return cls(
            [[name] for name in model_names] + [[model_names[i] for i in row] for row in members],
            consensus,
            len(model_names),
            [len(model_names) + i for i, row in enumerate(members) if frozenset(row) in wanted],
        )

    @cached_property
    def names(self) -> list[str]:
        """Of each, all different; see `ensemble_name`."""
        models = [name for (name,) in self.members[: self.num_models]]
        return [ensemble_name(members, models) for members in self.members]

    @property
    def sizes(self) -> list[int]:
        """Numbers of members."""
        return [len(members) for members in self.members]

    @cached_property
    def frame(self) -> pl.DataFrame:
        """Columns ensemble, members, size, consensus."""
        rules = [None if i < self.num_models else self.consensus for i in range(len(self.names))]
        return pl.DataFrame(
            {"ensemble": self.names, "members": self.members, "size": self.sizes, "consensus": rules},
            schema={
                "ensemble": pl.String,
                "members": pl.List(pl.String),
                "size": pl.Int64,
                "consensus": pl.String,
            },
        )


@dataclass(frozen=True)
class RightAnswers:
    """How often each contender is right on one data set.

    Attributes:
        side: pixels of the canonical images.
        consensus: how the ensembles decide.
        credits: by condition, (B, X) in each block of images; `CREDITS` for each right answer.
        count_B: images of each block.
    """

    dataset: str
    side: int
    conditions: Sequence[Condition]
    consensus: str
    credits: Mapping[str, Tensor]
    count_B: Tensor

    @property
    def clean(self) -> Tensor | None:
        """Credits on clean images, (B, X)."""
        return next((self.credits[c.name] for c in self.conditions if c.is_clean), None)


@dataclass(frozen=True)
class Studied:
    """A corruption as far as a study saw it.

    Attributes:
        set: the published set that its levels are of, or `OTHER`.
        stored: the tree of images on disk that it is read from; "" where it is made here.
        conditions: of growing severity.
        counted: those of them at levels of the set; all for `OTHER`.
        of_levels: how many levels the set has; None for `OTHER`.
    """

    corruption: str
    set: str
    stored: str
    conditions: Sequence[Condition]
    counted: Sequence[Condition]
    of_levels: int | None

    @property
    def is_whole(self) -> bool:
        """All levels of the set are counted."""
        return len(self.counted) == self.of_levels


def right_answers(result: ConditionResult, consensus: str) -> Tensor:
    """Credits of all models, then the ensembles of every size, in each block, (B, X)."""
    ensembles = [size.evaluations[consensus].credits_BE for size in result.sizes]
    return torch.cat([result.models.right_BM * CREDITS, *ensembles], dim=1)


def studied_corruptions(conditions: Sequence[Condition], side: int) -> list[Studied]:
    """Every corruption of a data set with the published set that it counts towards.

    A corruption counts towards a set by its levels there; with none of them it is `OTHER`, with all its
    severities. Of the sets of Mintun et al. the one for images of this side is meant.
    """
    sets = {name: published(name, side) for name in sets_for(side)}
    by_source: dict[tuple[str, str], list[Condition]] = {}
    for condition in conditions:
        if condition.corruption is not None:
            by_source.setdefault((condition.corruption, condition.stored or ""), []).append(condition)
    found = []
    for (corruption, stored), of_source in by_source.items():
        grown = sorted(of_source, key=lambda c: c.severity or 0.0)
        name, counted, of_levels = OTHER, grown, None
        for candidate, levels in sets.items():
            at_levels = [c for c in grown if c.severity in levels.get(corruption, ())]
            if at_levels:
                name, counted, of_levels = candidate, at_levels, len(levels[corruption])
        found.append(Studied(corruption, name, stored, grown, counted, of_levels))
    return found


def sets_for(side: int) -> tuple[str, ...]:
    if side <= SMALL_IMAGE:
        return ("imagenet-c", "imagenet-c-extra", "cifar-10-c", "cifar-10-c-bar")
    return ("imagenet-c", "imagenet-c-extra", "imagenet-c-bar")


def intervals(quantity: str, values: Replicated, count_B: Tensor) -> tuple[Tensor, Tensor]:
    """Ends of the intervals, within what the quantity can be."""
    least, most = _LIMITS.get(quantity, (-math.inf, math.inf))
    found = values.interval(count_B)
    return found.low_X.clamp(least, most), found.high_X.clamp(least, most)


def valued(who: pl.DataFrame, quantity: str, values: Replicated, count_B: Tensor) -> pl.DataFrame:
    """The contenders with columns value, low, high of one quantity, (X,)."""
    low_X, high_X = intervals(quantity, values, count_B)
    columns = {"value": values.full_E, "low": low_X, "high": high_X}
    return who.with_columns(*(pl.Series(name, x.tolist(), pl.Float64) for name, x in columns.items()))


def literals(facts: Mapping[str, object], *names: str) -> dict[str, pl.Expr]:
    """Columns that hold the same in every row: those of these names, or all."""
    return {name: pl.lit(facts[name]) for name in names or facts}
