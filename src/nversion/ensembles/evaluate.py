"""How often every ensemble is right: one pass over the logits for all ensembles and consensus rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nversion.core import UserError, chunk_length, generator, spans

from .chunk import Chunk
from .consensus import CONSENSUS, Consensus, PerClassRule
from .decision import Decisions, decide, shares_ties
from .membership import Ensembles

DEFAULT_BUDGET_BYTES = 256 << 20
MOST_LISTED = 1000
"""So many near ties of a rule are listed; all are counted."""


@dataclass
class Evaluation:
    """How often each of E ensembles was right under one consensus rule; sums over the samples seen.

    Attributes:
        consensus: name of the rule.
        correct_BE: float64 expected number of right samples in each block. An integer unless ties are shared.
        count_B: float64 number of samples in each block.
        num_ties_E: int64 samples on which the two highest scores of the ensemble were equal.
        near_ties: (ensemble, sample) pairs decided by less than 1e-5, exact ties among them, at most
            `MOST_LISTED`; empty for a rule that shares ties, which rounding cannot turn.
        num_near_ties: how many there were in all.
        winners_NE: the winning classes, where they were asked for.
    """

    consensus: str
    correct_BE: Tensor
    count_B: Tensor
    num_ties_E: Tensor
    near_ties: list[tuple[int, int]] = field(default_factory=list)
    num_near_ties: int = 0
    winners_NE: Tensor | None = None

    @property
    def accuracy_E(self) -> Tensor:
        """Accuracy of each ensemble; nan when no sample was seen."""
        return self.correct_BE.sum(0) / self.count_B.sum()

    @property
    def leave_one_out_BE(self) -> Tensor:
        """Accuracy of each ensemble without the samples of one block; nan when nothing is left."""
        left_B = self.count_B.sum() - self.count_B
        return (self.correct_BE.sum(0) - self.correct_BE) / left_B.unsqueeze(1)


def evaluate(
    chunks: Iterable[Chunk],
    ensembles: Ensembles,
    consensus: Sequence[str],
    num_blocks: int,
    *,
    keep_winners: bool = False,
    draw_seed: int | None = None,
    budget_bytes: int = DEFAULT_BUDGET_BYTES,
) -> dict[str, Evaluation]:
    """Evaluate ensembles of one size; see `evaluate_sizes`.

    >>> logits_MNC = torch.tensor([[[2.0, 0.0]], [[0.0, 3.0]], [[0.0, 1.0]]])
    >>> chunk = Chunk(0, logits_MNC, torch.tensor([1]), torch.tensor([0]))
    >>> result = evaluate([chunk], Ensembles.all_of(3, 2), ["average", "vote"], num_blocks=1)
    >>> result["average"].accuracy_E.tolist(), result["vote"].accuracy_E.tolist()
    ([1.0, 0.0, 1.0], [0.5, 0.5, 1.0])
    """
    return evaluate_sizes(
        chunks,
        [ensembles],
        consensus,
        num_blocks,
        keep_winners=keep_winners,
        draw_seed=draw_seed,
        budget_bytes=budget_bytes,
    )[0]


def evaluate_sizes(
    chunks: Iterable[Chunk],
    ensembles: Sequence[Ensembles],
    consensus: Sequence[str],
    num_blocks: int,
    *,
    keep_winners: bool = False,
    draw_seed: int | None = None,
    budget_bytes: int = DEFAULT_BUDGET_BYTES,
) -> list[dict[str, Evaluation]]:
    """Evaluate every ensemble under every rule in one pass over the chunks; one result for each size.

    The winner of an ensemble is the one of the rule on its members' logits, on every sample.
    Memory: `budget_bytes` for intermediate results, beside the chunk in hand and the sums
    (`num_blocks` × E × 8 bytes a rule); neither the number of samples nor of ensembles adds to it.

    Args:
        chunks: the logits; the models stand in the order of the member indices.
        ensembles: one entry for each size.
        consensus: names in `CONSENSUS`.
        num_blocks: B; the chunks' block indices are below it.
        keep_winners: keep the winner of every pair (8 bytes for each of N × E).
        draw_seed: settle shared ties by a draw seeded by it and the sample's index, the same for all
            ensembles, instead of counting the expected accuracy.
        budget_bytes: for intermediate results.

    Raises:
        UserError: an unknown rule, models that do not fit the ensembles, a logit that is not a number,
            a label or block out of range.
    """
    rules = {name: CONSENSUS[name] for name in consensus}
    # Rules that differ only in how they finish have the same winners: computed once, named each.
    groups: dict[object, list[str]] = {}
    for name, rule in rules.items():
        groups.setdefault(_deciding_part(rule), []).append(name)
    tallies = [
        {names[0]: _Tally(len(of_size), num_blocks, keep_winners) for names in groups.values()}
        for of_size in ensembles
    ]
    for chunk in chunks:
        _check(chunk, ensembles, num_blocks)
        draws_N = None if draw_seed is None else _draws(chunk, draw_seed)
        for of_size, tally_of in zip(ensembles, tallies, strict=True):
            for name, tally in tally_of.items():
                _evaluate_plainly(rules[name], chunk, of_size, tally, draws_N, budget_bytes)
    first_of = {name: names[0] for names in groups.values() for name in names}
    return [
        {name: tally_of[first_of[name]].result(name, not shares_ties(rules[name])) for name in consensus}
        for tally_of in tallies
    ]


def _deciding_part(rule: Consensus) -> object:
    return (rule.member_values, rule.combine, rule.ties) if isinstance(rule, PerClassRule) else rule


def _check(chunk: Chunk, ensembles: Sequence[Ensembles], num_blocks: int) -> None:
    num_models, num_samples, num_classes = chunk.logits_MNC.shape
    for of_size in ensembles:
        if of_size.num_models != num_models:
            raise UserError(
                expected=f"logits of {of_size.num_models} models, as the ensembles were drawn from",
                found=f"logits of {num_models}",
                next_step="build the ensembles from the models of these predictions",
            )
    # The maximum is nan where any logit is, +inf where any is, -inf where no class is possible.
    maxima_MN = chunk.logits_MNC.amax(-1)
    if not bool(maxima_MN.isfinite().all()):
        model, sample = (~maxima_MN.isfinite()).nonzero()[0].tolist()
        where = f"of model {model} on sample {chunk.start + sample}"
        raise UserError(
            expected="logits that are numbers, with a finite one in every row",
            found=f"a row with maximum {maxima_MN[model, sample].item()} {where}",
            next_step="look at this model's outputs: a wrong preprocessing or an overflow in half precision",
        )
    for what, values_N, limit in (
        ("labels", chunk.labels_N, num_classes),
        ("blocks", chunk.blocks_N, num_blocks),
    ):
        if num_samples and not 0 <= int(values_N.min()) <= int(values_N.max()) < limit:
            outside = values_N[(values_N < 0) | (values_N >= limit)][0]
            raise UserError(
                expected=f"{what} from 0 to {limit - 1}",
                found=str(int(outside)),
                next_step="check that labels and predictions are of one label space and one condition",
            )


def _draws(chunk: Chunk, seed: int) -> Tensor:
    first = chunk.start
    values = [generator("shared tie", seed, first + i).random() for i in range(len(chunk.labels_N))]
    return torch.tensor(values, dtype=torch.float64, device=chunk.labels_N.device)


class _Tally:
    """The running sums of one rule over ensembles of one size."""

    def __init__(self, num_ensembles: int, num_blocks: int, keep_winners: bool) -> None:
        self.correct_BE = torch.zeros(num_blocks, num_ensembles, dtype=torch.float64)
        self.count_B = torch.zeros(num_blocks, dtype=torch.float64)
        self.num_ties_E = torch.zeros(num_ensembles, dtype=torch.int64)
        self.near_ties: list[tuple[int, int]] = []
        self.num_near_ties = 0
        self.winners: list[Tensor] | None = [] if keep_winners else None

    def result(self, name: str, list_near: bool) -> Evaluation:
        return Evaluation(
            name,
            self.correct_BE.clone(),
            self.count_B.clone(),
            self.num_ties_E.clone(),
            sorted(self.near_ties) if list_near else [],
            self.num_near_ties if list_near else 0,
            None if self.winners is None else torch.cat(self.winners),
        )

    def list_near(self, ensembles: Tensor, samples: Tensor) -> None:
        self.num_near_ties += len(ensembles)
        room = MOST_LISTED - len(self.near_ties)
        self.near_ties += zip(ensembles[:room].tolist(), samples[:room].tolist(), strict=True)


def _evaluate_plainly(
    rule: Consensus, chunk: Chunk, ensembles: Ensembles, tally: _Tally, draws_N: Tensor | None, budget: int
) -> None:
    """Every class of every member, as many (ensemble, sample) pairs at once as fit the budget."""
    _, num_samples, num_classes = chunk.logits_MNC.shape
    device = chunk.logits_MNC.device
    members_KE = ensembles.members_EK.T.to(device)
    # Members' logits, their values and a sorted or intermediate copy, all at most 8 bytes wide.
    pairs = chunk_length(32 * (ensembles.size + 1) * num_classes, budget)
    samples_at_once = min(num_samples, pairs)
    tally.count_B += torch.bincount(chunk.blocks_N.cpu(), minlength=len(tally.count_B))
    for first, last in spans(num_samples, max(1, samples_at_once)):
        logits_MnC = chunk.logits_MNC[:, first:last]
        width = last - first
        winners = []
        for start, stop in spans(len(ensembles), max(1, pairs // width)):
            logits_KRC = logits_MnC[members_KE[:, start:stop]].flatten(1, 2)
            decisions = decide(
                rule,
                logits_KRC,
                chunk.labels_N[first:last].repeat(stop - start),
                None if draws_N is None else draws_N[first:last].repeat(stop - start),
            )
            _record(decisions, chunk, tally, start, stop, first, last)
            if tally.winners is not None:
                winners.append(decisions.winners_R.view(stop - start, width).cpu())
        if tally.winners is not None:
            tally.winners.append(torch.cat(winners).T)


def _record(
    decisions: Decisions, chunk: Chunk, tally: _Tally, start: int, stop: int, first: int, last: int
) -> None:
    shape = (stop - start, last - first)
    right_NE = decisions.right_R.view(shape).T.cpu()
    tally.correct_BE[:, start:stop].index_add_(0, chunk.blocks_N[first:last].cpu(), right_NE)
    tally.num_ties_E[start:stop] += decisions.tied_R.view(shape).sum(1).cpu()
    near = decisions.near_R.view(shape).cpu().nonzero()
    if len(near):
        tally.list_near(near[:, 0] + start, near[:, 1] + first + chunk.start)
