"""Diversity metrics: what each measures, its bounds and direction, and the one registry of them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nversion.core import Registry

MetricOf = Literal["pairs", "failure counts", "outputs", "votes", "likelihood", "layers", "maps"]
Bound = float | Callable[[int], float]
Function = Callable[..., Any]


@dataclass(frozen=True)
class Metric:
    """A measure of diversity and what a reader of its values must know.

    Attributes:
        name: its id in tables.
        label: its name for readers.
        group: the heading under which it is listed.
        of: what its function is applied to, in the order in which metrics are listed.
            "pairs": (n11, n10, n01, n00), float tensors of one shape, to values of that shape; symmetric in
            n10 and n01; an ensemble's value is the mean over its pairs.
            "failure counts": counts of shape (..., K + 1), the number of samples on which exactly i = 0 … K
            members fail, to values of shape (...); K ≥ 2.
            "outputs": `OutputSums` to a table of all pairs, with and without each block.
            "votes": (`VoteStatistics`, species, number of classes) to a `Replicated` of all ensembles.
            "likelihood": `EnsembleCalibration` to a `Replicated` of all ensembles.
            "layers" and "maps": stored similarities and Gram matrices; there is no function.
        low, high: the values' bounds, both attainable: a number, or a function of K; an infinite one is
            approached.
        higher_is_more_diverse: False where a low value means diverse.
        formula: one line.
        undefined_when: when the value is nan, one phrase.
        function: see `of`.
        method, target, normalise: of the attribution maps of a metric of maps.
        subset: "all", "some" or "none": the images that so many members classify correctly; None: all images.
    """

    name: str
    label: str
    group: str
    of: MetricOf
    low: Bound
    high: Bound
    higher_is_more_diverse: bool
    formula: str
    undefined_when: str
    function: Function | None = None
    method: str | None = None
    target: str | None = None
    normalise: str | None = None
    subset: str | None = None

    def bounds(self, size: int = 2) -> tuple[float, float]:
        """The lowest and the highest value of ensembles of `size` members.

        Pairs have the widest bounds of the metrics here: `bounds()` holds for every size.

        >>> METRICS["kappa"].bounds(3)
        (-0.5, 1.0)
        """
        low, high = (bound(size) if callable(bound) else bound for bound in (self.low, self.high))
        return low, high


METRICS: Registry[Metric] = Registry("diversity metric", "nversion.metrics")
_ORDER: tuple[MetricOf, ...] = ("pairs", "failure counts", "outputs", "votes", "likelihood", "layers", "maps")


def metric(
    name: str,
    *,
    of: MetricOf,
    label: str | None = None,
    group: str = "Others",
    low: Bound,
    high: Bound,
    higher_is_more_diverse: bool,
    formula: str,
    undefined_when: str,
) -> Callable[[Function], Function]:
    """Decorator: register a function as the metric `name`; arguments are the attributes of `Metric`.

    Args:
        label: None: the name with spaces.
    """
    label = label or name.replace("_", " ").capitalize()

    def register(function: Function) -> Function:
        METRICS.register(name)(
            Metric(
                name, label, group, of, low, high, higher_is_more_diverse, formula, undefined_when, function
            )
        )
        return function

    return register


def metrics_of(*kinds: MetricOf) -> Mapping[str, Metric]:
    """The registered metrics by name, kind after kind; of some kinds only where these are named."""
    wanted = sorted(METRICS.values(), key=lambda one: _ORDER.index(one.of))
    return {one.name: one for one in wanted if not kinds or one.of in kinds}
