"""What a reader of a metric's values must know, for metrics that are not formulas on pair counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MetricFacts:
    """The fields of `PairwiseMetric` that tables show.

    Attributes:
        name: as it stands in tables.
        low, high: the values' bounds.
        higher_is_more_diverse: false where a low value means diverse.
        formula: one line.
        undefined_when: when the value is nan, one phrase.
    """

    name: str
    low: float
    high: float
    higher_is_more_diverse: bool
    formula: str
    undefined_when: str
