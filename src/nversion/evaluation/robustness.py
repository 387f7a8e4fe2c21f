"""Effective robustness of a study's models: what their clean accuracy does not explain."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from nversion.models import Card
from nversion.reliability import effective_robustness, group_robustness

from .design import stated
from .measure import ConditionResult
from .schemas import ROBUSTNESS, ROBUSTNESS_GROUPS

GROUPS = ("family", "training")


def robustness_tables(
    result: ConditionResult, clean: ConditionResult, cards: Sequence[Card]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A row for each model, and one for each declared family and training approach, under one corruption.

    Args:
        clean: the same data set's clean images.
    """
    found = effective_robustness(clean.models.right_BM, result.models.right_BM, result.models.count_B)
    of_models = pl.DataFrame(
        {
            "model": [card.name for card in cards],
            "family": [card.family for card in cards],
            "training": [card.training for card in cards],
            "clean_top1": found.clean_top1_M.tolist(),
            "top1": found.top1_M.tolist(),
            "expected_top1": found.expected_top1_M.tolist(),
            "residual_probit": found.residual_probit_M.tolist(),
            "residual_points": found.residual_points_M.tolist(),
            "low": found.low_M.tolist(),
            "high": found.high_M.tolist(),
        }
    ).with_columns(condition=pl.lit(result.condition), n_models=pl.lit(len(cards)))
    of_groups = [
        {"condition": result.condition, "kind": kind, **vars(group)}
        for kind in GROUPS
        for group in group_robustness(found, [stated(card, kind) for card in cards])
        if group.group
    ]
    return (
        of_models.select(list(ROBUSTNESS)).cast(pl.Schema(ROBUSTNESS)),
        pl.DataFrame(of_groups, schema=ROBUSTNESS_GROUPS),
    )
