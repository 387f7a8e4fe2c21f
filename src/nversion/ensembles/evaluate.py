"""How often every ensemble is right: one pass over the logits for all ensembles and consensus rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from nversion.core import UserError, chunk_length, generator, spans

from .ballot import Ballots, evaluate_ballots
from .chunk import Chunk
from .consensus import CONSENSUS, Consensus, PerClassRule, at_least_float32, ballots
from .decision import decide, shares_ties
from .membership import Ensembles
from .monotone import Scorer, evaluate_tile
from .shortlist import Tile
from .tally import Evaluation, Tally

DEFAULT_BUDGET_BYTES = 256 << 20
_SAMPLES_AT_ONCE = 64  # of 14 models and 1000 classes: 3.4 MiB of logits, which stay in the cache


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
    first_of: dict[object, str] = {}
    for name, rule in rules.items():
        first_of.setdefault(_deciding_part(rule), name)
    runs: list[_Run] | None = None
    for chunk in chunks:
        _check(chunk, ensembles, num_blocks)
        if runs is None:
            device = chunk.logits_MNC.device
            runs = [
                _Run(rules[name], ensembles, num_blocks, keep_winners, device) for name in first_of.values()
            ]
        draws_N = None if draw_seed is None else _draws(chunk, draw_seed)
        num_models, num_samples, num_classes = chunk.logits_MNC.shape
        # A tile's logits, values, deficits and their copies, at most 8 bytes wide, in half of the budget.
        length = chunk_length(64 * num_models * num_classes, budget_bytes // 2, at_most=_SAMPLES_AT_ONCE)
        for first, last in spans(num_samples, length):
            logits_MNC = at_least_float32(chunk.logits_MNC[:, first:last])
            for run in runs:
                for tally in run.tallies:
                    tally.open_tile(
                        chunk.start + first, chunk.labels_N[first:last], chunk.blocks_N[first:last]
                    )
                run.add(logits_MNC, None if draws_N is None else draws_N[first:last], budget_bytes // 2)
    if runs is None:
        runs = [
            _Run(rules[name], ensembles, num_blocks, keep_winners, torch.device("cpu"))
            for name in first_of.values()
        ]
    run_of = dict(zip(first_of, runs, strict=True))
    return [
        {name: run_of[_deciding_part(rule)].tallies[i].result(name) for name, rule in rules.items()}
        for i in range(len(ensembles))
    ]


class _Run:
    """One rule on its way through the samples, with a tally for each size."""

    def __init__(
        self,
        rule: Consensus,
        ensembles: Sequence[Ensembles],
        num_blocks: int,
        keep_winners: bool,
        device: torch.device,
    ) -> None:
        self.rule = rule
        self.ensembles = ensembles
        self.tallies = [Tally(len(of_size), num_blocks, keep_winners, device) for of_size in ensembles]
        if isinstance(rule, PerClassRule):
            self.scorers = [Scorer(rule, of_size, device) for of_size in ensembles]
            self.membership = [of_size.membership_EM().T.contiguous().to(device) for of_size in ensembles]

    def add(self, logits_MNC: Tensor, draws_N: Tensor | None, budget_bytes: int) -> None:
        """Add a tile of samples: by the quickest way that the rule allows."""
        if isinstance(self.rule, PerClassRule) and self.rule.member_values is ballots and self.rule.is_mean:
            votes = Ballots(logits_MNC)
            for of_size, membership_ME, tally in zip(
                self.ensembles, self.membership, self.tallies, strict=True
            ):
                tally.member_ties(votes.num_ties_M)
                evaluate_ballots(votes, of_size, membership_ME, tally, draws_N, budget_bytes)
        elif isinstance(self.rule, PerClassRule) and not shares_ties(self.rule):
            tile = Tile(self.rule, logits_MNC)
            for scorer, tally in zip(self.scorers, self.tallies, strict=True):
                evaluate_tile(tile, logits_MNC, scorer, tally, budget_bytes)
        else:
            for of_size, tally in zip(self.ensembles, self.tallies, strict=True):
                evaluate_plainly(self.rule, logits_MNC, of_size, tally, draws_N, budget_bytes)


def evaluate_plainly(
    rule: Consensus,
    logits_MNC: Tensor,
    ensembles: Ensembles,
    tally: Tally,
    draws_N: Tensor | None,
    budget_bytes: int,
) -> None:
    """Every class of every member, as many (sample, ensemble) pairs at once as fit the budget."""
    _, num_samples, num_classes = logits_MNC.shape
    members_KE = ensembles.members_EK.T.to(logits_MNC.device)
    at_once = chunk_length(32 * (ensembles.size + 1) * num_classes, budget_bytes)
    for low, high in spans(num_samples * len(ensembles), at_once):
        pairs_R = torch.arange(low, high, device=logits_MNC.device)
        rows_R, ensembles_R = pairs_R // len(ensembles), pairs_R % len(ensembles)
        logits_KRC = logits_MNC[members_KE[:, ensembles_R], rows_R]
        draws_R = None if draws_N is None else draws_N[rows_R]
        decisions = decide(rule, logits_KRC, tally.labels_N[rows_R], draws_R)
        tally.pairs(rows_R, ensembles_R, decisions, list_near=not shares_ties(rule))


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
