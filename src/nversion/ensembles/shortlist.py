"""The few classes that can win under some ensemble: what makes every ensemble affordable.

The K largest of the M models' values of a class, combined, are at least its score under every ensemble of K
members. The class can win only if they reach the lowest of the ensembles' best scores among a few listed
classes. Raw logits have no common zero, so that the best scores of ensembles lie far apart; but the mean of
K members' differences v_mc − v_mw from one class w is at most that of the K largest differences, and c can
win only if that is not negative. A class that fails is computed for no ensemble. What the bounds lose to
rounding is added to them, so that they decide how much is computed, never the result.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nversion.core import chunk_length, spans

from .consensus import PerClassRule, at_least_float32
from .decision import NEAR
from .tile import Tile

FLOOR = -1e30
"""Stands for -inf, which a product with a membership of 0 would turn into nan."""
HUGEST = 1e25
"""Larger values are decided plainly: their sums may overflow, or pass for the floor."""
ROUNDINGS = 16 * 2.0**-24
"""Four times the error of two sums of float32, a member."""

_FIRST = 8  # classes that give the lowest best score
_BLOCK_BYTES = 1 << 17  # of one member's values of a few samples: the largest K of M stay in the cache


@dataclass(frozen=True)
class Shortlist:
    """P classes of each of U samples.

    Attributes:
        rows_U: the samples, as rows of the tile.
        classes_UP: ascending, so that the first of equal scores is the lowest class; then the number of
            classes, where a sample has fewer.
        values_MUP: the members' values; at least `FLOOR`, which is also that of no class.
        magnitude_U: the largest absolute value above the floor: what rounding errors are measured by.
        has_floor: a class has a value at the floor.
    """

    rows_U: Tensor
    classes_UP: Tensor
    values_MUP: Tensor
    magnitude_U: Tensor
    has_floor: bool


class Shortlister:
    """The members' values of a tile's samples, and bounds on them; uses the tile's workspace.

    Memory: the tile's logits once more where the rule's values are not the logits.

    Attributes:
        pivot_N: the class with the largest sum of values.
        by_differences: `can_win_UC` needs no score.
    """

    def __init__(self, rule: PerClassRule, tile: Tile) -> None:
        self.rule = rule
        self.by_differences = rule.is_mean and rule.member_values is at_least_float32
        self.values_MNC = rule.member_values(tile.logits_MNC)
        num_models = len(self.values_MNC)
        self.total_NC = self.values_MNC.sum(0)
        self.pivot_N = self.total_NC.max(-1).indices
        index_MN1 = self.pivot_N.view(1, -1, 1).expand(num_models, -1, 1)
        pivot_MN1 = self.values_MNC.gather(2, index_MN1)
        # Of a mean the values count relative to the pivot's; -inf less -inf is nan, which excludes nothing.
        self._relative_MNC = tile.workspace_MNC
        torch.sub(self.values_MNC, pivot_MN1 if rule.is_mean else 0.0, out=self._relative_MNC)
        self._relative_MNC.scatter_(2, index_MN1, -torch.inf)
        self.rest_MN = self._relative_MNC.amax(-1)
        own_MN1 = torch.zeros_like(pivot_MN1) if rule.is_mean else pivot_MN1
        self._relative_MNC.scatter_(2, index_MN1, own_MN1)
        self.pivot_MN = pivot_MN1.squeeze(-1)
        # Values far below these may be rounded by more; their scores are then as far below.
        magnitude_MN = torch.maximum(self.pivot_MN.abs(), self.rest_MN.abs())
        self.magnitude_N = magnitude_MN.nan_to_num(0.0, 0.0, 0.0).amax(0)
        if rule.is_mean:
            self.magnitude_N *= 2

    def tolerance_N(self, size: int) -> Tensor:
        """What is further below the best than this is neither a near tie of it nor its rounding error."""
        tolerance_N = NEAR + 16 * ROUNDINGS * size * self.magnitude_N
        return tolerance_N.masked_fill_(self.magnitude_N > HUGEST, torch.inf)

    def is_settled_N(self, size: int) -> Tensor:
        """The samples whose pivot wins under every ensemble of this size."""
        rest_KN = self.rest_MN.sort(0, descending=True).values[:size]
        if self.rule.is_mean:
            return rest_KN.sum(0) / size < -self.tolerance_N(size)
        pivot_KN = self.pivot_MN.sort(0).values[:size]
        rest_N, pivot_N = (self.rule.combine(x.unsqueeze(-1)).squeeze(-1) for x in (rest_KN, pivot_KN))
        return rest_N < pivot_N - self.tolerance_N(size)

    def first(self, rows_U: Tensor) -> Shortlist:
        """The classes with the largest sums of values."""
        num_classes = self.total_NC.shape[1]
        listed_UP = self.total_NC[rows_U].topk(min(_FIRST, num_classes), sorted=False).indices
        return self._listed(rows_U, listed_UP.sort(-1).values)

    def can_win_UC(self, rows_U: Tensor, size: int, lowest_best_U: Tensor | None) -> Tensor:
        """The classes that can win, or come near it, under some ensemble of this size.

        Args:
            lowest_best_U: what the best class has under every ensemble; None: differences from the pivot
                decide, if `by_differences`.
        """
        limit_U = -self.tolerance_N(size)[rows_U]
        if lowest_best_U is not None:
            limit_U += lowest_best_U
        can_UC = torch.empty(len(rows_U), self.total_NC.shape[1], dtype=torch.bool, device=rows_U.device)
        height = chunk_length(self.total_NC[:1].nbytes, _BLOCK_BYTES)
        for low, high in spans(len(rows_U), height):
            values_MVC = self._relative_MNC.index_select(1, rows_U[low:high])
            if self.rule.is_mean and lowest_best_U is not None:
                values_MVC += self.pivot_MN[:, rows_U[low:high], None]
            largest = _largest_of(values_MVC, size)
            if self.rule.is_mean:
                bound_VC = largest[0]
                for values_VC in largest[1:]:
                    bound_VC += values_VC
                bound_VC /= size
            else:
                bound_VC = self.rule.combine(torch.stack(largest))
            torch.lt(bound_VC, limit_U[low:high].unsqueeze(1), out=can_UC[low:high])
        return can_UC.logical_not_()

    def of(self, rows_U: Tensor, can_UC: Tensor, length: int) -> Shortlist:
        """The marked classes, at most `length` a sample."""
        samples_H, classes_H = can_UC.nonzero().unbind(1)
        starts_U = can_UC.new_zeros(len(rows_U), dtype=torch.int64)
        starts_U[1:] = torch.bincount(samples_H, minlength=len(rows_U)).cumsum(0)[:-1]
        place_H = torch.arange(len(samples_H), device=samples_H.device) - starts_U[samples_H]
        classes_UP = torch.full((len(rows_U), length), can_UC.shape[1], device=rows_U.device)
        classes_UP[samples_H, place_H] = classes_H
        return self._listed(rows_U, classes_UP)

    def _listed(self, rows_U: Tensor, classes_UP: Tensor) -> Shortlist:
        num_models, _, num_classes = self.values_MNC.shape
        is_none_UP = classes_UP == num_classes
        flat = (rows_U.unsqueeze(1) * num_classes + classes_UP.clamp(max=num_classes - 1)).flatten()
        values_MUP = self.values_MNC.flatten(1).index_select(1, flat).view(num_models, *classes_UP.shape)
        at_floor_MUP = values_MUP <= FLOOR
        values_MUP.masked_fill_(at_floor_MUP, 0)
        magnitude_U = values_MUP.abs().amax((0, 2))
        has_floor = bool((at_floor_MUP & ~is_none_UP).any())
        values_MUP.masked_fill_(at_floor_MUP | is_none_UP, FLOOR)
        return Shortlist(rows_U, classes_UP, values_MUP, magnitude_U, has_floor)


def _largest_of(values_MVC: Tensor, size: int) -> list[Tensor]:
    """The `size` elementwise largest of the members' values, descending; overwrites the values.

    nan where one is nan.
    """
    largest: list[Tensor] = []
    spare = torch.empty_like(values_MVC[0])
    for values_VC in values_MVC.unbind(0):
        rising = values_VC
        for held in largest[: size - 1]:
            torch.minimum(held, rising, out=spare)
            torch.maximum(held, rising, out=held)
            rising, spare = spare, rising
        if len(largest) < size:
            largest.append(rising)
            spare = torch.empty_like(spare)
        else:
            torch.maximum(largest[-1], rising, out=largest[-1])
    return largest
