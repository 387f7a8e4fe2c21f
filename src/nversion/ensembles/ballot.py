"""Every ensemble under plurality voting: at most M classes of a sample have a vote."""

from __future__ import annotations

import torch
from torch import Tensor

from nversion.core import chunk_length, spans

from .membership import Ensembles
from .tally import Tally

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


def evaluate_ballots(
    ballots: Ballots,
    ensembles: Ensembles,
    membership_ME: Tensor,
    tally: Tally,
    draws_N: Tensor | None,
    budget_bytes: int,
) -> None:
    """Tell `tally` about every (sample, ensemble) pair of a tile.

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
        at_once = min(_COUNTS_AT_ONCE, budget_bytes // 64)
        width = chunk_length(num_voted * len(rows_U), at_once, at_most=len(ensembles))
        for start, stop in spans(len(ensembles), width):
            span = slice(start, stop)
            height = chunk_length(num_voted * (stop - start), at_once, at_most=len(rows_U))
            for low, high in spans(len(rows_U), height):
                counts_VUE = for_class_VUM[:, low:high] @ membership_ME[:, span]
                draws_U = None if draws_N is None else draws_N[rows_U[low:high]]
                _count(counts_VUE, rows_U[low:high], classes_UV[low:high], span, tally, draws_U)


def _count(
    counts_VUE: Tensor,
    rows_U: Tensor,
    classes_UV: Tensor,
    span: slice,
    tally: Tally,
    draws_U: Tensor | None,
) -> None:
    most_UE = counts_VUE.amax(0)
    tied_VUE = counts_VUE == most_UE
    num_tied_UE = tied_VUE.sum(0)
    tally.num_ties_E[span] += (num_tied_UE > 1).sum(0)
    is_label_UV = classes_UV == tally.labels_N[rows_U].unsqueeze(1)
    if draws_U is None:
        label_tied_UE = (tied_VUE & is_label_UV.T.unsqueeze(-1)).any(0)
        tally.grid(rows_U, span, label_tied_UE.double() / num_tied_UE)
        if tally.winners is None:
            return
        slots_UE = tied_VUE.int().argmax(0)
    else:
        nth_UE = (draws_U.unsqueeze(1) * num_tied_UE).long().minimum(num_tied_UE - 1)
        slots_UE = (tied_VUE.cumsum(0) == nth_UE + 1).int().argmax(0)
        tally.grid(rows_U, span, is_label_UV.gather(1, slots_UE))
    tally.grid_winners(rows_U, span, classes_UV.gather(1, slots_UE))
