"""From logits and Grams of one condition to numbers for all ensembles, with and without each block.

Every value comes twice: on all images, and on all but one block of them, for each block. The second
is what intervals are made of; it costs no further pass because all statistics are sums per block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nversion.attribution import GramSums
from nversion.diversity import PAIRWISE, PairCounts, attribution_diversity, ensemble_mean, leave_one_block_out
from nversion.ensembles import (
    Chunk,
    Ensembles,
    Evaluation,
    ModelAccuracy,
    ModelStatistics,
    evaluate_sizes,
    right_MN,
)
from nversion.predictions import Predictions


@dataclass(frozen=True)
class Measured:
    """A quantity of E ensembles.

    Attributes:
        full_E: on all images; nan where undefined.
        without_BE: with each block of images left out in turn.
        undefined_E: how many pairs (or images, for attributions) were undefined.
    """

    full_E: Tensor
    without_BE: Tensor
    undefined_E: Tensor


@dataclass(frozen=True)
class EnsembleResult:
    """What one size of ensembles gives under one condition.

    Attributes:
        accuracy: of the ensembles, by consensus rule.
        improvement: over the most accurate member, by consensus rule (Fig. 5).
        best_member_E, mean_member: accuracy of members.
        diversity: by metric.
    """

    ensembles: Ensembles
    evaluations: Mapping[str, Evaluation]
    accuracy: Mapping[str, Measured]
    improvement: Mapping[str, Measured]
    best_member_E: Tensor
    mean_member: Measured
    diversity: Mapping[str, Measured]


@dataclass(frozen=True)
class ConditionResult:
    """Everything the tables say about one condition."""

    condition: str
    num_samples: int
    models: ModelAccuracy
    pairs: Mapping[str, Tensor]
    sizes: Sequence[EnsembleResult]


def measure_condition(
    predictions: Predictions,
    ensembles: Sequence[Ensembles],
    consensus: Sequence[str],
    pairwise: Sequence[str],
    grams: Mapping[str, GramSums],
    draw_seed: int | None = None,
) -> ConditionResult:
    """Evaluate all ensembles under one condition.

    Args:
        ensembles: one family of ensembles a size.
        pairwise: names in `nversion.diversity.PAIRWISE`.
        grams: for each attribution metric, sums of Gram matrices over the attributed samples.
        draw_seed: settles tied votes by a seeded draw instead of their expected accuracy.

    Memory: a chunk of logits, M×M and E numbers for each block.
    """
    num_models, num_blocks = len(predictions.model_names), predictions.num_blocks
    statistics = ModelStatistics(num_models, num_blocks)
    counts: list[PairCounts] = []

    def watched() -> Iterator[Chunk]:
        """One pass over the logits for everything: sums are taken as the chunks go by."""
        for chunk in predictions.chunks():
            statistics.update(chunk)
            seen = PairCounts.from_right(
                right_MN(chunk.logits_MNC, chunk.labels_N), chunk.blocks_N, num_blocks
            )
            counts[:] = [counts[0] + seen] if counts else [seen]
            yield chunk

    evaluations = evaluate_sizes(watched(), ensembles, consensus, num_blocks, draw_seed=draw_seed)
    models = statistics.result()
    total, without = counts[0].total(), counts[0].without_each_block()
    pairs = {name: PAIRWISE[name].function(*total) for name in pairwise}
    pairs_without = {name: PAIRWISE[name].function(*without) for name in pairwise}

    sizes = []
    for family, of_size in zip(ensembles, evaluations, strict=True):
        diversity: dict[str, Measured] = {}
        for name in pairwise:
            full_E, undefined_E = ensemble_mean(pairs[name], family)
            diversity[name] = Measured(full_E, ensemble_mean(pairs_without[name], family)[0], undefined_E)
        for name, sums in grams.items():
            diversity[name] = Measured(
                attribution_diversity(sums.mean_gram(), family),
                attribution_diversity(sums.leave_one_block_out(), family),
                torch.full((len(family),), int(sums.left_out_B.sum())),
            )
        sizes.append(_of_members(family, of_size, models, diversity))
    return ConditionResult(predictions.condition, len(predictions), models, pairs, sizes)


def _of_members(
    family: Ensembles,
    evaluations: Mapping[str, Evaluation],
    models: ModelAccuracy,
    diversity: Mapping[str, Measured],
) -> EnsembleResult:
    # Differences are taken of counts, not of shares: equal gains are then equal numbers, and tie in ranks.
    count, left_B = _with_and_without(models.count_B)
    right_EK, left_BEK = _with_and_without(models.right_BM)
    right_EK, left_BEK = right_EK[family.members_EK], left_BEK[:, family.members_EK]
    best_E, best_BE = right_EK.amax(-1), left_BEK.amax(-1)
    none_E = torch.zeros(len(family), dtype=torch.int64)
    accuracy, improvement = {}, {}
    for name, evaluation in evaluations.items():
        correct_E, left_BE = _with_and_without(evaluation.correct_BE)
        accuracy[name] = Measured(evaluation.accuracy_E, evaluation.leave_one_out_BE, none_E)
        improvement[name] = Measured(
            (correct_E - best_E) / count, (left_BE - best_BE) / left_B[:, None], none_E
        )
    size = family.size
    mean_member = Measured(
        right_EK.sum(-1) / (size * count), left_BEK.sum(-1) / (size * left_B[:, None]), none_E
    )
    return EnsembleResult(family, evaluations, accuracy, improvement, best_E / count, mean_member, diversity)


def _with_and_without(right_BX: Tensor) -> tuple[Tensor, Tensor]:
    """Counts over all blocks, and with each block left out."""
    return right_BX.sum(0), leave_one_block_out(right_BX)
