"""From logits and Grams of one condition to numbers for all ensembles, with and without each block.

Every value comes twice: on all images, and on all but one block of them, for each block. The second
is what intervals are made of; it costs no further pass because all statistics are sums per block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.attribution import GramSums
from nversion.core import spans
from nversion.diversity import (
    CKA,
    METRICS,
    ConditionalSums,
    FailureCounts,
    Metric,
    OutputSums,
    PairCounts,
    VoteStatistics,
    attribution_diversity,
    attribution_metric,
    conditional_attribution_sums,
    ensemble_mean,
    leave_one_block_out,
)
from nversion.ensembles import (
    CREDITS,
    CalibrationStatistics,
    EnsembleCalibration,
    Ensembles,
    Evaluation,
    Evaluator,
    ModelAccuracy,
    ModelStatistics,
    Replicated,
)
from nversion.predictions import ConditionPredictions

from .metrics import asked_metrics
from .settings import EnsemblesTable

GRAM_ROWS = 4096  # Gram matrices read at a time


@dataclass(frozen=True)
class AttributedGrams:
    """The stored Gram matrices of one kind of map under one condition.

    Attributes:
        gram_nMM: of every attributed image, memory-mapped.
        rows_n: the rows of readable images.
        positions_n: their positions among the condition's samples.
    """

    gram_nMM: NDArray[np.float64]
    rows_n: NDArray[np.int64]
    positions_n: Tensor

    def parts(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Grams and positions, `GRAM_ROWS` at a time."""
        for start, stop in spans(len(self.rows_n), GRAM_ROWS):
            rows_nMM = torch.from_numpy(np.array(self.gram_nMM[self.rows_n[start:stop]]))
            yield rows_nMM, self.positions_n[start:stop]


@dataclass(frozen=True)
class Answers:
    """What every model answered under one condition: 9·M + 16 bytes a sample.

    Attributes:
        predicted_MN: int64 top class.
        right_MN: bool, it is an accepted label.
        labels_N, blocks_N: int64.
    """

    predicted_MN: Tensor
    right_MN: Tensor
    labels_N: Tensor
    blocks_N: Tensor
    num_blocks: int

    def only(self, keep_N: Tensor) -> Answers:
        """The samples where the mask is True; blocks keep their numbers, some may be empty."""
        return Answers(
            self.predicted_MN[:, keep_N],
            self.right_MN[:, keep_N],
            self.labels_N[keep_N],
            self.blocks_N[keep_N],
            self.num_blocks,
        )

    def pair_counts(self) -> PairCounts:
        """How often each pair of models is right together, per block."""
        return PairCounts.from_right(self.right_MN, self.blocks_N, self.num_blocks)

    def failure_counts(self, family: Ensembles) -> FailureCounts:
        """On how many samples how many members of each ensemble fail, per block."""
        return FailureCounts.from_right(self.right_MN, self.blocks_N, self.num_blocks, family)

    def votes(self, family: Ensembles) -> VoteStatistics:
        """How the votes of each ensemble split, per block."""
        return VoteStatistics.of(self.predicted_MN, self.right_MN, self.blocks_N, self.num_blocks, family)


@dataclass(frozen=True)
class EnsembleResult:
    """What one size of ensembles gives under one condition.

    Attributes:
        improvement: over the most accurate member, by consensus rule (Fig. 5).
        best_E: index of the most accurate member, the first of equals.
        best_member_E, mean_member: accuracy of members.
        diversity: by metric.
        calibration: of the averaged logits.
        failures, votes: how members fail and vote together.
    """

    ensembles: Ensembles
    evaluations: Mapping[str, Evaluation]
    improvement: Mapping[str, Replicated]
    best_E: Tensor
    best_member_E: Tensor
    mean_member: Replicated
    diversity: Mapping[str, Replicated]
    calibration: EnsembleCalibration
    failures: FailureCounts
    votes: VoteStatistics


@dataclass(frozen=True)
class ConditionResult:
    """Everything the tables say about one condition."""

    condition: str
    num_samples: int
    models: ModelAccuracy
    pairs: Mapping[str, Tensor]
    sizes: Sequence[EnsembleResult]
    answers: Answers
    grams: Mapping[Metric, GramSums]


