"""The additive sums behind each kind of metric, and its value from them: one ensemble of all models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nversion.diversity import (
    FailureCounts,
    Metric,
    OutputSums,
    PairCounts,
    VoteStatistics,
    ensemble_mean,
)
from nversion.ensembles import CalibrationStatistics, Chunk, Ensembles, Replicated

from .answers import Answers

Sums = Mapping[str, Tensor]


@dataclass(frozen=True)
class Options:
    """What some metrics are asked with.

    Attributes:
        num_classes: C, where it is known.
        species: of Shannon equitability, see `VoteStatistics.shannon`.
    """

    num_classes: int | None = None
    species: str = "members"


def sums_of(metric: Metric, answers: Answers) -> Sums:
    """Float64 sums over the samples; those of disjoint sets of samples add up.

    Raises:
        UserError: the metric needs labels, classes or logits that are not there.
    """
    return {name: value.double() for name, value in _KINDS[metric.of].sums(metric.name, answers).items()}


def empty(metric: Metric, num_models: int) -> Sums:
    """The sums of no sample."""
    logits_MNC = torch.zeros(num_models, 1, 2)
    labels_N = torch.zeros(1, dtype=torch.int64)
    predicted_MN = logits_MNC.argmax(-1)
    some = sums_of(metric, Answers(predicted_MN == labels_N, predicted_MN, logits_MNC, labels_N))
    return {name: torch.zeros_like(value) for name, value in some.items()}


def value_of(metric: Metric, sums: Sums, num_models: int, options: Options) -> Tensor:
    """The metric of the ensemble of all models, float64 of shape (); nan where undefined."""
    return _KINDS[metric.of].value(metric, sums, _all(num_models), options)


@dataclass(frozen=True)
class _Kind:
    sums: Callable[[str, Answers], Sums]
    value: Callable[[Metric, Sums, Ensembles, Options], Tensor]


def _all(num_models: int) -> Ensembles:
    return Ensembles.all_of(num_models, num_models)


def _one_block(answers_MN: Tensor) -> Tensor:
    return torch.zeros(answers_MN.shape[1], dtype=torch.int64, device=answers_MN.device)


def _chunk(name: str, answers: Answers) -> Chunk:
    logits_MNC = answers.logits(name)
    labels_N = _one_block(logits_MNC) if answers.labels_N is None else answers.labels_N
    return Chunk(0, logits_MNC, labels_N.to(logits_MNC.device), _one_block(logits_MNC))


def _held(sums: Any) -> Sums:
    """The additive parts of a stream: its floating-point tensors."""
    return {k: v for k, v in vars(sums).items() if isinstance(v, Tensor) and v.is_floating_point()}


def _filled(stream: Any, sums: Sums) -> Any:
    vars(stream).update({name: value.cpu() for name, value in sums.items()})
    return stream


def _mean_of_pairs(values_MM: Tensor, ensembles: Ensembles) -> Tensor:
    return ensemble_mean(values_MM, ensembles)[0][0]


def _pair_sums(name: str, answers: Answers) -> Sums:
    right_MN = answers.right(name)
    return vars(PairCounts.from_right(right_MN, _one_block(right_MN), 1))


def _pair_value(metric: Metric, sums: Sums, ensembles: Ensembles, options: Options) -> Tensor:
    assert metric.function is not None
    return _mean_of_pairs(metric.function(*PairCounts(**sums).total()), ensembles)


def _failure_sums(name: str, answers: Answers) -> Sums:
    right_MN = answers.right(name)
    return vars(FailureCounts.from_right(right_MN, _one_block(right_MN), 1, _all(len(right_MN))))


def _failure_value(metric: Metric, sums: Sums, ensembles: Ensembles, options: Options) -> Tensor:
    assert metric.function is not None
    found: Tensor = metric.function(FailureCounts(**sums).total())
    return found[0]


def _output_sums(name: str, answers: Answers) -> Sums:
    stream = OutputSums(answers.num_models, 1)
    stream.update(_chunk(name, answers))
    return _held(stream)


def _output_value(metric: Metric, sums: Sums, ensembles: Ensembles, options: Options) -> Tensor:
    assert metric.function is not None
    found = metric.function(_filled(OutputSums(ensembles.num_models, 1), sums))
    return _mean_of_pairs(found.full_E, ensembles)


def _vote_sums(name: str, answers: Answers) -> Sums:
    predicted_MN, right_MN = answers.classes(name), answers.right(name)
    every = _all(len(right_MN))
    votes = VoteStatistics.of(predicted_MN, right_MN, _one_block(right_MN), 1, every)
    return {"counts_BEQ": votes.counts_BEQ}


def _vote_value(metric: Metric, sums: Sums, ensembles: Ensembles, options: Options) -> Tensor:
    assert metric.function is not None
    votes = VoteStatistics(ensembles.size, sums["counts_BEQ"])
    found: Replicated = metric.function(votes, options.species, options.num_classes)
    return found.full_E[0]


def _likelihood_sums(name: str, answers: Answers) -> Sums:
    answers.right(name)
    stream = CalibrationStatistics(_all(answers.num_models), 1)
    stream.update(_chunk(name, answers))
    return _held(stream)


def _likelihood_value(metric: Metric, sums: Sums, ensembles: Ensembles, options: Options) -> Tensor:
    assert metric.function is not None
    found: Replicated = metric.function(_filled(CalibrationStatistics(ensembles, 1), sums).result())
    return found.full_E[0]


_KINDS = {
    "pairs": _Kind(_pair_sums, _pair_value),
    "failure counts": _Kind(_failure_sums, _failure_value),
    "outputs": _Kind(_output_sums, _output_value),
    "votes": _Kind(_vote_sums, _vote_value),
    "likelihood": _Kind(_likelihood_sums, _likelihood_value),
}
"""By `Metric.of`."""
