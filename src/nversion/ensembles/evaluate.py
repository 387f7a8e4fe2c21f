"""How often every ensemble is right: one pass over the logits for all ensembles and consensus rules."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from nversion.core import UserError, chunk_length, generator, spans

from .ballot import BallotWay
from .chunk import Chunk
from .consensus import CONSENSUS, Consensus, PerClassRule, ballots
from .decision import shares_ties
from .membership import Ensembles
from .plain import PlainWay
from .shortlisting import Shortlisting
from .tally import CREDITS, Evaluation, Tally
from .tile import Tile

DEFAULT_BUDGET_BYTES = 256 << 20
_SAMPLES_AT_ONCE = 160  # of 14 models and 1000 classes: 9 MiB of logits, which stay in the cache


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
    >>> result["average"].accuracy.full_E.tolist(), result["vote"].accuracy.full_E.tolist()
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
    ((`num_blocks` + M) × E × 8 bytes a rule); neither the number of samples nor of ensembles adds to it.

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
    evaluator = Evaluator(
        ensembles,
        consensus,
        num_blocks,
        keep_winners=keep_winners,
        draw_seed=draw_seed,
        budget_bytes=budget_bytes,
    )
    for chunk in chunks:
        evaluator.update(chunk)
    return evaluator.result()


class Evaluator:
    """The stream behind `evaluate_sizes`, for a pass over the chunks that feeds other statistics too.

    Takes the arguments of `evaluate_sizes` but the chunks; `update` with each of those. `keep_winners` may
    name the rules whose winners are kept.
    """

    def __init__(
        self,
        ensembles: Sequence[Ensembles],
        consensus: Sequence[str],
        num_blocks: int,
        *,
        keep_winners: bool | Sequence[str] = False,
        draw_seed: int | None = None,
        budget_bytes: int = DEFAULT_BUDGET_BYTES,
    ) -> None:
        self.ensembles = ensembles
        self.num_blocks = num_blocks
        self.draw_seed = draw_seed
        self.budget_bytes = budget_bytes
        self._rules = {name: CONSENSUS[name] for name in consensus}
        kept = () if keep_winners is False else consensus if keep_winners is True else keep_winners
        self._keep_winners = {_deciding_part(self._rules[name]) for name in kept}
        self._workspace = torch.empty(0)
        self._ways: dict[object, _Way] = {}
        self._tallies: dict[object, list[Tally]] = {}

    def _start(self, device: torch.device) -> None:
        for rule in self._rules.values():
            # Rules that differ only in how they finish have the same winners: computed once, named each.
            part = _deciding_part(rule)
            self._ways[part] = _quickest_way(rule, self.ensembles, device)
            unit = CREDITS if shares_ties(rule) else 1
            kept = part in self._keep_winners
            self._tallies[part] = [
                Tally(len(of_size), of_size.num_models, self.num_blocks, kept, device, unit)
                for of_size in self.ensembles
            ]

    def update(self, chunk: Chunk) -> None:
        """Add the samples of a chunk.

        Raises:
            UserError: see `evaluate_sizes`.
        """
        _check(chunk, self.ensembles, self.num_blocks)
        if not self._ways:
            self._start(chunk.logits_MNC.device)
        num_models, num_samples, num_classes = chunk.logits_MNC.shape
        # A tile's logits, values, differences and copies, at most 8 bytes wide, take half of the budget.
        half = self.budget_bytes // 2
        right_NM = chunk.right_MN.T.to(torch.float64)
        length = chunk_length(64 * num_models * num_classes, half, at_most=_SAMPLES_AT_ONCE)
        dtype = torch.promote_types(chunk.logits_MNC.dtype, torch.float32)
        shape = (num_models, min(length, num_samples), num_classes)
        if self._workspace.numel() < math.prod(shape) or self._workspace.dtype != dtype:
            self._workspace = torch.empty(math.prod(shape), dtype=dtype, device=chunk.logits_MNC.device)
        for first, last in spans(num_samples, length):
            logits_MNC = chunk.logits_MNC[:, first:last].to(dtype).contiguous()
            _check_numbers(logits_MNC, chunk.start + first)
            tile = Tile(
                chunk.start + first,
                logits_MNC,
                self._workspace[: logits_MNC.numel()].view_as(logits_MNC),
                chunk.labels_N[first:last],
                chunk.blocks_N[first:last],
                right_NM[first:last],
                None if self.draw_seed is None else _draws(self.draw_seed, chunk, first, last),
                half,
            )
            for part, way in self._ways.items():
                way.add(tile, self._tallies[part])

    def take_winners(self, rule: str) -> list[Tensor]:
        """The winners of the samples since they were last taken, (N, E) for each size; they are forgotten.

        `rule` is one of those that `keep_winners` names.
        """
        return [tally.take_winners() for tally in self._tallies[_deciding_part(self._rules[rule])]]

    def result(self) -> list[dict[str, Evaluation]]:
        """The evaluation of everything seen so far: for each size, by the name of the rule."""
        if not self._ways:
            self._start(torch.device("cpu"))
        return [
            {name: self._tallies[_deciding_part(rule)][i].result(name) for name, rule in self._rules.items()}
            for i in range(len(self.ensembles))
        ]


class _Way(Protocol):
    """How a rule is computed for every ensemble."""

    def add(self, tile: Tile, tallies: Sequence[Tally]) -> None: ...


def _quickest_way(rule: Consensus, ensembles: Sequence[Ensembles], device: torch.device) -> _Way:
    if not isinstance(rule, PerClassRule):
        return PlainWay(rule, ensembles, device)
    if not shares_ties(rule):
        return Shortlisting(rule, ensembles, device)
    is_vote = rule.member_values is ballots and rule.is_mean
    return BallotWay(rule, ensembles, device) if is_vote else PlainWay(rule, ensembles, device)


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


def _check_numbers(logits_MNC: Tensor, start: int) -> None:
    # The maximum is nan where any logit is, +inf where any is, -inf where no class is possible.
    finite_MN = logits_MNC.amax(-1).isfinite()
    if not bool(finite_MN.all()):
        model, sample = (~finite_MN).nonzero()[0].tolist()
        highest = logits_MNC[model, sample].amax().item()
        raise UserError(
            expected="logits that are numbers, with a finite one in every row",
            found=f"a row with maximum {highest} of model {model} on sample {start + sample}",
            next_step="look at this model's outputs: a wrong preprocessing or an overflow in half precision",
        )


def _draws(seed: int, chunk: Chunk, first: int, last: int) -> Tensor:
    indices = range(chunk.start + first, chunk.start + last)
    values = [generator("shared tie", seed, index).random() for index in indices]
    return torch.tensor(values, dtype=torch.float64, device=chunk.labels_N.device)
