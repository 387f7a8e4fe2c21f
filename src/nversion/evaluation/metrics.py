"""The diversity metrics of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence

from nversion.core import UserError, did_you_mean
from nversion.diversity import CKA, METRICS, STRATA, Metric, attribution_metric, metrics_of
from nversion.predictions.grams import AttributionTable

from .registry import shared
from .settings import EnsemblesTable


def asked_metrics(names: Sequence[str] | None) -> list[str]:
    """The names asked for; None: all registered ones.

    Raises:
        UserError: a name is not known.
    """
    known = list(metrics_of())
    for name in names or ():
        if name not in known:
            raise UserError(
                expected="a known diversity metric", found=repr(name), next_step=did_you_mean(name, known)
            )
    return known if names is None else list(names)


@shared("study")
def metrics(
    asked: EnsemblesTable, has_layers: bool, attribution: AttributionTable | None = None
) -> list[Metric]:
    """Every metric that is measured: of predictions, of layers, and of attribution maps."""
    found = [METRICS[name] for name in asked_metrics(asked.diversity)]
    if has_layers:
        found.append(CKA)
    if attribution is None:
        return found
    return found + [
        attribution_metric(method, target, normalise, subset, absolute=attribution.absolute)
        for method in attribution.methods
        for target in attribution.targets
        for normalise in attribution.normalise
        for subset in (None, *STRATA)
    ]
