"""Every ensemble under a monotone rule, from shortlists: few columns for most pairs, all for the rest."""

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
from .shortlist import FLOOR, Shortlist, Shortlister
from .tally import Tally
from .tile import Tile

SHORTLIST_LENGTHS = (8, 40)
"""Tried in turn for a sample. On 14 real models 9 of 10 samples need no more than the first, 99 of 100
no more than the second; the remaining pairs are computed in full."""

_SCORES_AT_ONCE = 1 << 20  # 4 MiB of float32: stays in the cache between the product and its maxima
_ROUNDINGS = 16 * 2.0**-24  # four times the error of two sums of float32, a member


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
        return NEAR + _ROUNDINGS * self.size * shortlist.magnitude_U

    def scores_QUE(self, values_MUQ: Tensor, span: slice) -> Tensor:
        """Scores of Q classes of U samples under a span of the ensembles."""
        if not self.rule.is_mean:
            values_MQU = values_MUQ.transpose(1, 2).contiguous()
            members_KE = self.members_KE[:, span]
            values_FX = values_MQU.flatten(1).index_select(0, members_KE.flatten())
            scores = self.rule.combine(values_FX.view(*members_KE.shape, -1))  # K × E × QU, class by class
            return scores.view(members_KE.shape[1], *values_MQU.shape[1:]).permute(1, 2, 0).contiguous()
        values_QUM = values_MUQ.permute(2, 1, 0).contiguous()
        shares_ME = self.shares_ME[:, span].to(values_QUM.dtype)
        if self._exact_enough is not False:
            scores_QUE = values_QUM @ shares_ME
            if self._exact_enough is None:
                # A process may have set its float32 products to TF32 or bfloat16; the ways to ask differ
                # between versions and devices, so a part of the first product is checked.
                part_QVM, part_MF = values_QUM[:, :8].double(), shares_ME[:, :64].double()
                error_QVF = (scores_QUE[:, :8, :64] - part_QVM @ part_MF).abs_()
                limit_QV1 = _ROUNDINGS * self.size * part_QVM.abs().amax(-1, keepdim=True)
                self._exact_enough = bool((error_QVF <= limit_QV1).all())
        if not self._exact_enough:
            scores_QUE = (values_QUM.double() @ shares_ME.double()).to(values_QUM.dtype)
        return scores_QUE


class MonotoneWay:
    """For rules that decide class by class and are monotone."""

    def __init__(self, rule: PerClassRule, ensembles: Sequence[Ensembles], device: torch.device) -> None:
        self.rule = rule
        self.scorers = [Scorer(rule, of_size, device) for of_size in ensembles]

    def add(self, tile: Tile, tallies: Sequence[Tally]) -> None:
        """Tell each size's tally about every pair of the tile."""
        shortlister = Shortlister(self.rule, tile)
        for scorer, tally in zip(self.scorers, tallies, strict=True):
            _add(shortlister, tile, scorer, tally)


