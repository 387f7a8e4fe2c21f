"""Two models or ensembles of a finished study, compared on the same images under each condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nversion.core import UserError, generator
from nversion.core.members import ensemble_name, members_named
from nversion.data.patterns import matching
from nversion.ensembles import CONSENSUS, CREDITS, Ensembles
from nversion.predictions import ConditionPredictions
from nversion.reliability import (
    bootstrap_difference,
    holm,
    mcnemar_p_value,
    paired_difference_interval,
)

from .halves import credits_in_blocks
from .stored import StoredStudy


@dataclass(frozen=True)
class Comparison:
    """Two contenders under each condition.

    Attributes:
        a, b: their names, as `ensemble_name` gives them. a_members, b_members: models in the study's order.
        rows: for each condition a mapping of
            condition, n (images); a_top1, b_top1 (accuracies, of a shared tie the expected one);
            only_a, only_b (images that one alone gets right, fractional where ties are shared);
            difference (a less b), low, high (95 %, Tango's score interval), bootstrap_low, bootstrap_high
            (95 %, over images; nan where no image tells the two apart); p_value (McNemar's exact test)
            and p_corrected (by Holm's method, for the number of rows).
    """

    a: str
    b: str
    a_members: list[str]
    b_members: list[str]
    consensus: str
    rows: list[dict[str, Any]]


def compare(
    study: StoredStudy,
    a: str,
    b: str,
    *,
    patterns: Sequence[str] = (),
    consensus: str = "average",
    seed: int = 0,
) -> Comparison:
    """Compare two models or ensembles from stored logits; no model runs.

    Memory: a chunk of logits and 8 bytes for each image and model.

    Args:
        a, b: a model's name, or names of members joined by + or commas; any members, in any order. See
            `core.members.members_named`.
        patterns: shell patterns of conditions, see `patterns.matching`; empty: all.
        consensus: how ensembles decide.
        seed: of the bootstrap.

    Raises:
        UserError: an unknown model, condition or rule, or the same contender twice.
    """
    CONSENSUS[consensus]  # an unknown one raises
    named = [members_named(text, study.model_names) for text in (a, b)]
    if named[0] == named[1]:
        raise UserError(
            expected="two different models or ensembles",
            found=f"{ensemble_name(named[0], study.model_names)} twice",
            next_step=f"models of this study: {', '.join(study.model_names)}",
        )
    contenders = [[study.model_names.index(name) for name in members] for members in named]
    names = (
        matching(study.conditions, patterns, "--condition")
        if patterns
        else [condition.name for condition in study.conditions]
    )
    rows = []
    for name in names:
        credits = credits_of_each(study.predictions[name], contenders, consensus)
        rows.append({"condition": name, **_numbers(*credits, generator("bootstrap", name, seed))})
    corrected = holm(torch.tensor([row["p_value"] for row in rows], dtype=torch.float64)).tolist()
    rows = [{**row, "p_corrected": p} for row, p in zip(rows, corrected, strict=True)]
    first, second = named
    a_name, b_name = (ensemble_name(members, study.model_names) for members in named)
    return Comparison(a_name, b_name, first, second, consensus, rows)


def credits_of_each(
    view: ConditionPredictions, contenders: Sequence[Sequence[int]], consensus: str
) -> tuple[Tensor, Tensor]:
    """Credits of two contenders on each image, (N,): `CREDITS` if right, a share of them for a shared tie."""
    ensembles = [list(members) for members in contenders if len(members) > 1]
    num_models = len(view.model_names)
    families = [Ensembles.of([members], num_models) for members in ensembles]
    # With a block for each image, the sums of the blocks are the images'.
    each = replace(view, blocks_N=np.arange(len(view)))
    credits_NX = credits_in_blocks(each, families, consensus, len(view))
    columns = iter(range(num_models, credits_NX.shape[1]))
    a_N, b_N = (credits_NX[:, members[0] if len(members) == 1 else next(columns)] for members in contenders)
    return a_N, b_N


def _numbers(credits_a_N: Tensor, credits_b_N: Tensor, rng: np.random.Generator) -> dict[str, Any]:
    n = len(credits_a_N)
    right_a_N, right_b_N = credits_a_N / CREDITS, credits_b_N / CREDITS
    # Sums of credits are exact, so that equal accuracies differ by 0; a product of two shares is not.
    a, b = credits_a_N.sum(), credits_b_N.sum()
    both = (right_a_N * right_b_N).sum()
    only_a, only_b = ((of / CREDITS - both).round(decimals=9).clamp(min=0) for of in (a, b))
    low, high = paired_difference_interval(only_a, only_b, n)
    bootstrap = bootstrap_difference(right_a_N, right_b_N, rng)
    return {
        "n": n,
        "a_top1": float(a / (n * CREDITS)),
        "b_top1": float(b / (n * CREDITS)),
        "only_a": float(only_a),
        "only_b": float(only_b),
        "difference": float((a - b) / (n * CREDITS)),
        "low": float(low),
        "high": float(high),
        "bootstrap_low": bootstrap.low,
        "bootstrap_high": bootstrap.high,
        "p_value": float(mcnemar_p_value(only_a, only_b)),
    }
