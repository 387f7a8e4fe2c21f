"""Every ensemble under a monotone rule, from the classes that can win."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from nversion.core import chunk_length, spans

from .consensus import PerClassRule
from .decision import NEAR, decide
from .membership import Ensembles
from .plain import bytes_per_pair
from .shortlist import FLOOR, HUGEST, ROUNDINGS, Shortlist, Shortlister
from .tally import Tally
from .tile import Tile

_SCORES_AT_ONCE = 1 << 19  # 2 MiB of float32: stays in the cache between the product and its maxima


class Scorer:
    """Scores of E ensembles from the members' values.

    A mean over the members is one matrix product with the membership matrix, for all ensembles.
    """

    def __init__(self, rule: PerClassRule, ensembles: Ensembles, device: torch.device) -> None:
        self.rule = rule
        self.size = ensembles.size
        self.num_ensembles = len(ensembles)
        self.ensembles = ensembles
        self.members_KE = ensembles.members_EK.T.contiguous().to(device)
        self.device = device
        self._exact_enough: bool | None = None

    @cached_property
    def shares_ME(self) -> Tensor:
        """Each member's weight in the mean."""
        return (self.ensembles.membership_EM(torch.float32).T / self.size).contiguous().to(self.device)

    def tolerance_U(self, shortlist: Shortlist) -> Tensor:
        """Scores further apart than this are neither a near tie nor one another's rounding error."""
        tolerance_U = NEAR + ROUNDINGS * self.size * shortlist.magnitude_U
        return tolerance_U.masked_fill_(shortlist.magnitude_U > HUGEST, torch.inf)

    def scores_PUE(self, values_MUP: Tensor, span: slice) -> Tensor:
        """Scores of P classes of U samples under a span of the ensembles."""
        if not self.rule.is_mean:
            values_MPU = values_MUP.transpose(1, 2).contiguous()
            members_KE = self.members_KE[:, span]
            values_FX = values_MPU.flatten(1).index_select(0, members_KE.flatten())
            scores = self.rule.combine(values_FX.view(*members_KE.shape, -1))  # K × E × PU, class by class
            return scores.view(members_KE.shape[1], *values_MPU.shape[1:]).permute(1, 2, 0).contiguous()
        values_PUM = values_MUP.permute(2, 1, 0).contiguous()
        shares_ME = self.shares_ME[:, span].to(values_PUM.dtype)
        if self._exact_enough is not False:
            scores_PUE = values_PUM @ shares_ME
            if self._exact_enough is None:
                # A process may have set its float32 products to TF32 or bfloat16; the ways to ask differ
                # between versions and devices, so a part of the first product is checked.
                part_PVM, part_MF = values_PUM[:, :8].double(), shares_ME[:, :64].double()
                error_PVF = (scores_PUE[:, :8, :64] - part_PVM @ part_MF).abs_()
                limit_PV1 = ROUNDINGS * self.size * part_PVM.abs().amax(-1, keepdim=True)
                self._exact_enough = bool((error_PVF <= limit_PV1).all())
        if not self._exact_enough:
            scores_PUE = (values_PUM.double() @ shares_ME.double()).to(values_PUM.dtype)
        return scores_PUE

    def lowest_best_U(self, shortlist: Shortlist, at_once: int) -> Tensor:
        """The best score of the listed classes, under the ensemble in which it is lowest."""
        columns = self.size * shortlist.classes_UP.numel()
        lowest_U = torch.full_like(shortlist.magnitude_U, torch.inf)
        for start, stop in spans(self.num_ensembles, chunk_length(columns, at_once)):
            scores_PUE = self.scores_PUE(shortlist.values_MUP, slice(start, stop))
            lowest_U = torch.minimum(lowest_U, scores_PUE.amax(0).amin(1))
        return lowest_U


class Shortlisting:
    """For rules that decide class by class and are monotone."""

    def __init__(self, rule: PerClassRule, ensembles: Sequence[Ensembles], device: torch.device) -> None:
        self.rule = rule
        self.scorers = [Scorer(rule, of_size, device) for of_size in ensembles]

    def add(self, tile: Tile, tallies: Sequence[Tally]) -> None:
        """Add every pair of the tile to its size's tally."""
        shortlister = Shortlister(self.rule, tile)
        for scorer, tally in zip(self.scorers, tallies, strict=True):
            tally.open(tile)
            _add(shortlister, tile, scorer, tally)


