"""Methodologies: groups of models that came about in one way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nversion.core import UserError

from .methodology_intervals import FEWEST_MODELS


@dataclass(frozen=True, eq=False)
class Methodologies:
    """Which models came out of which methodology: a family, a training approach, an architecture.

    Attributes:
        names: G names, in order of first appearance.
        membership_GM: bool, true where model m is of methodology g; a model is of at most one.

    Raises:
        UserError: a model in two methodologies, a methodology without a model, a name twice.

    >>> by_family = Methodologies.of_labels(["cnn", "vit", "cnn", ""])
    >>> by_family.names, by_family.num_models_G.tolist(), by_family.num_unassigned
    (('cnn', 'vit'), [2, 1], 1)
    """

    names: tuple[str, ...]
    membership_GM: Tensor

    def __post_init__(self) -> None:
        membership_GM = self.membership_GM
        if membership_GM.ndim != 2 or membership_GM.dtype != torch.bool or not membership_GM.numel():
            raise UserError(
                expected="a non-empty bool table of methodologies × models",
                found=f"{membership_GM.dtype} of shape {tuple(membership_GM.shape)}",
                next_step="build it with Methodologies.of_labels or Methodologies.of_groups",
            )
        if len(self.names) != len(membership_GM) or len(set(self.names)) != len(self.names):
            raise UserError(
                expected=f"a name of its own for each of {len(membership_GM)} methodologies",
                found=", ".join(self.names),
                next_step="rename or join them",
            )
        if not bool(membership_GM.any(1).all()):
            empty = self.names[int((~membership_GM.any(1)).nonzero()[0])]
            raise UserError(
                expected="at least one model of each methodology",
                found=f"none of {empty!r}",
                next_step="leave it out",
            )
        shared_M = membership_GM.sum(0) > 1
        if bool(shared_M.any()):
            model = int(shared_M.nonzero()[0])
            both = [
                name
                for name, member in zip(self.names, membership_GM[:, model].tolist(), strict=True)
                if member
            ]
            raise UserError(
                expected="each model in at most one methodology, because a model fails with itself",
                found=f"model {model} in {' and '.join(map(repr, both))}",
                next_step="give the model one methodology, or compare groupings one at a time",
            )

    @classmethod
    def of_labels(cls, labels: Sequence[str]) -> Methodologies:
        """The models grouped by one label each; an empty label is unknown and in no methodology."""
        names = tuple(dict.fromkeys(label for label in labels if label))
        rows = [[label == name for label in labels] for name in names]
        return cls(names, torch.tensor(rows, dtype=torch.bool).reshape(len(names), len(labels)))

    @classmethod
    def of_groups(cls, groups: Mapping[str, Sequence[int]], num_models: int) -> Methodologies:
        """The models listed by index for each methodology.

        Raises:
            UserError: additionally, an index that is not one of the models.

        >>> Methodologies.of_groups({"a": [0, 2], "b": [1]}, num_models=3).membership_GM.tolist()
        [[True, False, True], [False, True, False]]
        """
        membership_GM = torch.zeros(len(groups), num_models, dtype=torch.bool)
        for row_M, models in zip(membership_GM, groups.values(), strict=True):
            outside = [model for model in models if not 0 <= model < num_models]
            if outside:
                raise UserError(
                    expected=f"models from 0 to {num_models - 1}",
                    found=str(outside[0]),
                    next_step="list indices of the models of the study",
                )
            row_M[list(models)] = True
        return cls(tuple(groups), membership_GM)

    @property
    def num_models_G(self) -> Tensor:
        """m, the number of models of each methodology."""
        return self.membership_GM.sum(1)

    @property
    def num_unassigned(self) -> int:
        """Models of no methodology."""
        return int((~self.membership_GM.any(0)).sum())


def few_models_notes(methodologies: Methodologies, involved: Sequence[int]) -> list[str]:
    """What to say of methodologies with too few models for an interval that covers other models."""
    few = [methodologies.names[g] for g in involved if int(methodologies.num_models_G[g]) < FEWEST_MODELS]
    if not few:
        return []
    if len(few) == len(involved):
        return [f"fewer than {FEWEST_MODELS} models: the interval covers other images only"]
    return [
        f"fewer than {FEWEST_MODELS} models of {', '.join(few)}: the interval does not cover other ones there"
    ]
