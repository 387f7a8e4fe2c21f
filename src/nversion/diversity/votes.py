"""How the members' votes fall: Shannon equitability, voters, agreement, identical wrong answers.

All of it is a function of one small thing, the split: how many members name each of the classes named,
and which of these classes are right. K members have few splits (10 for three, 36 for five), so the
number of samples with each split, per ensemble and block, holds every statistic of votes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from nversion.core import UserError, chunk_length, spans
from nversion.ensembles import Ensembles, Replicated

from .metric import metric
from .outputs import GROUP

Split = tuple[tuple[int, bool], ...]
"""(votes, right) of each class that has a vote; the votes descend and add up to K."""

Species = Literal["members", "classes", "observed"]
Where = Literal["all", "right", "wrong"]
Voter = Literal["majority", "unanimous"]

_DENSE_TABLE = 1 << 16
_PAIRS_AT_ONCE = 1 << 17


@cache
def splits(size: int) -> tuple[Split, ...]:
    """Every split of `size` votes; more than one class is right only where several labels are accepted.

    >>> splits(2)
    (((2, True),), ((2, False),), ((1, True), (1, True)), ((1, True), (1, False)), ((1, False), (1, False)))
    """
    return tuple(_splits(size, [(votes, right) for votes in range(size, 0, -1) for right in (True, False)]))


def _splits(size: int, classes: list[tuple[int, bool]]) -> Iterator[Split]:
    if size == 0:
        yield ()
    for i, (votes, right) in enumerate(classes):
        if votes <= size:
            for rest in _splits(size - votes, classes[i:]):
                yield ((votes, right), *rest)


def most_votes(split: Split) -> int:
    """The votes of the plurality."""
    return split[0][0]


def plurality_right(split: Split) -> float:
    """The probability that the plurality is right: tied classes win with equal probability.

    >>> plurality_right(((1, True), (1, False), (1, False)))
    0.3333333333333333
    """
    tied = [right for votes, right in split if votes == most_votes(split)]
    return sum(tied) / len(tied)


def plurality_wrong(split: Split) -> float:
    """The probability that the plurality is wrong."""
    return 1 - plurality_right(split)


def all_fail(split: Split) -> bool:
    """No member is right."""
    return not any(right for _, right in split)


def majority_fails(split: Split) -> bool:
    """More than half of the members are wrong, whatever they name: of two members, both."""
    return 2 * sum(votes for votes, right in split if not right) > sum(votes for votes, _ in split)


def identical_wrong(split: Split) -> bool:
    """At least two members, and at least half of all, name the same wrong class.

    >>> identical_wrong(((2, True), (2, False))), identical_wrong(((3, True), (2, False)))
    (True, False)
    """
    return any(votes >= 2 and 2 * votes >= _size(split) and not right for votes, right in split)


def vote_entropy(split: Split) -> float:
    """Shannon entropy of the shares of votes, in nats.

    >>> round(vote_entropy(((1, True), (1, False))), 4)
    0.6931
    """
    shares = [votes / _size(split) for votes, _ in split]
    return -sum(share * math.log(share) for share in shares) + 0.0


def _has_votes(split: Split, least: int) -> bool:
    return most_votes(split) >= least


def _wrong_with_votes(split: Split, least: int) -> float:
    return _has_votes(split, least) * plurality_wrong(split)


def _size(split: Split) -> int:
    return sum(votes for votes, _ in split)


class VoterOutcomes(NamedTuple):
    """Shares of samples; they add up to one.

    Attributes:
        right: enough members name one class, and it is right.
        safe_stop: no class has enough votes: the voter knows that it does not know.
        silent_wrong: enough members name one class, and it is wrong.
    """

    right: Replicated
    safe_stop: Replicated
    silent_wrong: Replicated


class Agreement(NamedTuple):
    """Risk and coverage where an ensemble answers only if at least a members name one class, a = 1 … K.

    Attributes:
        accepted_KE: float64 number of samples on which the plurality has at least a votes.
        wrong_KE: how many of them the plurality gets wrong, expected over ties.
        coverage: accepted / samples; of shapes (K, E) and (B, K, E).
        risk: wrong / accepted; nan where nothing is accepted.
    """

    accepted_KE: Tensor
    wrong_KE: Tensor
    coverage: Replicated
    risk: Replicated


@dataclass(frozen=True)
class VoteStatistics:
    """How many samples have each split of votes; add those of disjoint sets of samples with `+`.

    Attributes:
        size: K members.
        counts_BEQ: int32 number of samples of a block with split q of `splits(size)`.

    Memory: B × E × Q × 4 bytes, Q = 2, 5, 10, 20, 36, 65, 110 splits for K = 1 … 7.

    >>> predicted_MN = torch.tensor([[0, 1, 2], [0, 1, 3], [0, 2, 4]])
    >>> right_MN = predicted_MN == torch.tensor([0, 2, 4])
    >>> votes = VoteStatistics.of(predicted_MN, right_MN, torch.zeros(3).long(), 1, Ensembles.all_of(3, 3))
    >>> [round(share.full_E.item(), 3) for share in votes.voter("majority")]
    [0.333, 0.333, 0.333]
    >>> round(votes.shannon("all").full_E.item(), 4)  # (0 + 0.6365 + ln 3) / 3 / ln 3
    0.5265
    """

    size: int
    counts_BEQ: Tensor

    @classmethod
    def of(
        cls,
        predicted_MN: Tensor,
        right_MN: Tensor,
        blocks_N: Tensor,
        num_blocks: int,
        ensembles: Ensembles,
        *,
        budget_bytes: int = 64 << 20,
    ) -> VoteStatistics:
        """Count the splits of all ensembles on N samples.

        Args:
            predicted_MN: integer top class of each model.
            right_MN: bool, the top class is (one of) the accepted labels.
            blocks_N: int64 block of each sample, in 0 … num_blocks − 1.
            num_blocks: B.
            ensembles: E ensembles of K members.
            budget_bytes: for intermediate results, beside the counts.

        Raises:
            UserError: shapes or types that do not fit, or a class of a sample that is right for one
                model and wrong for another.
        """
        _check(predicted_MN, right_MN, blocks_N, num_blocks, ensembles)
        size, device = ensembles.size, predicted_MN.device
        reader = _SplitReader(size, device)
        num_splits = len(splits(size))
        members_KE = ensembles.members_EK.T.contiguous().to(device)
        predicted_MN, right_MN = predicted_MN.int(), right_MN.to(torch.uint8)
        shape = (num_blocks, len(ensembles), num_splits)
        counts_BEQ = torch.zeros(shape, dtype=torch.int32, device=device)
        # Of a pair: each member's class, right and votes; key, split and the place that is counted. Many
        # samples of few ensembles at once: then few places are counted, and all of it stays in the cache.
        at_once = min(_PAIRS_AT_ONCE, chunk_length(8 * size + 24, budget_bytes))
        length = chunk_length(1, at_once, at_most=max(1, len(blocks_N)))
        width = chunk_length(length, at_once, at_most=len(ensembles))
        for first, last in spans(len(blocks_N), length):
            classes, right = predicted_MN[:, first:last].contiguous(), right_MN[:, first:last].contiguous()
            first_place_N = (blocks_N[first:last] * num_splits).to(device)
            for start, stop in spans(len(ensembles), width):
                split_EN = reader.read(classes, right, members_KE[:, start:stop])
                first_place_E = torch.arange(stop - start, device=device) * (num_blocks * num_splits)
                place_EN = split_EN + first_place_N + first_place_E.unsqueeze(1)
                num_places = (stop - start) * num_blocks * num_splits
                counts_EBQ = place_EN.flatten().bincount(minlength=num_places)
                counts_EBQ = counts_EBQ.view(stop - start, num_blocks, num_splits)
                counts_BEQ[:, start:stop] += counts_EBQ.transpose(0, 1).int()
        return cls(size, counts_BEQ)

    def __add__(self, other: VoteStatistics) -> VoteStatistics:
        if self.counts_BEQ.shape != other.counts_BEQ.shape:
            raise UserError(
                expected=f"votes of the same blocks, ensembles and size, {tuple(self.counts_BEQ.shape)}",
                found=str(tuple(other.counts_BEQ.shape)),
                next_step="add votes of the same ensembles with the same number of blocks",
            )
        return dataclasses.replace(self, counts_BEQ=self.counts_BEQ + other.counts_BEQ)

    def number(self, of: Callable[[Split], float]) -> Tensor:
        """The sum over all samples of a function of the split, float64 of shape (E,)."""
        return self.counts_BEQ.sum(0).double() @ self._values(of)

    def mean(
        self, of: Callable[[Split], float], weight: Callable[[Split], float] | None = None
    ) -> Replicated:
        """The mean over samples of a function of the split; with `weight`, the weighted mean.

        nan where the weights add up to nothing. Counts are left out, not sums: a weight that no sample
        has is exactly 0.
        """
        return self._means([(of, weight)])[0]

    def _means(
        self, pairs: Sequence[tuple[Callable[[Split], float], Callable[[Split], float] | None]]
    ) -> list[Replicated]:
        """`mean` of several functions, each with its weight, in one pass over the counts."""
        columns = []
        for of, weight in pairs:
            weight_Q = self._values(weight or (lambda _: 1))
            columns += [torch.where(weight_Q > 0, weight_Q * self._values(of), 0.0), weight_Q]
        table_QF = torch.stack(columns, 1)
        total_EQ = self.counts_BEQ.sum(0)
        sums_EF = total_EQ.double() @ table_QF
        sums_BEF = torch.stack([(total_EQ - counts_EQ).double() @ table_QF for counts_EQ in self.counts_BEQ])
        full_FE, without_FBE = (
            (sums[..., ::2] / sums[..., 1::2]).movedim(-1, 0).contiguous() for sums in (sums_EF, sums_BEF)
        )
        return [
            Replicated(full_E, without_BE) for full_E, without_BE in zip(full_FE, without_FBE, strict=True)
        ]

    def shannon(
        self, where: Where, species: Species = "members", num_classes: int | None = None
    ) -> Replicated:
        """Shannon equitability −Σ_s q_s ln q_s / ln S of the predicted species, a mean over samples (Eq. 5).

        Args:
            where: "all" samples, those that the plurality vote gets "right", or "wrong". A tied vote
                counts on both sides by the probability that a draw among the tied classes is right.
            species: S. "members": min(K, C), so that K different votes have 1. "classes": C, so that
                three members reach ln 3 / ln C at most. "observed": the number of classes named on the
                sample; a sample with one has entropy 0 and counts 0, though 0/0 stands there: leaving
                unanimous samples out would make a mean over the disagreeing ones of it.
            num_classes: C; needed for "classes", and for "members" where C may be below K.

        Returns:
            nan where there is no such sample, or S = 1 under "members" and "classes".
        """
        if species == "classes" and num_classes is None:
            raise UserError(
                expected="the number of classes for Shannon equitability by classes",
                found="None",
                next_step="pass num_classes",
            )

        def equitability(split: Split) -> float:
            if species == "observed":
                return vote_entropy(split) / math.log(len(split)) if len(split) > 1 else 0.0
            most = num_classes or self.size
            num_species = most if species == "classes" else min(self.size, most)
            return vote_entropy(split) / math.log(num_species) if num_species > 1 else math.nan

        return self.mean(equitability, _PROBABILITY[where])

    def voter(self, voter: Voter) -> VoterOutcomes:
        """What a voter that stops without enough votes comes to.

        "majority": more than half of the members must name one class; "unanimous": all of them. Of two
        members both mean a comparison (1-out-of-2 with stop); of three the first is 2-out-of-3. A vote
        for an accepted label is right.
        """
        needed = self.size if voter == "unanimous" else self.size // 2 + 1
        return VoterOutcomes(
            *self._means(
                [
                    (lambda split: most_votes(split) >= needed and split[0][1], None),
                    (lambda split: most_votes(split) < needed, None),
                    (lambda split: most_votes(split) >= needed and not split[0][1], None),
                ]
            )
        )

    def agreement(self) -> Agreement:
        """Risk and coverage for each number of members that must agree."""
        levels = range(1, self.size + 1)
        accepted = [partial(_has_votes, least=least) for least in levels]
        wrong = [partial(_wrong_with_votes, least=least) for least in levels]
        return Agreement(
            accepted_KE=torch.stack([self.number(is_accepted) for is_accepted in accepted]),
            wrong_KE=torch.stack([self.number(is_wrong) for is_wrong in wrong]),
            coverage=_stacked(self._means([(is_accepted, None) for is_accepted in accepted])),
            risk=_stacked(self._means([(plurality_wrong, is_accepted) for is_accepted in accepted])),
        )

    def all_fail(self) -> Replicated:
        """The share of samples on which no member is right."""
        return self.mean(all_fail)

    def majority_fail(self) -> Replicated:
        """The share of samples on which more than half of the members are wrong."""
        return self.mean(majority_fails)

    def vote_fail(self) -> Replicated:
        """The expected share of samples on which the plurality is wrong; tied classes are drawn."""
        return self.mean(plurality_wrong)

    def identical_wrong(self) -> Replicated:
        """The share of samples on which two members or more, at least half, name the same wrong class."""
        return self.mean(identical_wrong)

    def _values(self, of: Callable[[Split], float]) -> Tensor:
        values = [float(of(split)) for split in splits(self.size)]
        return torch.tensor(values, dtype=torch.float64, device=self.counts_BEQ.device)


_PROBABILITY: dict[Where, Callable[[Split], float] | None] = {
    "all": None,
    "right": plurality_right,
    "wrong": plurality_wrong,
}


def _shannon(where: Where, votes: VoteStatistics, species: Species, num_classes: int) -> Replicated:
    return votes.shannon(where, species, num_classes)


_IMAGES: dict[Where, tuple[str, str]] = {
    "all": ("all images", "there is no sample"),
    "right": ("rightly classified", "the plurality vote gets no sample right"),
    "wrong": ("wrongly classified", "the plurality vote gets no sample wrong"),
}
for _where, (_images, _undefined_when) in _IMAGES.items():
    metric(
        f"shannon_{_where}",
        of="votes",
        label=f"Shannon equitability, {_images}",
        group=GROUP,
        low=0.0,
        high=1.0,
        higher_is_more_diverse=True,
        formula="mean over samples of −Σ_s q_s ln q_s / ln S, q_s the share of members that name class s",
        undefined_when=_undefined_when,
    )(partial(_shannon, _where))


class _SplitReader:
    """Which split the members' votes have, for all pairs of an ensemble and a sample.

    A member whose class has v votes weighs (2v − 1)^p, or (2v)^p where it is right; the members' sum
    tells the splits apart for the smallest p that does so: 3 for 6 to 8 members.
    """

    def __init__(self, size: int, device: torch.device) -> None:
        self.power, keys = 0, [0, 0]
        while len(set(keys)) < len(splits(size)):
            self.power += 1
            keys = [sum(v * (2 * v - 1 + right) ** self.power for v, right in s) for s in splits(size)]
        order_Q = torch.tensor(keys).argsort()
        self.keys_Q = torch.tensor(keys, dtype=torch.int32)[order_Q].to(device)
        self.split_Q = order_Q.to(device)
        self.split_of_key: Tensor | None = None
        if max(keys) < _DENSE_TABLE:
            self.split_of_key = torch.zeros(max(keys) + 1, dtype=torch.int64, device=device)
            self.split_of_key[self.keys_Q.long()] = self.split_Q

    def read(self, predicted_MN: Tensor, right_MN: Tensor, members_KE: Tensor) -> Tensor:
        """int64 position in `splits(size)`, of shape (E, N)."""
        classes = [predicted_MN.index_select(0, members_E) for members_E in members_KE]
        votes = [torch.ones_like(classes[0], dtype=torch.uint8) for _ in classes]
        for i in range(len(classes)):
            for k in range(i):
                same_EN = (classes[i] == classes[k]).view(torch.uint8)
                votes[i] += same_EN
                votes[k] += same_EN
        key_EN = torch.zeros_like(classes[0])
        for votes_EN, members_E in zip(votes, members_KE, strict=True):
            weight_EN = (2 * votes_EN - 1 + right_MN.index_select(0, members_E)).int()
            key_EN += math.prod([weight_EN] * (self.power - 1), start=weight_EN)
        if self.split_of_key is not None:
            return self.split_of_key.index_select(0, key_EN.flatten()).view(key_EN.shape)
        return self.split_Q[torch.searchsorted(self.keys_Q, key_EN)]


def _stacked(values: list[Replicated]) -> Replicated:
    return Replicated(
        torch.stack([value.full_E for value in values]),
        torch.stack([value.without_BE for value in values], 1),
    )


def _check(
    predicted_MN: Tensor, right_MN: Tensor, blocks_N: Tensor, num_blocks: int, ensembles: Ensembles
) -> None:
    if (
        predicted_MN.ndim != 2
        or predicted_MN.is_floating_point()
        or len(predicted_MN) != ensembles.num_models
    ):
        raise UserError(
            expected=f"integer classes of {ensembles.num_models} models × samples",
            found=f"{predicted_MN.dtype} of shape {tuple(predicted_MN.shape)}",
            next_step="pass the top class of each of the ensembles' models",
        )
    if right_MN.dtype != torch.bool or right_MN.shape != predicted_MN.shape:
        raise UserError(
            expected=f"a bool for each prediction, of shape {tuple(predicted_MN.shape)}",
            found=f"{right_MN.dtype} of shape {tuple(right_MN.shape)}",
            next_step="pass whether each predicted class is an accepted label",
        )
    if blocks_N.shape != predicted_MN.shape[1:] or bool(((blocks_N < 0) | (blocks_N >= num_blocks)).any()):
        raise UserError(
            expected=f"a block from 0 to {num_blocks - 1} for each of {predicted_MN.shape[1]} samples",
            found=f"blocks of shape {tuple(blocks_N.shape)}"
            + (f" up to {int(blocks_N.max())}" if blocks_N.numel() else ""),
            next_step="pass the blocks of the same samples, and num_blocks above the largest",
        )
    ordered_MN, order_MN = predicted_MN.sort(0)
    same_MN = ordered_MN[1:] == ordered_MN[:-1]
    right_in_order_MN = right_MN.gather(0, order_MN)
    contradiction_MN = same_MN & (right_in_order_MN[1:] != right_in_order_MN[:-1])
    if bool(contradiction_MN.any()):
        row, sample = contradiction_MN.nonzero()[0].tolist()
        raise UserError(
            expected="a class of a sample to be right for all models that name it, or wrong for all",
            found=f"class {int(ordered_MN[row, sample])} of sample {sample} both right and wrong",
            next_step="pass predictions and right of the same samples in the same order",
        )
