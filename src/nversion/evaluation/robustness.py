"""Effective robustness of a study's models: what their clean accuracy does not explain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from nversion.models import Card
from nversion.reliability import EffectiveRobustness, effective_robustness, group_robustness

from .design import stated
from .measure import ConditionResult
from .registry import FLOAT, INT, TEXT, shared, table

GROUPS = ("family", "training")


@shared("condition")
def effective(result: ConditionResult, clean_twin: ConditionResult) -> EffectiveRobustness:
    """What the clean accuracy of the same data set does not explain."""
    return effective_robustness(clean_twin.models.right_BM, result.models.right_BM, result.models.count_B)


@table("robustness", of="condition", schema={
    "condition": TEXT, "model": TEXT, "family": TEXT, "training": TEXT, "clean_top1": FLOAT,
    "top1": FLOAT, "expected_top1": FLOAT, "residual_probit": FLOAT, "residual_points": FLOAT,
    "low": FLOAT, "high": FLOAT, "n_models": INT,
})  # fmt: skip
def robustness_table(
    result: ConditionResult, effective: EffectiveRobustness, cards: Sequence[Card]
) -> pl.DataFrame:
    """A row for each model under one corruption."""
    return pl.DataFrame(
        {
            "model": [card.name for card in cards],
            "family": [card.family for card in cards],
            "training": [card.training for card in cards],
            "clean_top1": effective.clean_top1_M.tolist(),
            "top1": effective.top1_M.tolist(),
            "expected_top1": effective.expected_top1_M.tolist(),
            "residual_probit": effective.residual_probit_M.tolist(),
            "residual_points": effective.residual_points_M.tolist(),
            "low": effective.low_M.tolist(),
            "high": effective.high_M.tolist(),
        }
    ).with_columns(condition=pl.lit(result.condition), n_models=pl.lit(len(cards)))


@table("robustness_groups", of="condition", schema={
    "condition": TEXT, "kind": TEXT, "group": TEXT, "n_models": INT, "residual_points": FLOAT,
    "low": FLOAT, "high": FLOAT, "note": TEXT,
})  # fmt: skip
def robustness_groups_table(
    result: ConditionResult, effective: EffectiveRobustness, cards: Sequence[Card]
) -> Iterator[dict[str, object]]:
    """A row for each declared family and training approach under one corruption."""
    for kind in GROUPS:
        for group in group_robustness(effective, [stated(card, kind) for card in cards]):
            if group.group:
                yield {"condition": result.condition, "kind": kind, **vars(group)}