def measure_condition(
    predictions: ConditionPredictions,
    families: Sequence[Ensembles],
    asked: EnsemblesTable,
    grams: Mapping[Metric, AttributedGrams],
    similarity: Replicated | None = None,
    cost_CC: Tensor | None = None,
) -> ConditionResult:
    """Evaluate all ensembles under one condition.

    Args:
        families: ensembles, one entry a size.
        grams: for each metric of attribution maps, the Gram matrices of the attributed images.
        similarity: of the representations of every two models, (M, M), where they were compared.
        cost_CC: the cost of taking one class for another.

    Memory: a chunk of logits, `Answers`, and M×M and E numbers for each block.
    """
    metrics = [METRICS[name] for name in asked_metrics(asked.diversity)]
    seen = _pass_over_logits(predictions, families, asked, cost_CC)
    answers, num_classes = seen.answers, predictions.num_classes

    pair_counts = answers.pair_counts()
    total, without = pair_counts.total(), pair_counts.without_each_block()
    pairs: dict[str, Replicated] = {}
    for metric in metrics:
        if metric.of == "pairs":
            pairs[metric.name] = Replicated(_call(metric, *total), _call(metric, *without))
        elif metric.of == "outputs":
            pairs[metric.name] = _call(metric, seen.outputs)
    if similarity is not None:
        pairs[CKA.name] = similarity

    sums, strata = {}, {}
    for of_maps, stored in grams.items():
        sums[of_maps], strata[of_maps] = _sums_of_grams(stored, answers, families)

    sizes = []
    for i, (family, evaluations) in enumerate(zip(families, seen.evaluations, strict=True)):
        failures, votes = answers.failure_counts(family), answers.votes(family)
        diversity = {name: mean_of_pairs(values, family) for name, values in pairs.items()}
        counts = (failures.total(), failures.without_each_block())
        diversity |= {
            metric.name: Replicated(*(_call(metric, each) for each in counts))
            for metric in metrics
            if metric.of == "failure counts"
        }
        diversity |= {
            metric.name: _call(metric, votes, asked.shannon_species, num_classes)
            for metric in metrics
            if metric.of == "votes"
        }
        diversity |= {
            metric.name: _call(metric, seen.calibrations[i])
            for metric in metrics
            if metric.of == "likelihood"
        }
        for of_maps, of_images in sums.items():
            diversity[of_maps.name] = Replicated(
                attribution_diversity(of_images.mean_gram(), family),
                attribution_diversity(of_images.leave_one_block_out(), family),
                of_images.left_out_B.sum().expand(len(family)),
            )
            for subset, found in strata[of_maps][i].result().items():
                kind = (str(of_maps.method), str(of_maps.target), str(of_maps.normalise))
                diversity[attribution_metric(*kind, subset).name] = found
        sizes.append(
            _of_members(family, evaluations, seen.models, diversity, seen.calibrations[i], failures, votes)
        )
    return ConditionResult(
        predictions.condition,
        len(predictions),
        seen.models,
        {name: values.full_E for name, values in pairs.items()}
        | {of_maps.name: _of_two(of_images.mean_gram()) for of_maps, of_images in sums.items()},
        sizes,
        answers,
        sums,
    )


@dataclass(frozen=True)
class _Seen:
    """What one pass over the logits gives."""

    evaluations: list[dict[str, Evaluation]]
    models: ModelAccuracy
    outputs: OutputSums
    calibrations: list[EnsembleCalibration]
    answers: Answers


def _pass_over_logits(
    predictions: ConditionPredictions,
    families: Sequence[Ensembles],
    asked: EnsemblesTable,
    cost_CC: Tensor | None,
) -> _Seen:
    num_models, num_blocks = len(predictions.model_names), predictions.num_blocks

    def evaluator(*kept: str) -> Evaluator:
        return Evaluator(families, asked.consensus, num_blocks, keep_winners=kept, draw_seed=asked.draw_seed)

    averaged = [name for name in asked.consensus if name == "average"]
    judge = evaluator(*averaged)
    statistics = ModelStatistics(num_models, num_blocks)
    outputs = OutputSums(num_models, num_blocks)
    calibrations = [CalibrationStatistics(family, num_blocks, cost_CC=cost_CC) for family in families]
    predicted = []
    for chunk in predictions.chunks():
        judge.update(chunk)
        statistics.update(chunk)
        outputs.update(chunk)
        winners = judge.take_winners("average") if averaged else [None] * len(families)
        for calibration, winners_NE in zip(calibrations, winners, strict=True):
            calibration.update(chunk, winners_NE)
        predicted.append(chunk.predicted_MN)
    evaluations = judge.result()
    if predictions.accepted:
        alternatives = evaluator()
        for chunk in predictions.alternative_chunks(in_place=asked.draw_seed is not None):
            alternatives.update(chunk)
        evaluations = [
            {rule: _with_alternatives(of_size[rule], more[rule]) for rule in of_size}
            for of_size, more in zip(evaluations, alternatives.result(), strict=True)
        ]
    predicted_MN = torch.cat(predicted, dim=1)
    answers = Answers(
        predicted_MN,
        predictions.accepted_sets.right_MN(predicted_MN, torch.arange(len(predictions))),
        torch.from_numpy(predictions.labels_N),
        torch.from_numpy(predictions.blocks_N),
        num_blocks,
    )
    results = [calibration.result() for calibration in calibrations]
    return _Seen(evaluations, statistics.result(), outputs, results, answers)


