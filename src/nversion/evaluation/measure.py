"""From logits and Grams of one condition to numbers for all ensembles, with and without each block.

Every value comes twice: on all images, and on all but one block of them, for each block. The second
is what intervals are made of; it costs no further pass because all statistics are sums per block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.attribution import GramSums
from nversion.core import spans
from nversion.diversity import (
    AMBIGUITY,
    ENSEMBLE_METRICS,
    PAIRWISE,
    ConditionalSums,
    FailureCounts,
    OutputSums,
    PairCounts,
    VoteStatistics,
    attribution_diversity,
    conditional_attribution_sums,
    ensemble_mean,
    evaluate_failures,
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

from .metrics import SIMILARITY, asked_metrics
from .settings import EnsemblesTable

GRAM_ROWS = 4096  # Gram matrices read at a time
_SHANNON: dict[str, Literal["all", "right", "wrong"]] = {
    "shannon_all": "all",
    "shannon_right": "right",
    "shannon_wrong": "wrong",
}


@dataclass(frozen=True)
class Measured:
    """A quantity of E ensembles.

    Attributes:
        full_E: on all images; nan where undefined.
        without_BE: with each block of images left out in turn.
        undefined_E: how many pairs (or images, for attributions) were undefined.
        count_B: what the blocks hold; None where they are about equally large.
    """

    full_E: Tensor
    without_BE: Tensor
    undefined_E: Tensor
    count_B: Tensor | None = None

    @classmethod
    def of(cls, values: Replicated) -> Measured:
        """A quantity that is one number an ensemble, undefined as a whole or not at all."""
        return cls(values.full_E, values.without_BE, values.full_E.isnan().long())


@dataclass(frozen=True)
class PairValues:
    """A number of every pair of models, on all images and without each block of them.

    Attributes:
        count_B: as `Measured.count_B`.
    """

    full_MM: Tensor
    without_BMM: Tensor
    count_B: Tensor | None = None

    def of(self, family: Ensembles) -> Measured:
        """Its mean over the pairs of each ensemble."""
        full_E, undefined_E = ensemble_mean(self.full_MM, family)
        return Measured(full_E, ensemble_mean(self.without_BMM, family)[0], undefined_E, self.count_B)


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
        accuracy: of the ensembles, by consensus rule.
        improvement: over the most accurate member, by consensus rule (Fig. 5).
        best_E: index of the most accurate member, the first of equals.
        best_member_E, mean_member: accuracy of members.
        diversity: by metric.
        calibration: of the averaged logits.
        failures, votes: how members fail and vote together.
    """

    ensembles: Ensembles
    evaluations: Mapping[str, Evaluation]
    accuracy: Mapping[str, Measured]
    improvement: Mapping[str, Measured]
    best_E: Tensor
    best_member_E: Tensor
    mean_member: Measured
    diversity: Mapping[str, Measured]
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
    grams: Mapping[str, GramSums]


def measure_condition(
    predictions: ConditionPredictions,
    families: Sequence[Ensembles],
    asked: EnsemblesTable,
    grams: Mapping[str, AttributedGrams],
    similarity: PairValues | None = None,
    cost_CC: Tensor | None = None,
) -> ConditionResult:
    """Evaluate all ensembles under one condition.

    Args:
        families: ensembles, one entry a size.
        grams: for each attribution metric, the Gram matrices of the attributed images.
        similarity: of the models' representations, where they were compared.
        cost_CC: the cost of taking one class for another.

    Memory: a chunk of logits, `Answers`, and M×M and E numbers for each block.
    """
    names = asked_metrics(asked.diversity)
    seen = _pass_over_logits(predictions, families, asked, cost_CC)
    answers = seen.answers

    counts = answers.pair_counts()
    total, without = counts.total(), counts.without_each_block()
    outputs, outputs_without = seen.outputs.tables(), seen.outputs.tables_without()
    pairs: dict[str, PairValues] = {}
    for name in names:
        if name in PAIRWISE:
            pairs[name] = PairValues(PAIRWISE[name].function(*total), PAIRWISE[name].function(*without))
        elif name in outputs:
            pairs[name] = PairValues(outputs[name], outputs_without[name])
    if similarity is not None:
        pairs[SIMILARITY.name] = similarity

    sums, strata = {}, {}
    for metric, stored in grams.items():
        sums[metric], strata[metric] = _sums_of_grams(stored, answers, families)

    sizes = []
    for i, (family, evaluations) in enumerate(zip(families, seen.evaluations, strict=True)):
        failures, votes = answers.failure_counts(family), answers.votes(family)
        diversity = {name: values.of(family) for name, values in pairs.items()}
        of_counts = evaluate_failures(failures, [name for name in names if name in ENSEMBLE_METRICS])
        diversity |= {name: Measured.of(values) for name, values in of_counts.items()}
        for name, where in _SHANNON.items():
            if name in names:
                equitability = votes.shannon(where, asked.shannon_species, predictions.num_classes)
                diversity[name] = Measured.of(equitability)
        if AMBIGUITY.name in names:
            diversity[AMBIGUITY.name] = Measured.of(seen.calibrations[i].ambiguity)
        for metric, of_metric in sums.items():
            left_out_E = torch.full((len(family),), int(of_metric.left_out_B.sum()))
            diversity[metric] = Measured(
                attribution_diversity(of_metric.mean_gram(), family),
                attribution_diversity(of_metric.leave_one_block_out(), family),
                left_out_E,
            )
            for stratum, found in strata[metric][i].result().items():
                diversity[f"{metric}_{stratum}"] = Measured(found.full_E, found.without_BE, left_out_E)
        sizes.append(
            _of_members(family, evaluations, seen.models, diversity, seen.calibrations[i], failures, votes)
        )
    return ConditionResult(
        predictions.condition,
        len(predictions),
        seen.models,
        {name: values.full_MM for name, values in pairs.items()}
        | {metric: _of_two(of_metric.mean_gram()) for metric, of_metric in sums.items()},
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
    diversity: Mapping[str, Measured],
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
    none_E = torch.zeros(len(family), dtype=torch.int64)
    accuracy, improvement = {}, {}
    for name, evaluation in evaluations.items():
        credits_E, left_credits_BE = _with_and_without(evaluation.credits_BE)
        accuracy[name] = Measured(evaluation.accuracy_E, evaluation.leave_one_out_BE, none_E)
        improvement[name] = Measured(
            (credits_E - best_E * CREDITS) / (count * CREDITS),
            (left_credits_BE - best_BE * CREDITS) / (left_B[:, None] * CREDITS),
            none_E,
        )
    size = family.size
    mean_member = Measured(
        right_EK.sum(-1) / (size * count), left_BEK.sum(-1) / (size * left_B[:, None]), none_E
    )
    return EnsembleResult(
        family,
        evaluations,
        accuracy,
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
