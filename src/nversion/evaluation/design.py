"""The design-diversity model: methodologies, their properties, and the failures that they predict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import polars as pl
from torch import Tensor

from nversion.ensembles import Ensembles
from nversion.models import Card
from nversion.reliability import (
    Methodologies,
    PredictedFailures,
    logically_unrelated,
    methodology_estimates,
    pair_properties,
    predict_from_half,
    predict_from_other_models,
)

from .evidence import subsets
from .halves import halves
from .measure import ConditionResult
from .registry import BOOL, FLOAT, INT, TEXT, TEXTS, shared, table
from .settings import ReliabilityTable
from .tables import named_ensembles

CROSSED = ("architecture", "training")
"""The two choices of which decisions are logically unrelated if they do not interact."""


def stated(card: Card, fact: str) -> str:
    """What a card states of how its model came about; "" where that was guessed from a name or is unknown."""
    value = getattr(card, fact)
    value = " + ".join(value) if isinstance(value, tuple) else str(value)
    return value if getattr(card, f"{fact}_declared", True) else ""


@shared("study")
def groupings(cards: Sequence[Card], reliability: ReliabilityTable) -> dict[str, Methodologies]:
    """The models grouped by each of the asked facts; a fact that no card states makes no grouping.

    A model whose card does not state the fact is in none of its groups: a guess groups no models.
    """
    found: dict[str, Methodologies] = {}
    for fact in reliability.group_by:
        labels = [stated(card, fact) for card in cards]
        if any(labels):
            found[fact] = Methodologies.of_labels(labels)
    return found


@table("methodologies", of="condition", schema={
    "condition": TEXT, "subset": TEXT, "grouping": TEXT, "methodology_a": TEXT,
    "methodology_b": TEXT, "m_a": INT, "m_b": INT, "quantity": TEXT, "value": FLOAT, "low": FLOAT,
    "high": FLOAT, "note": TEXT,
})  # fmt: skip
def methodologies_table(
    result: ConditionResult, suspects_N: Tensor, groupings: Mapping[str, Methodologies]
) -> Iterator[dict[str, object]]:
    """Mean and joint failure, covariance and correlation of difficulty, of and between methodologies."""
    for subset, answers in subsets(result.answers, suspects_N).items():
        counts = answers.pair_counts()
        for grouping, methodologies in groupings.items():
            for estimate in methodology_estimates(counts.both_wrong_BMM, counts.count_B, methodologies):
                keys = {"condition": result.condition, "subset": subset, "grouping": grouping}
                yield keys | {name: getattr(estimate, name) for name in _ESTIMATE}


@table("properties", of="condition", schema={
    "condition": TEXT, "grouping": TEXT, "methodology_a": TEXT, "methodology_b": TEXT,
    "property": TEXT, "value": FLOAT, "low": FLOAT, "high": FLOAT, "margin": FLOAT, "holds": BOOL,
    "note": TEXT,
})  # fmt: skip
def properties_table(
    result: ConditionResult,
    groupings: Mapping[str, Methodologies],
    cards: Sequence[Card],
    reliability: ReliabilityTable,
) -> Iterator[dict[str, object]]:
    """The three properties of §3.1, each with its number, interval and verdict."""
    counts = result.answers.pair_counts()
    both_wrong_BMM, count_B = counts.both_wrong_BMM, counts.count_B
    checks = [
        (grouping, check)
        for grouping, methodologies in groupings.items()
        for check in pair_properties(both_wrong_BMM, count_B, methodologies, margin=reliability.margin)
    ]
    first, second = ([stated(card, fact) or stated(card, "family") for card in cards] for fact in CROSSED)
    crossing = logically_unrelated(
        both_wrong_BMM, count_B, first, second, choices=CROSSED, margin=reliability.margin
    )
    checks.append((" × ".join(CROSSED), crossing))
    for grouping, check in checks:
        keys = {"condition": result.condition, "grouping": grouping}
        yield keys | {name: getattr(check, name) for name in _CHECK}


@table("predicted_failures", of="condition", schema={
    "condition": TEXT, "ensemble": TEXT, "members": TEXTS, "size": INT, "system": TEXT,
    "predicted_from": TEXT, "grouping": TEXT, "predicted": FLOAT, "independent": FLOAT,
    "observed": FLOAT, "observed_low": FLOAT, "observed_high": FLOAT, "n": INT, "note": TEXT,
})  # fmt: skip
def predicted_failures_table(
    result: ConditionResult, dataset: str, groupings: Mapping[str, Methodologies], model_names: Sequence[str]
) -> Iterator[pl.DataFrame]:
    """How often ensembles fail as predicted from half of the images, and from other models of their kind."""
    right_MN = result.answers.right_MN
    for size in result.sizes:
        family = size.ensembles
        predictions: list[tuple[str, str, dict[str, PredictedFailures]]] = []
        if int((result.answers.blocks_N.bincount() > 0).sum()) >= 4:
            first_half_N = ~halves(dataset, result.answers.blocks_N, seed=0)
            predictions.append(("half of the images", "", predict_from_half(right_MN, first_half_N, family)))
        predictions += [
            ("other models", grouping, predict_from_other_models(right_MN, family, methodologies))
            for grouping, methodologies in groupings.items()
        ]
        for source, grouping, systems in predictions:
            for system, found in systems.items():
                yield _predicted_frame(found, family, model_names).with_columns(
                    condition=pl.lit(result.condition),
                    system=pl.lit(system),
                    predicted_from=pl.lit(source),
                    grouping=pl.lit(grouping),
                )


def _predicted_frame(found: PredictedFailures, family: Ensembles, model_names: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            **named_ensembles(family.members_EK.tolist(), model_names),
            "predicted": found.predicted_E.tolist(),
            "independent": found.independent_E.tolist(),
            "observed": found.observed_E.tolist(),
            "observed_low": found.observed_low_E.tolist(),
            "observed_high": found.observed_high_E.tolist(),
            "note": list(found.notes),
        }
    ).with_columns(size=pl.lit(family.size), n=pl.lit(found.n))


_ESTIMATE = ("methodology_a", "methodology_b", "m_a", "m_b", "quantity", "value", "low", "high", "note")
_CHECK = ("methodology_a", "methodology_b", "property", "value", "low", "high", "margin", "holds", "note")