def _with_alternatives(evaluation: Evaluation, alternatives: Evaluation) -> Evaluation:
    """An ensemble is right if any accepted label wins; only one can, so the chances add up."""
    return replace(
        evaluation,
        credits_BE=evaluation.credits_BE + alternatives.credits_BE,
        credits_with_model_EM=evaluation.credits_with_model_EM + alternatives.credits_with_model_EM,
    )


def _sums_of_grams(
    stored: AttributedGrams, answers: Answers, families: Sequence[Ensembles]
) -> tuple[GramSums, list[ConditionalSums]]:
    """Sums over the attributed images, and over those that all, some or no members classify rightly."""
    num_models, num_blocks = len(answers.right_MN), answers.num_blocks
    sums = GramSums.zeros(num_blocks, num_models)

    def of_strata(gram_nMM: Tensor, positions_n: Tensor) -> list[ConditionalSums]:
        blocks_n, right_Mn = answers.blocks_N[positions_n], answers.right_MN[:, positions_n]
        return [conditional_attribution_sums(gram_nMM, right_Mn, blocks_n, num_blocks, f) for f in families]

    # Of no image at first: there may be none, where all attributed ones are unreadable.
    strata = of_strata(torch.empty(0, num_models, num_models), torch.empty(0, dtype=torch.int64))
    for gram_nMM, positions_n in stored.parts():
        sums.update(gram_nMM, answers.blocks_N[positions_n])
        part = of_strata(gram_nMM, positions_n)
        strata = [seen + new for seen, new in zip(strata, part, strict=True)]
    return sums, strata


def _call(metric: Metric, *arguments: object) -> Any:
    assert metric.function is not None
    return metric.function(*arguments)


def mean_of_pairs(values: Replicated, family: Ensembles) -> Replicated:
    """The mean of a number of every two models, (M, M), over the pairs of each ensemble."""
    full_E, undefined_E = ensemble_mean(values.full_E, family)
    return Replicated(full_E, ensemble_mean(values.without_BE, family)[0], undefined_E, values.count_B)


def _of_two(gram_MM: Tensor) -> Tensor:
    """Attribution diversity of the ensemble of every two models."""
    num_models = len(gram_MM)
    pairs = Ensembles.all_of(num_models, 2)
    diversity_MM = torch.zeros(num_models, num_models, dtype=torch.float64)
    first_P, second_P = pairs.members_EK.T
    diversity_MM[first_P, second_P] = attribution_diversity(gram_MM, pairs)
    return diversity_MM + diversity_MM.T


def _of_members(
    family: Ensembles,
    evaluations: Mapping[str, Evaluation],
    models: ModelAccuracy,
    diversity: Mapping[str, Replicated],
    calibration: EnsembleCalibration,
    failures: FailureCounts,
    votes: VoteStatistics,
) -> EnsembleResult:
    # Differences are taken of whole numbers of credits, not of shares: a gain of nothing is exactly 0, and
    # equal gains are equal numbers, which tie in ranks.
    count, left_B = _with_and_without(models.count_B)
    right_EK, left_BEK = _with_and_without(models.right_BM)
    right_EK, left_BEK = right_EK[family.members_EK], left_BEK[:, family.members_EK]
    best_E, best_BE = right_EK.amax(-1), left_BEK.amax(-1)
    first_E1 = (right_EK == best_E.unsqueeze(1)).int().argmax(1, keepdim=True)
    improvement = {}
    for name, evaluation in evaluations.items():
        credits_E, left_credits_BE = _with_and_without(evaluation.credits_BE)
        improvement[name] = Replicated(
            (credits_E - best_E * CREDITS) / (count * CREDITS),
            (left_credits_BE - best_BE * CREDITS) / (left_B[:, None] * CREDITS),
        )
    size = family.size
    mean_member = Replicated(right_EK.sum(-1) / (size * count), left_BEK.sum(-1) / (size * left_B[:, None]))
    return EnsembleResult(
        family,
        evaluations,
        improvement,
        family.members_EK.gather(1, first_E1).squeeze(1),
        best_E / count,
        mean_member,
        diversity,
        calibration,
        failures,
        votes,
    )


def _with_and_without(right_BX: Tensor) -> tuple[Tensor, Tensor]:
    """Counts over all blocks, and with each block left out."""
    return right_BX.sum(0), leave_one_block_out(right_BX)
