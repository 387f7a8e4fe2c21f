"""How an ensemble decides: pure functions from its members' logits to one score for each class.

Adding a rule: write a function of `logits_KNC` that gives `scores_NC`, and put
`@CONSENSUS.register("name")` above it. Where the score of a class depends on the members' values of
that class alone and does not fall when one of them rises, write the rule as `@per_class(values)` of the
members' values instead: then every ensemble of a pool is evaluated without computing every class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from nversion.core import Registry

Consensus = Callable[[Tensor], Tensor]
"""`logits_KNC` of an ensemble's K members to `scores_NC`; the highest score wins, the lowest index a tie."""

CONSENSUS: Registry[Consensus] = Registry("consensus rule", "nversion.consensus")


_MOST_EXCHANGED = 16  # members up to which exchanging neighbours beats sorting


def at_least_float32(logits: Tensor) -> Tensor:
    """The logits, half precision widened to float32: sums in float16 tie and overflow."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def probabilities(logits: Tensor) -> Tensor:
    """Softmax over the last axis, in float32 or wider."""
    return at_least_float32(logits).softmax(-1)


def log_probabilities(logits: Tensor) -> Tensor:
    """Log-softmax over the last axis, in float32 or wider."""
    return at_least_float32(logits).log_softmax(-1)


def ballots(logits: Tensor) -> Tensor:
    """One-hot of each member's most likely class; its own exact ties go to the lowest index. No gradient."""
    values = at_least_float32(logits)
    return torch.zeros_like(values).scatter_(-1, values.argmax(-1, keepdim=True), 1)


@dataclass(frozen=True)
class PerClassRule:
    """A consensus rule that decides class by class and is monotone.

    `scores_NC = finish(combine(member_values(logits_KNC)))`. What the rule promises:
    `combine` works on every class alone, and the score of a class does not fall when any member's
    value of that class rises; the order of the members has no part in it. So the largest values of a class,
    combined, bound its score under every ensemble, and classes that cannot win need not be computed.

    Attributes:
        member_values: of each member's logits alone, over the last axis.
        combine: `values_KNC` to `scores_NC`.
        finish: keeps the order of a sample's classes; not computed where only the winner counts.
        is_mean: `combine` is the mean over the members, so that one matrix product gives all ensembles.
        ties: "lowest": the lowest index wins an exact tie; "shared": each of the tied classes wins with
            equal probability, and accuracy is the expected one.
    """

    member_values: Callable[[Tensor], Tensor]
    combine: Callable[[Tensor], Tensor]
    finish: Callable[[Tensor], Tensor] | None = None
    is_mean: bool = False
    ties: Literal["lowest", "shared"] = "lowest"

    def scores(self, logits_KNC: Tensor) -> Tensor:
        """The scores before `finish`."""
        return self.combine(self.member_values(logits_KNC))

    def __call__(self, logits_KNC: Tensor) -> Tensor:
        scores_NC = self.scores(logits_KNC)
        return scores_NC if self.finish is None else self.finish(scores_NC)


def per_class(
    member_values: Callable[[Tensor], Tensor],
) -> Callable[[Callable[[Tensor], Tensor]], PerClassRule]:
    """Decorator: a monotone function of the members' values of a class becomes a consensus rule.

    >>> @per_class(probabilities)
    ... def most_confident(values_KNC: Tensor) -> Tensor:
    ...     return values_KNC.amax(0)
    >>> most_confident(torch.tensor([[[0.0, 0.0]], [[0.0, 50.0]]])).tolist()
    [[0.5, 1.0]]
    """
    return lambda combine: PerClassRule(member_values, combine)


def mean_of_members(values_KNC: Tensor) -> Tensor:
    """The mean over the members, summed one after the other.

    `Tensor.mean` adds the last columns of a tensor in another order than the others, so that from five
    members on a sample's exact tie would depend on the samples beside it.
    """
    total_NC = values_KNC[0]
    for values_NC in values_KNC[1:]:
        total_NC = total_NC + values_NC
    return total_NC / len(values_KNC)


def median_of_members(values_KNC: Tensor) -> Tensor:
    """The median over the members; of an even number the mean of the two middle values.

    >>> median_of_members(torch.tensor([[[1.0]], [[9.0]], [[2.0]], [[4.0]]])).item()
    3.0
    """
    size = len(values_KNC)
    upper, lower = size // 2, (size - 1) // 2
    if size > _MOST_EXCHANGED:
        ordered = list(values_KNC.sort(0).values.unbind(0))
    else:
        # Bubbles rise until the middle is in place: several times as fast as a sort along the first axis.
        ordered = list(values_KNC.unbind(0))
        for last in range(size - 1, lower - 1, -1):
            for i in range(last):
                low, high = torch.minimum(*ordered[i : i + 2]), torch.maximum(*ordered[i : i + 2])
                ordered[i : i + 2] = low, high
    return ordered[upper] if upper == lower else (ordered[lower] + ordered[upper]) / 2


def _softmax(scores_NC: Tensor) -> Tensor:
    return scores_NC.softmax(-1)


average = PerClassRule(at_least_float32, mean_of_members, is_mean=True)
"""Mean of the members' logits."""

probability = PerClassRule(probabilities, mean_of_members, is_mean=True)
"""Mean of the members' softmax."""

median = PerClassRule(log_probabilities, median_of_members)
"""Median of the members' log-softmax; medians over the members do not sum to one as probabilities."""

median_logits = PerClassRule(at_least_float32, median_of_members)
"""Median of the members' raw logits, which have no common zero: about a tenth of its winners differ from
those of `median` on real models."""

geometric_mean = PerClassRule(at_least_float32, mean_of_members, finish=_softmax, is_mean=True)
"""Normalised geometric mean of the members' softmax. It is exactly the softmax of the mean logits
(the members' normalisers are the same for all classes and cancel), so it has the winner of `average` on
every sample."""

vote = PerClassRule(ballots, mean_of_members, is_mean=True, ties="shared")
"""Share of the members whose most likely class it is. No gradient flows: train on another rule."""

for _name, _rule in {
    "average": average,
    "probability": probability,
    "median": median,
    "median_logits": median_logits,
    "geometric_mean": geometric_mean,
    "vote": vote,
}.items():
    CONSENSUS.register(_name)(_rule)
