"""The sums of an evaluation: what is added for each sample, and what they come to."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from .decision import Decisions
from .replicates import Replicated
from .tile import Tile

MOST_LISTED = 1000
"""So many near ties of a rule are listed; all are counted."""
CREDITS = 232_792_560
"""Of a right answer: the least common multiple of 1 to 20.

The label's share of a tie of up to 20 classes is then a whole number, sums over images are exact in float64
(up to 38 million images), and what is equal in counts is equal in numbers. A share among more classes, which
takes as many members, is rounded to a whole number.
"""


@dataclass
class Evaluation:
    """How often each of E ensembles was right under one consensus rule; sums over the samples seen.

    Attributes:
        consensus: name of the rule.
        credits_BE: float64 whole numbers: `CREDITS` times the expected number of right samples in each block.
        count_B: float64 number of samples in each block.
        credits_with_model_EM: the same of the samples on which the ensemble and model m are both right;
            what either of them gets right alone follows from it.
        num_ties_E: int64 samples on which the two highest scores of the ensemble were equal.
        near_ties: (ensemble, sample) pairs decided by less than 1e-5, exact ties among them, at most
            `MOST_LISTED`; empty for a rule that shares ties, whose scores rounding cannot turn.
        num_near_ties: how many there were in all.
        num_member_ties_M: for a vote, the samples on which a model's own two highest logits were equal.
        winners_NE: the winning classes, where they were asked for.
    """

    consensus: str
    credits_BE: Tensor
    count_B: Tensor
    credits_with_model_EM: Tensor
    num_ties_E: Tensor
    near_ties: list[tuple[int, int]] = field(default_factory=list)
    num_near_ties: int = 0
    num_member_ties_M: Tensor | None = None
    winners_NE: Tensor | None = None

    @property
    def correct_BE(self) -> Tensor:
        """Expected number of right samples in each block: for a sum, add `credits_BE` and divide once."""
        return self.credits_BE / CREDITS

    @property
    def right_with_model_EM(self) -> Tensor:
        """Expected number of samples on which the ensemble and model m are both right."""
        return self.credits_with_model_EM / CREDITS

    @property
    def accuracy(self) -> Replicated:
        """Accuracy of each ensemble; nan where no sample was seen, or none is left."""
        total_E, count = self.credits_BE.sum(0), self.count_B.sum()
        left_B1 = ((count - self.count_B) * CREDITS).unsqueeze(1)
        return Replicated(total_E / (count * CREDITS), (total_E - self.credits_BE) / left_B1)


class Tally:
    """The running sums of one rule over E ensembles of one size, on the device of the logits.

    Samples are named by their row in the tile in hand, which `open` announces. All sums are of whole
    numbers, and exact.

    Args:
        unit: credits of a right answer while adding up: 1 for a rule that shares no ties, else `CREDITS`.
    """

    def __init__(
        self,
        num_ensembles: int,
        num_models: int,
        num_blocks: int,
        keep_winners: bool,
        device: torch.device,
        unit: int = CREDITS,
    ) -> None:
        self.unit = unit
        self.credits_BE = torch.zeros(num_blocks, num_ensembles, dtype=torch.float64, device=device)
        self.correct_by_all_B = torch.zeros(num_blocks, dtype=torch.float64, device=device)
        self.count_B = torch.zeros(num_blocks, dtype=torch.float64, device=device)
        self.with_model_EM = torch.zeros(num_ensembles, num_models, dtype=torch.float64, device=device)
        self.by_all_with_model_M = torch.zeros(num_models, dtype=torch.float64, device=device)
        self.num_ties_E = torch.zeros(num_ensembles, dtype=torch.int64, device=device)
        self.near_ties: list[tuple[int, int]] = []
        self.num_near_ties = 0
        self.num_member_ties_M: Tensor | None = None
        self.winners: list[Tensor] | None = [] if keep_winners else None

    def open(self, tile: Tile) -> None:
        """Begin with the samples of a tile; every (sample, ensemble) pair of it is to be told once."""
        self.tile = tile
        self.count_B.index_add_(0, tile.blocks_N, torch.ones_like(tile.blocks_N, dtype=torch.float64))
        if self.winners is not None:
            shape = (len(tile.labels_N), len(self.num_ties_E))
            self.winners.append(torch.full(shape, -1, dtype=torch.int64, device=tile.labels_N.device))

    def same_for_all(self, rows_U: Tensor, winners_U: Tensor) -> None:
        """All ensembles agree on these samples, without a tie."""
        right_U = (winners_U == self.tile.labels_N[rows_U]).double()
        self.correct_by_all_B.index_add_(0, self.tile.blocks_N[rows_U], right_U)  # of ones: exact
        self.by_all_with_model_M += right_U @ self.tile.right_NM[rows_U]
        if self.winners is not None:
            self.winners[-1][rows_U] = winners_U.unsqueeze(1)

    def grid(self, rows_U: Tensor, span: slice, right_UE: Tensor) -> None:
        """The probability to be right of these samples and ensembles; 0 where `pairs` tells it."""
        blocks_U = self.tile.blocks_N[rows_U]
        right_UE = self._credits(right_UE)
        self.credits_BE[:, span].index_add_(0, blocks_U, right_UE)
        self.with_model_EM[span] += right_UE.T @ self.tile.right_NM[rows_U]

    def grid_winners(self, rows_U: Tensor, span: slice, winners_UE: Tensor) -> None:
        """The winners of the same pairs; those told by `pairs` are overwritten by it."""
        if self.winners is not None:
            self.winners[-1][rows_U, span] = winners_UE

    def pairs(self, rows_R: Tensor, ensembles_R: Tensor, decisions: Decisions, *, list_near: bool) -> None:
        """Single (sample, ensemble) pairs, decided plainly."""
        where = (self.tile.blocks_N[rows_R], ensembles_R)
        credits_R = self._credits(decisions.right_R)
        self.credits_BE.index_put_(where, credits_R, accumulate=True)
        together_RM = credits_R.unsqueeze(1) * self.tile.right_NM[rows_R]
        self.with_model_EM.index_add_(0, ensembles_R, together_RM)
        self.num_ties_E.index_add_(0, ensembles_R, decisions.tied_R.long())
        if self.winners is not None:
            self.winners[-1][rows_R, ensembles_R] = decisions.winners_R
        if list_near:
            near = decisions.near_R.nonzero().squeeze(1)
            self.num_near_ties += len(near)
            near = near[: max(0, MOST_LISTED - len(self.near_ties))]
            samples = (rows_R[near] + self.tile.start).tolist()
            self.near_ties += zip(ensembles_R[near].tolist(), samples, strict=True)

    def _credits(self, right: Tensor) -> Tensor:
        right = right.to(torch.float64)
        return right if self.unit == 1 else (right * self.unit).round_()

    def member_ties(self, num_ties_M: Tensor) -> None:
        """Add each model's own ties."""
        seen = self.num_member_ties_M
        self.num_member_ties_M = num_ties_M if seen is None else seen + num_ties_M

    def take_winners(self) -> Tensor:
        """The winners of the samples so far, (N, E), which are forgotten."""
        assert self.winners is not None
        taken_NE = torch.cat(self.winners)
        self.winners = []
        return taken_NE

    def result(self, name: str) -> Evaluation:
        """The evaluation so far, on the CPU."""
        member_ties = self.num_member_ties_M
        scale = CREDITS // self.unit
        return Evaluation(
            name,
            (self.credits_BE * scale + self.correct_by_all_B.unsqueeze(1) * CREDITS).cpu(),
            self.count_B.cpu().clone(),
            (self.with_model_EM * scale + self.by_all_with_model_M * CREDITS).cpu(),
            self.num_ties_E.cpu().clone(),
            sorted(self.near_ties),
            self.num_near_ties,
            None if member_ties is None else member_ties.cpu().clone(),
            torch.cat(self.winners).cpu() if self.winners else None,
        )
