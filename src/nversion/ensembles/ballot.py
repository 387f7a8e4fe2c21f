"""Every ensemble under plurality voting: at most M classes of a sample have a vote."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nversion.core import chunk_length, spans

from .consensus import PerClassRule
from .membership import Ensembles
from .tally import Tally
from .tile import Tile

_COUNTS_AT_ONCE = 1 << 20


class Ballots:
    """Each model's vote on a few samples; a model's own exact ties go to the lowest index.

    Attributes:
        votes_NM: the voted classes, ascending along the models.
        predicted_MN: the class each model votes for.
        num_ties_M: samples on which a model's two highest logits were equal.
    """

    def __init__(self, logits_MNC: Tensor) -> None:
        num_models, num_samples, _ = logits_MNC.shape
        highest_MNC = logits_MNC == logits_MNC.amax(-1, keepdim=True)
        hits_H3 = highest_MNC.nonzero()  # quicker than argmax, which is not vectorised on a CPU
        if len(hits_H3) == num_models * num_samples:
            self.predicted_MN = hits_H3[:, 2].view(num_models, num_samples)
            self.num_ties_M = torch.zeros(num_models, dtype=torch.int64, device=logits_MNC.device)
        else:
            self.predicted_MN = logits_MNC.argmax(-1)
            self.num_ties_M = (highest_MNC.sum(-1) > 1).sum(1)


class BallotWay:
    """For a vote with shared ties."""

    def __init__(self, rule: PerClassRule, ensembles: Sequence[Ensembles], device: torch.device) -> None:
        self.membership_ME = [of_size.membership_EM().T.contiguous().to(device) for of_size in ensembles]

    def add(self, tile: Tile, tallies: Sequence[Tally]) -> None:
        """Add every pair of the tile to its size's tally."""
        cast = Ballots(tile.logits_MNC)
        for membership_ME, tally in zip(self.membership_ME, tallies, strict=True):
            tally.open(tile)
            tally.member_ties(cast.num_ties_M)
            _add(cast, tile, membership_ME, tally)


def _add(ballots: Ballots, tile: Tile, membership_ME: Tensor, tally: Tally) -> None:
    """Tell `tally` about every pair.

    Counts are products of zeros and ones, exact in any precision. Samples are grouped by how many
    different classes have a vote: those with one are the same for all ensembles.
    """
    votes_NM = ballots.predicted_MN.T.sort(1).values
    new_NM = torch.ones_like(votes_NM, dtype=torch.bool)
    new_NM[:, 1:] = votes_NM[:, 1:] != votes_NM[:, :-1]
    num_classes_N = new_NM.sum(1)
    alone = (num_classes_N == 1).nonzero().squeeze(1)
    tally.same_for_all(alone, votes_NM[alone, 0])
    for num_voted in sorted(set(num_classes_N.tolist()) - {1}):
        rows_U = (num_classes_N == num_voted).nonzero().squeeze(1)
        classes_UV = votes_NM[rows_U][new_NM[rows_U]].view(-1, num_voted)
        for_class_VUM = (ballots.predicted_MN.T[rows_U] == classes_UV.T.unsqueeze(-1)).to(membership_ME.dtype)
        at_once = min(_COUNTS_AT_ONCE, tile.budget_bytes // 64)
        width = chunk_length(num_voted * len(rows_U), at_once, at_most=membership_ME.shape[1])
        for start, stop in spans(membership_ME.shape[1], width):
            span = slice(start, stop)
            height = chunk_length(num_voted * (stop - start), at_once, at_most=len(rows_U))
            for low, high in spans(len(rows_U), height):
                counts_VUE = for_class_VUM[:, low:high] @ membership_ME[:, span]
                _count(counts_VUE, rows_U[low:high], classes_UV[low:high], span, tile, tally)


def _count(
    counts_VUE: Tensor,
    rows_U: Tensor,
    classes_UV: Tensor,
    span: slice,
    tile: Tile,
    tally: Tally,
) -> None:
    most_UE = counts_VUE.amax(0)
    tied_VUE = counts_VUE == most_UE
    num_tied_UE = tied_VUE.sum(0)
    tally.num_ties_E[span] += (num_tied_UE > 1).sum(0)
    is_label_UV = classes_UV == tile.labels_N[rows_U].unsqueeze(1)
    if tile.draws_N is None:
        label_tied_UE = (tied_VUE & is_label_UV.T.unsqueeze(-1)).any(0)
        tally.grid(rows_U, span, label_tied_UE.double() / num_tied_UE)
        if tally.winners is None:
            return
        slots_UE = tied_VUE.int().argmax(0)
    else:
        nth_UE = (tile.draws_N[rows_U].unsqueeze(1) * num_tied_UE).long().minimum(num_tied_UE - 1)
        slots_UE = (tied_VUE.cumsum(0) == nth_UE + 1).int().argmax(0)
        tally.grid(rows_U, span, is_label_UV.gather(1, slots_UE))
    tally.grid_winners(rows_U, span, classes_UV.gather(1, slots_UE))
