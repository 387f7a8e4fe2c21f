"""Strategies: which members learn together, on which samples, in which order.

A strategy gives stages one after the other; a stage is what the loop trains in one go. To add one: a
generator function with a registered name that yields stages and is sent what each gave.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nversion.core import Registry, UserError, generator
from nversion.core.settings import call_with_settings

from .recipe import TrainingRecipe


@dataclass(frozen=True)
class Stage:
    """What is trained in one go.

    Attributes:
        members: their positions; they see the same batches.
        key: of the random order of the samples: equal keys, equal orders.
        samples_n: indices that an epoch goes through, in random order; None: all, each once.
        probability_N: draws an epoch's samples with replacement; None: no draws.
        snapshots: how many equal parts of the stage end with a finished member; 0: the members themselves.
    """

    members: tuple[int, ...]
    key: str
    samples_n: NDArray[np.int64] | None = None
    probability_N: NDArray[np.float64] | None = None
    snapshots: int = 0


@dataclass(frozen=True)
class Outcome:
    """What a stage gave.

    Attributes:
        rights: measures, when called, whether the stage's first member is right on each training image
            without augmentation, (N,).
    """

    rights: Callable[[], NDArray[np.bool_]]


@dataclass
class Facts:
    """What a strategy finds out for the members' cards, by position: e.g. weights of votes."""

    vote_weights: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """What a strategy may look at."""

    recipe: TrainingRecipe
    labels_N: NDArray[np.int64]
    num_classes: int
    seed: int
    facts: Facts


Stages = Generator[Stage, Outcome, None]
Strategy = Callable[[Context], Stages]

STRATEGIES: Registry[Callable[..., Stages]] = Registry("strategy", "nversion.strategies")


def stages(context: Context) -> Stages:
    """The stages of the recipe's strategy.

    Raises:
        UserError: an unknown strategy or setting.
    """
    table = context.recipe.strategy
    made: Stages = call_with_settings(
        STRATEGIES[table.name], table.settings, f"the strategy {table.name!r}", context=context
    )
    return made


@STRATEGIES.register("joint")
def joint(*, context: Context) -> Stages:
    """All members together on the same batches: for every loss that compares them."""
    return _joint(context)


def _joint(context: Context) -> Stages:
    yield Stage(tuple(range(context.recipe.num_members)), "shared")


@STRATEGIES.register("independent")
def independent(*, context: Context, same_order: bool = False) -> Stages:
    """One member after the other, each on its own order of the images (or all on that of `joint`)."""
    return _independent(context, same_order)


def _independent(context: Context, same_order: bool) -> Stages:
    for position in range(context.recipe.num_members):
        yield Stage((position,), "shared" if same_order else f"member {position}")


@STRATEGIES.register("bagging")
def bagging(*, context: Context, fraction: float = 1.0) -> Stages:
    """Each member on its own bootstrap sample: `fraction` of the images, drawn with replacement."""
    if not 0 < fraction <= 1:
        raise UserError(
            expected="a fraction above 0 and at most 1 for bagging",
            found=repr(fraction),
            next_step="1.0 is the usual bootstrap",
        )
    return _bagging(context, fraction)


def _bagging(context: Context, fraction: float) -> Stages:
    num_samples = len(context.labels_N)
    for position in range(context.recipe.num_members):
        rng = generator("bootstrap", context.seed, position)
        samples = rng.integers(0, num_samples, max(1, round(fraction * num_samples)))
        yield Stage((position,), f"member {position}", samples_n=samples)


@STRATEGIES.register("boosting")
def boosting(*, context: Context) -> Stages:
    """SAMME by weighted sampling: the next member sees the images more often that the last got wrong.

    Multi-class AdaBoost (Zhu, Zou, Rosset, Hastie 2009): error e = Σ w·wrong, vote weight ln((1 − e)/e) +
    ln(C − 1), w ← w·exp(vote weight) where wrong, normalised. A member no better than chance leaves the
    weights uniform and has vote weight 0.
    """
    return _boosting(context)


def _boosting(context: Context) -> Stages:
    num_samples = len(context.labels_N)
    weights_N = np.full(num_samples, 1.0 / num_samples)
    for position in range(context.recipe.num_members):
        outcome = yield Stage((position,), f"member {position}", probability_N=weights_N)
        vote, weights_N = reweighted(weights_N, outcome.rights(), context.num_classes)
        context.facts.vote_weights[position] = vote


def reweighted(
    weights_N: NDArray[np.float64], right_N: NDArray[np.bool_], num_classes: int
) -> tuple[float, NDArray[np.float64]]:
    """SAMME's vote weight of a member and the next member's weights of the samples.

    >>> vote, weights = reweighted(np.full(4, 0.25), np.array([True, True, True, False]), 2)
    >>> round(vote, 4), weights.round(4).tolist()
    (1.0986, [0.1667, 0.1667, 0.1667, 0.5])
    """
    error = float(weights_N[~right_N].sum() / weights_N.sum())
    if error >= 1 - 1 / num_classes:
        return 0.0, np.full(len(weights_N), 1.0 / len(weights_N))
    error = max(error, 1e-10)  # a perfect member has a large, finite vote
    vote = math.log((1 - error) / error) + math.log(num_classes - 1)
    grown = weights_N * np.where(right_N, 1.0, math.exp(vote))
    return vote, grown / grown.sum()


@STRATEGIES.register("snapshot")
def snapshot(*, context: Context, cycles: int = 3) -> Stages:
    """One network whose learning rate falls to 0 several times; each time it is a member (Huang et al. 2017).

    The recipe's schedule should be `cycles` of the same number.
    """
    if cycles < 1:
        raise UserError(expected="at least 1 cycle", found=str(cycles), next_step="3 is a usual number")
    if context.recipe.num_members != 1:
        raise UserError(
            expected="one member for snapshots: its cycles become the ensemble",
            found=str(context.recipe.num_members),
            next_step="set `count = 1`, and `cycles` to the ensemble's size",
        )
    if context.recipe.train.epochs % cycles:
        raise UserError(
            expected=f"epochs that {cycles} cycles divide",
            found=str(context.recipe.train.epochs),
            next_step="raise the epochs to a multiple of the cycles",
        )
    return _snapshot(cycles)


def _snapshot(cycles: int) -> Stages:
    yield Stage((0,), "shared", snapshots=cycles)


def epoch_order(stage: Stage, num_samples: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The samples of one epoch in their order; a function of its arguments alone."""
    rng = generator("order", seed, stage.key, epoch)
    if stage.probability_N is not None:
        return rng.choice(num_samples, num_samples, p=stage.probability_N).astype(np.int64)
    samples: Sequence[int] | NDArray[np.int64] = (
        np.arange(num_samples) if stage.samples_n is None else stage.samples_n
    )
    return rng.permutation(np.asarray(samples, dtype=np.int64))