def _add(shortlister: Shortlister, tile: Tile, scorer: Scorer, tally: Tally) -> None:
    at_once = min(_SCORES_AT_ONCE, tile.budget_bytes // 32)
    is_settled_N = shortlister.is_settled_N(scorer.size)
    settled_rows = is_settled_N.nonzero().squeeze(1)
    tally.same_for_all(settled_rows, shortlister.pivot_N[settled_rows])
    rows_U = (~is_settled_N).nonzero().squeeze(1)
    if not len(rows_U):
        return
    lowest_best_U = None
    if not shortlister.by_differences:
        lowest_best_U = scorer.lowest_best_U(shortlister.first(rows_U), at_once)
    can_UC = shortlister.can_win_UC(rows_U, scorer.size, lowest_best_U)
    num_U, order_U = can_UC.sum(1).sort()
    # From the longest list on: a few samples whose lists are about equally long share a length.
    stop = len(rows_U)
    while stop:
        length = int(num_U[stop - 1])
        # A mean has a score for each column; other rules first gather the members' values.
        columns = length * (1 if scorer.rule.is_mean else scorer.size)
        start = stop - chunk_length(columns * scorer.num_ensembles, at_once, at_most=stop)
        part_V = order_U[start:stop]
        shortlist = shortlister.of(rows_U[part_V], can_UC[part_V], length)
        for first, last in spans(scorer.num_ensembles, chunk_length(columns * len(part_V), at_once)):
            _settle(_Task(tile, scorer, tally, slice(first, last)), shortlist)
        stop = start


@dataclass(frozen=True)
class _Task:
    """A span of the ensembles, on a tile."""

    tile: Tile
    scorer: Scorer
    tally: Tally
    span: slice


def _settle(task: _Task, shortlist: Shortlist) -> None:
    """Settle samples under a span of ensembles, given every class that can win."""
    scorer, tally, span = task.scorer, task.tally, task.span
    scores_PUE = scorer.scores_PUE(shortlist.values_MUP, span)
    best_UE, second_UE = _two_highest(scores_PUE.unbind(0))
    # Not below, rather than above or equal: sums that overflow leave nan.
    plain_UE = (second_UE < best_UE - scorer.tolerance_U(shortlist).unsqueeze(1)).logical_not_()
    if shortlist.has_floor:
        plain_UE |= best_UE < FLOOR / 1e4  # every class is impossible for a member

    is_label_UP = shortlist.classes_UP == task.tile.labels_N[shortlist.rows_U].unsqueeze(1)
    slot_U = is_label_UP.int().argmax(1)
    of_label_UE = scores_PUE[slot_U, torch.arange(len(slot_U), device=slot_U.device)]
    right_UE = (of_label_UE == best_UE) & is_label_UP.any(1, keepdim=True)
    is_plain = bool(plain_UE.any())
    if is_plain:
        right_UE &= ~plain_UE
    tally.grid(shortlist.rows_U, span, right_UE)
    if tally.winners is not None:
        slots_UE = (scores_PUE == best_UE).int().argmax(0)
        tally.grid_winners(shortlist.rows_U, span, shortlist.classes_UP.gather(1, slots_UE))
    if is_plain:
        _decide_pairs(task, shortlist.rows_U, plain_UE)


def _two_highest(scores: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The elementwise highest and second highest; -inf is second where there is one."""
    best, second = scores[0].clone(), torch.full_like(scores[0], -torch.inf)
    lower = torch.empty_like(best)
    for values in scores[1:]:
        torch.minimum(best, values, out=lower)
        torch.maximum(second, lower, out=second)
        torch.maximum(best, values, out=best)
    return best, second


def _decide_pairs(task: _Task, rows_U: Tensor, plain_UE: Tensor) -> None:
    """Decide the marked pairs by the plain rule on all classes, as many at once as fit the budget."""
    tile, scorer = task.tile, task.scorer
    positions_R, offsets_R = plain_UE.nonzero().unbind(1)
    rows_R, ensembles_R = rows_U[positions_R], offsets_R + task.span.start
    at_once = chunk_length(bytes_per_pair(scorer.size, tile.logits_MNC.shape[-1]), tile.budget_bytes)
    for low, high in spans(len(rows_R), at_once):
        rows, ensembles = rows_R[low:high], ensembles_R[low:high]
        logits_KRC = tile.members_logits(scorer.members_KE[:, ensembles], rows)
        decisions = decide(scorer.rule, logits_KRC, tile.labels_N[rows])
        task.tally.pairs(rows, ensembles, decisions, list_near=True)
