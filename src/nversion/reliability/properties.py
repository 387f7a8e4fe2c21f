"""The three properties under which diverse design choices fail together less, as checks with numbers.

Littlewood and Miller (1989) show that a methodology of diverse design choices has fewer common
failures if (1) the choices are logically unrelated, (2) the failures of each are due to different
factors, and (3) one is indifferent between them: none is superior.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .littlewood_miller import check_counts, estimate_all, methodology_tables
from .methodologies import Methodologies, few_models_notes
from .methodology_intervals import FEWEST_MODELS, models_and_images_interval, with_all_images


@dataclass(frozen=True)
class PropertyCheck:
    """What the data say about one property.

    Attributes:
        methodology_a, methodology_b: the two methodologies; for "logically_unrelated" the names of
            the two choices.
        property: "indifference", "different_factors" or "logically_unrelated".
        value, low, high: the measured number with its interval; nan where not identified.
        margin: what the interval is held against.
        holds: True where the whole interval says so, False where the whole interval says the
            contrary; None where it reaches over the margin, or says nothing of other models, or
            the number is not identified: `note` tells which.
        note: empty where nothing is unusual.
    """

    methodology_a: str
    methodology_b: str
    property: str
    value: float
    low: float
    high: float
    margin: float
    holds: bool | None
    note: str


def pair_properties(
    both_wrong_BMM: Tensor,
    count_B: Tensor,
    methodologies: Methodologies,
    *,
    margin: float = 0.02,
    correlation_margin: float = 0.1,
    confidence: float = 0.95,
) -> list[PropertyCheck]:
    """Indifference and different factors of every pair of methodologies.

    indifference: the difference of mean failure E[Θ_A] − E[Θ_B]. Holds where its interval lies
    inside ±margin (an equivalence test), fails where it lies outside. It speaks of the failure
    rate on this condition only: methodologies may differ in cost, or on other conditions.

    different factors: Corr(Θ_A, Θ_B), the correlation of difficulty over images. Holds where its
    interval lies below `correlation_margin` (what is difficult for A is not, or hardly, difficult
    for B), fails where it lies above. "Not distinguishable from 0" is no proof here: a few models
    could show it of anything. It assumes that what makes images differ in difficulty are the
    factors that failures are due to; mislabelled images are difficult for all and raise it.

    Each interval covers alone with the stated confidence, not all together.

    Args:
        both_wrong_BMM, count_B, methodologies: as of `methodology_estimates`.
        margin: of the difference of failure rates.
        correlation_margin: of the correlation.
        confidence: of the two-sided intervals.
    """
    estimates = estimate_all(both_wrong_BMM, count_B, methodologies, confidence=confidence)
    checks = []
    for a, name_a in enumerate(methodologies.names):
        for b, name_b in enumerate(methodologies.names[a + 1 :], start=a + 1):
            covers_models = int(methodologies.num_models_G[[a, b]].min()) >= FEWEST_MODELS
            for name, quantity, least, most in (
                ("indifference", "difference", -margin, margin),
                ("different_factors", "correlation", -2.0, correlation_margin),
            ):
                value, low, high, notes = estimates.entry(quantity, a, b)
                if math.isnan(value):
                    notes = [
                        "not identified: a variance of difficulty is unknown, or estimated at 0 or below"
                    ]
                holds = _judge(low, high, least, most, covers_models, notes)
                note = "; ".join(notes)
                checks.append(PropertyCheck(name_a, name_b, name, value, low, high, most, holds, note))
    return checks


def logically_unrelated(
    both_wrong_BMM: Tensor,
    count_B: Tensor,
    first_labels: Sequence[str],
    second_labels: Sequence[str],
    *,
    choices: tuple[str, str] = ("first choice", "second choice"),
    margin: float = 0.02,
    confidence: float = 0.95,
) -> PropertyCheck:
    """Does what one choice changes about failing depend on the other choice? From crossed choices.

    θ_ab(x) is the chance that a model with first choice a and second choice b (an architecture, a
    training approach) fails on x. Choices that act independently add up: θ_ab(x) is then a term of
    a plus a term of b. What is left is their interaction on that image,

        γ_ab(x) = θ_ab(x) − θ_a·(x) − θ_·b(x) + θ_··(x),

    dots being plain means over levels. The value is its root mean square over cells and images, in
    units of failure probability, from unbiased estimates of E[θ_c·θ_c'] for all pairs of cells
    (`methodology_tables`); an estimate below 0 is shown as 0. Holds where the interval's end lies
    below `margin`, fails where the interval lies above.

    It assumes that failure probabilities, not their logits, are the scale on which unrelated
    choices add, and that models within a cell differ by chance only (seeds). Without two models in
    each cell, chance and interaction are one; without a crossing there is nothing to tell the two
    choices apart. Levels that leave cells with fewer than two models are dropped, the emptiest
    first, until the crossing is complete; with fewer than 2 × 2 levels left: not identified.

    Args:
        both_wrong_BMM: images of each block on which both models fail, shape (B, M, M).
        count_B: images of each block.
        first_labels, second_labels: the two choices of each model; empty is unknown.
        choices: what the two choices are called.
        margin: of the root mean square interaction.
        confidence: of the two-sided interval.
    """
    check_counts(both_wrong_BMM, count_B, len(first_labels))
    crossing = _complete_crossing(first_labels, second_labels)
    if crossing is None:
        note = "not identified: no 2 × 2 levels of the two choices with two models in each cell"
        nan = torch.nan
        return PropertyCheck(*choices, "logically_unrelated", nan, nan, nan, margin, None, note)
    firsts, seconds, cells = crossing
    both_wrong_xMM, count_x = with_all_images(both_wrong_BMM), with_all_images(count_B)
    form_GG = torch.kron(_centring(len(firsts)), _centring(len(seconds))) / (len(firsts) * len(seconds))
    form_GG = form_GG.to(both_wrong_BMM.device)

    def mean_square_interaction(membership_GM: Tensor) -> Tensor:
        joint_xGG = methodology_tables(both_wrong_xMM, count_x, membership_GM).joint_GG
        return (joint_xGG * form_GG).sum((-2, -1))

    estimate = models_and_images_interval(
        mean_square_interaction,
        cells.membership_GM.to(both_wrong_BMM.device),
        count_B,
        confidence=confidence,
    )
    value, low, high = (float(part.clamp(min=0.0).sqrt()) for part in estimate[:3])
    notes = few_models_notes(cells, range(len(cells.names)))
    if cells.num_unassigned:
        kept = f"{', '.join(firsts)} × {', '.join(seconds)}"
        notes.append(f"from the complete part of the crossing: {kept}")
    covers_models = int(cells.num_models_G.min()) >= FEWEST_MODELS
    holds = _judge(low, high, -1.0, margin, covers_models, notes)
    return PropertyCheck(*choices, "logically_unrelated", value, low, high, margin, holds, "; ".join(notes))


def _judge(
    low: float, high: float, least: float, most: float, covers_models: bool, notes: list[str]
) -> bool | None:
    if math.isnan(low) or not covers_models:
        return None
    if least <= low and high <= most:
        return True
    if high < least or low > most:
        return False
    notes.append("undecided: the interval reaches over the margin")
    return None


def _complete_crossing(
    first_labels: Sequence[str], second_labels: Sequence[str]
) -> tuple[list[str], list[str], Methodologies] | None:
    # The levels with two models in every cell, and the cells in row-major order.
    pairs = list(zip(first_labels, second_labels, strict=True))
    firsts = list(dict.fromkeys(first for first, second in pairs if first and second))
    seconds = list(dict.fromkeys(second for first, second in pairs if first and second))
    while len(firsts) >= 2 and len(seconds) >= 2:
        short_of_first = {a: sum(pairs.count((a, b)) < 2 for b in seconds) / len(seconds) for a in firsts}
        short_of_second = {b: sum(pairs.count((a, b)) < 2 for a in firsts) / len(firsts) for b in seconds}
        worst_first = max(firsts, key=short_of_first.__getitem__)
        worst_second = max(seconds, key=short_of_second.__getitem__)
        if short_of_first[worst_first] == 0:
            groups = {
                f"{a} × {b}": [model for model, pair in enumerate(pairs) if pair == (a, b)]
                for a in firsts
                for b in seconds
            }
            return firsts, seconds, Methodologies.of_groups(groups, len(pairs))
        if short_of_first[worst_first] >= short_of_second[worst_second]:
            firsts.remove(worst_first)
        else:
            seconds.remove(worst_second)
    return None


def _centring(size: int) -> Tensor:
    return torch.eye(size, dtype=torch.float64) - 1.0 / size
