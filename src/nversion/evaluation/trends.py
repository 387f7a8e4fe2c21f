"""How each diversity metric relates to what ensembles gain: the correlations table (Fig. 7, B)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from nversion.ensembles import Replicated
from nversion.reliability import Estimate, relation_intervals

from .measure import ConditionResult, EnsembleResult
from .registry import FLOAT, INT, TEXT, table

MEAN_MEMBER_ACCURACY = "mean_member_accuracy"


@table("correlations", of="condition", schema={
    "metric": TEXT, "size": INT, "consensus": TEXT, "diversity_condition": TEXT,
    "accuracy_condition": TEXT, "statistic": TEXT, "value": FLOAT, "low": FLOAT, "high": FLOAT,
    "n_ensembles": INT, "note": TEXT,
})  # fmt: skip
def correlations(
    result: ConditionResult, clean: ConditionResult | None = None
) -> Iterator[dict[str, object]]:
    """Correlations of every metric with the improvement, with the interval of shared members and images.

    Args:
        result: of one condition; diversity is related to the improvement under the same condition.
        clean: of the same data set's clean images, where there are some: their diversity is related
            to the improvement under `result`'s condition, too.
    """
    sources = [result] if clean is None or clean.condition == result.condition else [result, clean]
    for source in sources:
        yield from _rows(source, result)


def _rows(diversity: ConditionResult, accuracy: ConditionResult) -> Iterator[dict[str, object]]:
    for of_diversity, of_accuracy in zip(diversity.sizes, accuracy.sizes, strict=True):
        mean_member = of_accuracy.mean_member
        competitor = {MEAN_MEMBER_ACCURACY: of_diversity.mean_member}
        for metrics, z in ((of_diversity.diversity, mean_member), (competitor, None)):
            for metric, consensus, statistic, estimate in _related(metrics, of_accuracy, z):
                yield {
                    "metric": metric,
                    "size": of_accuracy.ensembles.size,
                    "consensus": consensus,
                    "diversity_condition": diversity.condition,
                    "accuracy_condition": accuracy.condition,
                    "statistic": statistic,
                    "value": estimate.value,
                    "low": estimate.low,
                    "high": estimate.high,
                    "n_ensembles": estimate.n_ensembles,
                    "note": estimate.note,
                }


def _related(
    metrics: Mapping[str, Replicated], accuracy: EnsembleResult, z: Replicated | None
) -> Iterator[tuple[str, str, str, Estimate]]:
    """Every metric with the gain under every rule; rules of equal gains are computed once."""
    gains = accuracy.improvement
    first_of = {rule: _first_equal(rule, gains) for rule in gains}
    computed = list(dict.fromkeys(first_of.values()))
    if not metrics:
        return
    found = relation_intervals(
        torch.stack([x.full_E for x in metrics.values()]),
        torch.stack([gains[rule].full_E for rule in computed]),
        None if z is None else z.full_E,
        torch.stack([x.without_BE for x in metrics.values()]),
        torch.stack([gains[rule].without_BE for rule in computed]),
        None if z is None else z.without_BE,
        accuracy.ensembles.members_EK,
        accuracy.ensembles.num_models,
    )
    for metric, of_rules in zip(metrics, found, strict=True):
        for rule, first in first_of.items():
            for statistic, estimate in of_rules[computed.index(first)].items():
                yield metric, rule, statistic, estimate


def _first_equal(rule: str, gains: Mapping[str, Replicated]) -> str:
    """The first rule with the same gains: the geometric mean's are those of the average."""
    return next(
        other
        for other in gains
        if torch.equal(gains[other].full_E, gains[rule].full_E)
        and torch.equal(gains[other].without_BE, gains[rule].without_BE)
    )
