"""The few classes that can win, and a bound on all others: what makes every ensemble affordable.

For a monotone rule the members' maxima over a set of classes, combined, are at least the score of every
class of the set. So each sample gets a shortlist of P classes and one pseudo-class, "rest", that holds
each member's maximum over all other classes. Where the best of the shortlist is ahead of the rest by more
than rounding can explain, the winner is known from P + 1 columns instead of C. Which classes stand on the
list decides only how often that happens, never the result.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .consensus import PerClassRule
from .tile import Tile

FLOOR = -1e30
"""Stands for -inf, which a product with a membership of 0 would turn into nan."""


@dataclass(frozen=True)
class Shortlist:
    """P classes of each of U samples, and the rest.

    Attributes:
        rows_U: the samples, as rows of the tile.
        classes_UP: ascending, so that the first of equal scores is the lowest class.
        values_MUQ: the members' values of the P classes, then of the rest (Q = P + 1); at least `FLOOR`.
        magnitude_U: the largest absolute value above the floor: what rounding errors are measured by.
        has_floor: a value is at the floor.
    """

    rows_U: Tensor
    classes_UP: Tensor
    values_MUQ: Tensor
    magnitude_U: Tensor
    has_floor: bool

    def part(self, low: int, high: int) -> Shortlist:
        """The samples at positions `low` to `high` of this list."""
        if high - low == len(self.rows_U):
            return self
        return self.take(torch.arange(low, high, device=self.rows_U.device))

    def take(self, kept_V: Tensor) -> Shortlist:
        """The samples at positions `kept_V` of this list."""
        return Shortlist(
            self.rows_U[kept_V],
            self.classes_UP[kept_V],
            self.values_MUQ.index_select(1, kept_V),
            self.magnitude_U[kept_V],
            self.has_floor,
        )


class Shortlister:
    """The members' values of a tile's samples, and how promising each class is; uses the tile's workspace.

    Memory: the tile's logits once more where the rule's values are not the logits, and a copy of those of
    the samples asked for.
    """

    def __init__(self, rule: PerClassRule, tile: Tile) -> None:
        self.values_MNC = rule.member_values(tile.logits_MNC).contiguous()
        self.highest_MN = self.values_MNC.amax(-1)
        self.deficits_MNC = tile.workspace_MNC
        torch.sub(self.values_MNC, self.highest_MN.unsqueeze(-1), out=self.deficits_MNC)
        # A class wins where it is close to the top of all members, or at the top of some: measured on
        # real logits, the sum of both leaves fewer samples open than either, for two to five members.
        self.promise_NC = self.deficits_MNC.amax(0) + self.deficits_MNC.mean(0)

    def list(self, rows_U: Tensor, length: int) -> Shortlist:
        """The `length` most promising classes of these samples."""
        num_models, num_samples, num_classes = self.values_MNC.shape
        whole = len(rows_U) == num_samples
        promise_UC = self.promise_NC if whole else self.promise_NC.index_select(0, rows_U)
        if length == 1:
            classes_UP = promise_UC.max(-1, keepdim=True).indices
        else:
            chosen_UP = promise_UC.topk(min(length, num_classes), sorted=False).indices
            classes_UP = chosen_UP.sort(-1).values
        index_MUP = classes_UP.expand(num_models, *classes_UP.shape)
        flat = (rows_U.unsqueeze(1) * num_classes + classes_UP).flatten()
        listed_MUP = self.values_MNC.flatten(1).index_select(1, flat).view(index_MUP.shape)
        if whole:
            taken_MUP = self.deficits_MNC.gather(2, index_MUP)
            rest_MU = self.deficits_MNC.scatter_(2, index_MUP, -torch.inf).amax(-1)
            self.deficits_MNC.scatter_(2, index_MUP, taken_MUP)
            rest_MU += self.highest_MN
        else:
            rest_MU = self.deficits_MNC.index_select(1, rows_U).scatter_(2, index_MUP, -torch.inf).amax(-1)
            rest_MU += self.highest_MN.index_select(1, rows_U)
        values_MUQ = torch.cat([listed_MUP, rest_MU.unsqueeze(-1)], -1)
        at_floor_MUQ = values_MUQ <= FLOOR
        magnitude_U = values_MUQ.masked_fill(at_floor_MUQ, 0).abs().amax((0, 2))
        has_floor = bool(at_floor_MUQ.any())
        return Shortlist(rows_U, classes_UP, values_MUQ.clamp_(min=FLOOR), magnitude_U, has_floor)