def _add(shortlister: Shortlister, tile: Tile, scorer: Scorer, tally: Tally) -> None:
    rows_U = torch.arange(len(tile.labels_N), device=scorer.device)
    if scorer.rule.is_mean:
        rows_U = _settle_for_all(shortlister, rows_U, scorer, tally)
    if not len(rows_U):
        return
    # Columns cost little under a mean, whose clear samples are settled by now.
    shortest, *longer = SHORTLIST_LENGTHS if scorer.rule.is_mean else (2, *SHORTLIST_LENGTHS)
    first = shortlister.list(rows_U, shortest)
    # A mean has a score for each column; other rules first gather the members' values and may sort them.
    columns = first.values_MUQ.shape[2] * (1 if scorer.rule.is_mean else 4 * scorer.size)
    at_once = min(_SCORES_AT_ONCE, tile.budget_bytes // 32)
    width = chunk_length(columns * len(rows_U), at_once, at_most=scorer.num_ensembles)
    for start, stop in spans(scorer.num_ensembles, width):
        height = chunk_length(columns * (stop - start), at_once, at_most=len(rows_U))
        for low, high in spans(len(rows_U), height):
            task = _Task(tile, scorer, tally, slice(start, stop))
            open_U = _settle(task, first.part(low, high), last=not longer)
            for length in longer:
                if not len(open_U):
                    break
                open_U = _settle(task, shortlister.list(open_U, length), last=length == longer[-1])


@dataclass(frozen=True)
class _Task:
    """A span of the ensembles, on a tile."""

    tile: Tile
    scorer: Scorer
    tally: Tally
    span: slice


def _settle_for_all(shortlister: Shortlister, rows_N: Tensor, scorer: Scorer, tally: Tally) -> Tensor:
    """Settle the samples that one class wins under every ensemble; return the others.

    Of a mean, the narrowest lead of a class over the rest is that of the K members with the smallest
    leads: sorting M numbers answers for all ensembles.
    """
    lone = shortlister.list(rows_N, 1)
    lead_MN = (lone.values_MUQ[..., 0] - lone.values_MUQ[..., 1]).sort(0).values
    settled_N = lead_MN[: scorer.size].mean(0) > scorer.tolerance_U(lone)
    settled_rows = settled_N.nonzero().squeeze(1)
    tally.same_for_all(settled_rows, lone.classes_UP[settled_rows, 0])
    return (~settled_N).nonzero().squeeze(1)


def _settle(task: _Task, shortlist: Shortlist, *, last: bool) -> Tensor:
    """Settle samples under a span of ensembles; return the rows of those left open.

    A sample is left open where for some ensemble a class outside the list may win; with `last` none is,
    and such pairs are decided from all classes.
    """
    scorer, tally, span = task.scorer, task.tally, task.span
    scores_QUE = scorer.scores_QUE(shortlist.values_MUQ, span)
    *listed, rest_UE = scores_QUE.unbind(0)
    best_UE, second_UE = _two_highest(listed)
    limit_UE = best_UE - scorer.tolerance_U(shortlist).unsqueeze(1)
    if shortlist.has_floor:
        limit_UE.masked_fill_(best_UE < FLOOR / 1e4, -torch.inf)  # every class is impossible for a member
    open_UE = rest_UE >= limit_UE
    is_open_U = open_UE.any(1) & (not last)
    open_rows = shortlist.rows_U[is_open_U]
    if len(open_rows):
        kept = (~is_open_U).nonzero().squeeze(1)
        if not len(kept):
            return open_rows
        shortlist = shortlist.take(kept)
        scores_QUE = scores_QUE.index_select(1, kept)
        best_UE, second_UE, limit_UE, open_UE = (
            table_UE.index_select(0, kept) for table_UE in (best_UE, second_UE, limit_UE, open_UE)
        )
    close_UE = second_UE >= limit_UE
    plain_UE = close_UE | open_UE if last else close_UE

    is_label_UP = shortlist.classes_UP == task.tile.labels_N[shortlist.rows_U].unsqueeze(1)
    slot_U = is_label_UP.int().argmax(1)
    of_label_UE = scores_QUE[slot_U, torch.arange(len(slot_U), device=slot_U.device)]
    right_UE = (of_label_UE == best_UE) & is_label_UP.any(1, keepdim=True)
    if bool(plain_UE.any()):
        right_UE &= ~plain_UE
    tally.grid(shortlist.rows_U, span, right_UE)
    if tally.winners is not None:
        slots_UE = scores_QUE[:-1].argmax(0)
        tally.grid_winners(shortlist.rows_U, span, shortlist.classes_UP.gather(1, slots_UE))
    _decide_pairs(task, shortlist.rows_U, plain_UE)
    return open_rows


def _two_highest(listed: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The elementwise highest and second highest; -inf is second where there is one."""
    best, second = listed[0].clone(), torch.full_like(listed[0], -torch.inf)
    lower = torch.empty_like(best)
    for scores in listed[1:]:
        torch.minimum(best, scores, out=lower)
        torch.maximum(second, lower, out=second)
        torch.maximum(best, scores, out=best)
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
