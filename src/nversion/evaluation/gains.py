"""Gains of ensembles over the best single model of the pool, and the smallest gain that the images show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl
import torch

from nversion.ensembles import CREDITS
from nversion.reliability import images_to_show_gain, paired_difference_interval, smallest_gain

from .measure import ConditionResult
from .registry import FLOAT, INT, TEXT, TEXTS, table
from .tables import named_ensembles

MOST = 10
"""Ensembles of a size, rule and condition that are listed."""
CONFIDENCE = 0.95
ONE_POINT = 0.01


@table("gains", of="condition", schema={
    "ensemble": TEXT, "members": TEXTS, "size": INT, "consensus": TEXT, "condition": TEXT,
    "rank": INT, "best_model": TEXT, "n": INT, "only_ensemble": FLOAT, "only_model": FLOAT,
    "difference": FLOAT, "low": FLOAT, "high": FLOAT, "low_corrected": FLOAT,
    "high_corrected": FLOAT, "num_compared": INT,
})  # fmt: skip
def gains_table(result: ConditionResult, model_names: Sequence[str]) -> Iterator[pl.DataFrame]:
    """The ten ensembles of each size and rule that are right most often, against the best single model.

    `low` and `high` are the score interval of the paired difference for one ensemble alone.
    `low_corrected` and `high_corrected` are Bonferroni's for all `num_compared` ensembles of the size: they
    hold for the ten although the same images put them first. The model is the one of the whole pool that is
    right most often on these images, the first of equals; its lead over other models is partly luck, which
    makes the comparison harder for the ensembles.
    """
    right_M = result.models.right_BM.sum(0) * CREDITS
    best = int((right_M == right_M.max()).int().argmax())
    for size in result.sizes:
        num_compared = len(size.ensembles)
        for consensus, evaluation in size.evaluations.items():
            credits_E = evaluation.credits_BE.sum(0)
            first_e = torch.argsort(credits_E, descending=True, stable=True)[:MOST]
            gained_e = (credits_E[first_e] - right_M[best]).double()
            both_e = evaluation.credits_with_model_EM[first_e, best]
            only_ensemble_e = (credits_E[first_e] - both_e).double() / CREDITS
            only_model_e = (right_M[best] - both_e).double() / CREDITS
            low_e, high_e = paired_difference_interval(only_ensemble_e, only_model_e, result.num_samples)
            at_once = 1 - (1 - CONFIDENCE) / num_compared
            corrected = paired_difference_interval(
                only_ensemble_e, only_model_e, result.num_samples, confidence=at_once
            )
            columns = {
                "rank": range(1, len(first_e) + 1),
                **named_ensembles(size.ensembles.members_EK[first_e].tolist(), model_names),
                "only_ensemble": only_ensemble_e.tolist(),
                "only_model": only_model_e.tolist(),
                "difference": (gained_e / (result.num_samples * CREDITS)).tolist(),
                "low": low_e.tolist(),
                "high": high_e.tolist(),
                "low_corrected": corrected[0].tolist(),
                "high_corrected": corrected[1].tolist(),
            }
            yield pl.DataFrame(columns).with_columns(
                size=pl.lit(size.ensembles.size),
                consensus=pl.lit(consensus),
                condition=pl.lit(result.condition),
                best_model=pl.lit(model_names[best]),
                n=pl.lit(result.num_samples),
                num_compared=pl.lit(num_compared),
            )


@table("power", of="condition", schema={
    "size": INT, "consensus": TEXT, "condition": TEXT, "n": INT, "num_compared": INT,
    "discordant": FLOAT, "smallest_gain": FLOAT, "smallest_gain_corrected": FLOAT,
    "images_for_a_point": FLOAT,
})  # fmt: skip
def power_table(comparisons: pl.DataFrame) -> Iterator[dict[str, object]]:
    """The smallest gain over the best member that the images of each condition show, by size and rule.

    `discordant` is the median over the ensembles of the share of images that only the ensemble or only
    its best member gets right. `smallest_gain` is for one ensemble named beforehand, at 80 % power and the
    5 % level; `smallest_gain_corrected` for the level that remains when all ensembles of the size are
    compared. `images_for_a_point` is how many images a gain of one point needs.

    Args:
        comparisons: rows of the table of that name.
    """
    keys = ["size", "consensus", "condition"]
    # By NumPy: polars multiplies by the inverse where a column is a literal, and the last digit differs.
    apart = (comparisons["only_ensemble"] + comparisons["only_member"]).to_numpy() / comparisons[
        "n"
    ].to_numpy()
    found = (
        comparisons.with_columns(discordant=pl.Series(apart))
        .group_by(keys, maintain_order=True)
        .agg(pl.col("n").first(), pl.col("num_compared").first(), pl.col("discordant").median())
    )
    for row in found.iter_rows(named=True):
        discordant = torch.tensor(row["discordant"], dtype=torch.float64)
        at_once = 1 - (1 - CONFIDENCE) / row["num_compared"]
        yield row | {
            "smallest_gain": smallest_gain(discordant, row["n"]).item(),
            "smallest_gain_corrected": smallest_gain(discordant, row["n"], confidence=at_once).item(),
            "images_for_a_point": images_to_show_gain(torch.tensor(ONE_POINT), discordant).item(),
        }
