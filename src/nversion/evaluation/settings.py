"""Settings of an evaluation: which ensembles are formed, and how their reliability is modelled."""

from __future__ import annotations

from math import comb
from typing import Literal

from pydantic import Field, field_validator

from nversion.core.tables import Seed, Table
from nversion.ensembles import Ensembles


class EnsemblesTable(Table):
    """`[ensembles]`: sizes, consensus rules, and all of them or a seeded sample."""

    sizes: list[int] = Field([3], min_length=1)
    consensus: list[str] = Field(["average", "probability", "median", "geometric_mean", "vote"], min_length=1)
    sample: int | None = Field(None, ge=1)  # of each size; None means all C(M, k)
    seed: Seed = 0
    diversity: list[str] | None = None  # None: every metric that is registered
    shannon_species: Literal["members", "classes", "observed"] = "members"  # S of Eq. 5
    num_blocks: int = Field(50, ge=2, le=10_000)  # of images, for the jackknife
    draw_seed: Seed | None = None  # settle tied votes by a draw; None: expected accuracy

    @field_validator("sizes")
    @classmethod
    def _sizes_are_at_least_two(cls, sizes: list[int]) -> list[int]:
        if min(sizes) < 2:
            raise ValueError("an ensemble has at least 2 members; single models are in the tables anyway")
        return sorted(set(sizes))


class ReliabilityTable(Table):
    """`[reliability]`: the design-diversity model and what is suspected to be a wrong label."""

    group_by: list[Literal["family", "training", "architecture", "initial_weights", "training_data"]] = Field(
        ["family", "training"], min_length=1
    )
    margin: float = Field(0.02, gt=0, lt=1)  # of mean failure, within which methodologies are indifferent
    suspect_share: float = Field(0.9, gt=0.5, le=1)  # of models that are wrong on a suspect image …
    suspect_agreement: float = Field(0.5, ge=0, le=1)  # … and that agree on one wrong class


def ensembles_of(asked: EnsemblesTable, num_models: int) -> list[Ensembles]:
    """One family of ensembles of `num_models` models for each size asked for: all, or a seeded sample."""
    families = []
    for size in asked.sizes:
        if asked.sample is None or asked.sample >= comb(num_models, size):
            families.append(Ensembles.all_of(num_models, size))
        else:
            families.append(Ensembles.sample(num_models, size, asked.sample, asked.seed))
    return families
