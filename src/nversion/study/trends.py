"""How each diversity metric relates to what ensembles gain: the correlations table (Fig. 7, B)."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from nversion.reliability import relation_interval

from .measure import ConditionResult, EnsembleResult, Measured
from .schemas import CORRELATIONS

MEAN_MEMBER_ACCURACY = "mean_member_accuracy"


def correlations(result: ConditionResult, clean: ConditionResult | None) -> pl.DataFrame:
    """Correlations of every metric with the improvement, with the interval of shared members and images.

    Args:
        result: of one condition; diversity is related to the improvement under the same condition.
        clean: of the same data set's clean images, where there are some: their diversity is related
            to the improvement under `result`'s condition, too.
    """
    sources = [result] if clean is None or clean.condition == result.condition else [result, clean]
    rows = [row for source in sources for row in _rows(source, result)]
    return pl.DataFrame(rows, schema=CORRELATIONS)


def _rows(diversity: ConditionResult, accuracy: ConditionResult) -> Iterator[dict[str, object]]:
    for of_diversity, of_accuracy in zip(diversity.sizes, accuracy.sizes, strict=True):
        for metric, x in _metrics(of_diversity).items():
            z = None if metric == MEAN_MEMBER_ACCURACY else of_accuracy.mean_member
            for consensus, y in of_accuracy.improvement.items():
                estimates = relation_interval(
                    x.full_E,
                    y.full_E,
                    None if z is None else z.full_E,
                    x.without_BE,
                    y.without_BE,
                    None if z is None else z.without_BE,
                    of_accuracy.ensembles.members_EK,
                    of_accuracy.ensembles.num_models,
                )
                for statistic, estimate in estimates.items():
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


def _metrics(result: EnsembleResult) -> dict[str, Measured]:
    return {**result.diversity, MEAN_MEMBER_ACCURACY: result.mean_member}
