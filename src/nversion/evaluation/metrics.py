"""Every diversity metric that a study can measure, under one kind of facts."""

from __future__ import annotations

from collections.abc import Sequence

from nversion.core import UserError, did_you_mean
from nversion.diversity import (
    AMBIGUITY,
    ENSEMBLE_METRICS,
    OUTPUT_METRICS,
    PAIRWISE,
    VOTE_METRICS,
    MetricFacts,
)

SIMILARITY = MetricFacts(
    name="cka",
    low=float("-inf"),
    high=1.0,
    higher_is_more_diverse=False,
    formula="mean over layers at matched depth of the unbiased minibatch CKA of two models (Eq. 6)",
    undefined_when="no layer's similarity with itself is above 0, or batches hold fewer than 4 images",
)


def known_metrics() -> dict[str, MetricFacts]:
    """Facts of every metric made from predictions, by name; the bounds hold for every ensemble size."""
    pairwise = {
        name: MetricFacts(name, m.low, m.high, m.higher_is_more_diverse, m.formula, m.undefined_when)
        for name, m in PAIRWISE.items()
    }
    of_ensembles = {
        name: MetricFacts(name, *m.bounds(), m.higher_is_more_diverse, m.formula, m.undefined_when)
        for name, m in ENSEMBLE_METRICS.items()
    }
    outputs = {**OUTPUT_METRICS, **VOTE_METRICS, AMBIGUITY.name: AMBIGUITY}
    return {**pairwise, **of_ensembles, **outputs}


def asked_metrics(names: Sequence[str] | None) -> list[str]:
    """The names asked for; None: all known ones.

    Raises:
        UserError: a name is not known.
    """
    known = list(known_metrics())
    for name in names or ():
        if name not in known:
            raise UserError(
                expected="a known diversity metric", found=repr(name), next_step=did_you_mean(name, known)
            )
    return known if names is None else list(names)
