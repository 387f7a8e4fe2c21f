"""Eckhardt-Lee and Littlewood-Miller: how often models of one or of two methodologies fail together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from nversion.core import UserError

from .methodologies import Methodologies, few_models_notes
from .methodology_intervals import (
    ModelsAndImages,
    models_and_images_interval,
    with_all_images,
    with_few_failures,
)

LESS_A, LESS_B = "joint_less_two_of_a", "joint_less_two_of_b"
_QUANTITIES = (
    "mean_failure", "joint_failure", "independent", "covariance", "correlation", "difference", LESS_A,
)  # fmt: skip
_OF_ONE, _OF_TWO = _QUANTITIES[:4], (*_QUANTITIES[1:5], LESS_A, LESS_B)


class MethodologyTables(NamedTuple):
    """Unbiased estimates for one or two models drawn from G methodologies, float64, shape (..., G, G).

    Attributes:
        mean_G: E[Θ_A], the chance that a random model fails on a random image; shape (..., G).
        joint_GG: P(both fail). Off the diagonal E[Θ_AΘ_B], of a model each (Littlewood and Miller);
            on it E[Θ_A²], of two different models of A (Eckhardt and Lee). The mean double fault.
        independent_GG: E[Θ_A]·E[Θ_B], what both failing would be if difficulty were the same for
            all images; the square on the diagonal.
        covariance_GG: joint − independent: Cov(Θ_A, Θ_B), on the diagonal Var(Θ_A). Cov may be
            negative: then two methodologies fail together less often than independent ones would.
    """

    mean_G: Tensor
    joint_GG: Tensor
    independent_GG: Tensor
    covariance_GG: Tensor


def methodology_tables(both_wrong_xMM: Tensor, count_x: Tensor, membership_GM: Tensor) -> MethodologyTables:
    """The design-diversity model's quantities, from how often each pair of models fails together.

    With o_i(x) = 1 where model i fails on image x:

        joint       = mean over pairs i ≠ k of mean_x o_i(x)·o_k(x)
        independent = mean over pairs i ≠ k of mean over x ≠ x' of o_i(x)·o_k(x')
        covariance  = joint − independent = N/(N−1) · mean over pairs of (n00/N − p_i·p_k)

    Pairs of different models and different images make each unbiased for images and models
    drawn independently: the mean share of failing models squared, E[θ̂²], is too high by E[θ(1−θ)]/m,
    and the mean rate squared, p̄², makes the variance too low. An unbiased Var can be negative.
    Sources: Eckhardt and Lee 1985; Littlewood and Miller 1989.

    Args:
        both_wrong_xMM: images on which both models fail, the models' own failures on the diagonal;
            leading axes are sets of images (blocks left out).
        count_x: number of images of each set.
        membership_GM: bool or 0/1; a model in at most one methodology.

    Returns:
        nan where not identified: joint, independent and covariance of a methodology of one model
        with itself, everything without images (independent and covariance: with one image).

    >>> # Two models that fail on the first two of four images; one that fails on the last two.
    >>> fails_MN = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]]).double()
    >>> groups = torch.tensor([[1, 1, 0], [0, 0, 1]])
    >>> tables = methodology_tables(fails_MN @ fails_MN.T, torch.tensor(4.0), groups)
    >>> [[round(value, 4) for value in row] for row in tables.covariance_GG.tolist()]
    [[0.3333, -0.3333], [-0.3333, nan]]
    """
    both_wrong_xMM, membership_GM = both_wrong_xMM.double(), membership_GM.double()
    count = count_x.double()[..., None, None]
    wrong_xM = both_wrong_xMM.diagonal(dim1=-2, dim2=-1)
    wrong_xG = wrong_xM @ membership_GM.T
    # Sums over pairs of different models, i ≠ k: what a model does with itself is taken off the diagonal.
    together_GG = membership_GM @ (both_wrong_xMM @ membership_GM.T) - torch.diag_embed(wrong_xG)
    squares_xG = wrong_xM**2 @ membership_GM.T
    anywhere_GG = wrong_xG.unsqueeze(-1) * wrong_xG.unsqueeze(-2) - torch.diag_embed(squares_xG)
    num_models_G = membership_GM.sum(1)
    num_pairs_GG = num_models_G.unsqueeze(1) * num_models_G - num_models_G.diag()
    joint_GG = together_GG / (num_pairs_GG * count)
    independent_GG = (anywhere_GG - together_GG) / (num_pairs_GG * count * (count - 1))
    return MethodologyTables(
        mean_G=wrong_xG / (num_models_G * count[..., 0]),
        joint_GG=joint_GG,
        independent_GG=independent_GG,
        covariance_GG=joint_GG - independent_GG,
    )


def correlation_of(covariance_GG: Tensor) -> Tensor:
    """Corr(Θ_A, Θ_B) = Cov / √(Var_A · Var_B), from a table of covariances with variances on its diagonal.

    A ratio of unbiased estimates: consistent, but biased by the order of 1/m + 1/N, and it may lie
    outside ±1, where no correlation is: `methodology_estimates` reports the nearest value that one can
    have. The correlation of difficulty, not of failures: two models of one methodology have correlation
    1 here, however rarely they fail together. nan where a variance is ≤ 0 or not identified.

    >>> correlation_of(torch.tensor([[4.0, 1.0], [1.0, 1.0]]).double())[0, 1].item()
    0.5
    """
    variance_G = covariance_GG.diagonal(dim1=-2, dim2=-1)
    deviation_G = torch.where(variance_G > 0, variance_G, torch.nan).sqrt()
    return covariance_GG / (deviation_G.unsqueeze(-1) * deviation_G.unsqueeze(-2))


@dataclass(frozen=True)
class MethodologyEstimate:
    """One number about one methodology (a = b) or two, with its interval.

    Attributes:
        methodology_a, methodology_b: names; equal for the Eckhardt-Lee quantities.
        m_a, m_b: models of each.
        quantity: "mean_failure" (a = b only), "joint_failure", "independent", "covariance" (the
            variance of difficulty where a = b), "correlation", "joint_less_two_of_a" and
            "joint_less_two_of_b" (a ≠ b only). The last two are E[Θ_AΘ_B] − E[Θ_A²] and − E[Θ_B²]: below
            0 where a mixed pair fails together less often than two models of the one methodology. The
            images and models are the same on both sides, so what they have in common cancels: this
            interval can leave out 0 where those of the two joint failures overlap.
        value, low, high: nan where not identified.
        note: what a reader must know about this number; empty where nothing is unusual.
    """

    methodology_a: str
    methodology_b: str
    m_a: int
    m_b: int
    quantity: str
    value: float
    low: float
    high: float
    note: str


def methodology_estimates(
    both_wrong_BMM: Tensor,
    count_B: Tensor,
    methodologies: Methodologies,
    *,
    confidence: float = 0.95,
    target_rate: float = 1e-3,
) -> list[MethodologyEstimate]:
    """All quantities of every methodology and pair of methodologies, with intervals.

    Point estimates are `methodology_tables`', intervals `models_and_images_interval`'s: each alone
    covers with the stated confidence, not all together. Intervals of rates end at 0 and 1.

    A correlation that is estimated beyond ±1 is reported as ±1, with a note, and its interval ends
    there: a value within the bounds is nearer to any true one than the raw estimate is, and the part of
    an interval within the bounds covers as often as the whole. Where the whole interval lies beyond,
    there is none: a variance of difficulty is then too near 0 for a ratio.

    With fewer than 5 failing (jointly failing) images a model (a pair) on average, the Clopper-Pearson
    interval of the images is joined to a rate's interval, because a jackknife of zeros gives [0, 0], and
    the note says how many images would show `target_rate`.

    Args:
        both_wrong_BMM: images of each block on which both models fail (`PairCounts.both_wrong_BMM`).
        count_B: images of each block, at least two blocks with images.
        methodologies: of the same M models.
        confidence: of the two-sided intervals.
        target_rate: the failure rate that the note on few failures speaks of.

    Returns:
        In the order of the methodologies: of each a, first its own quantities, then those of its
        pairs with every later b.

    Raises:
        UserError: tables of another number of models or blocks, fewer than two blocks with images.
    """
    intervals = estimate_all(both_wrong_BMM, count_B, methodologies, confidence=confidence)
    num_images = round(float(count_B.sum()))
    rows = []
    for a, name_a in enumerate(methodologies.names):
        for b, name_b in enumerate(methodologies.names[a:], start=a):
            m_a, m_b = (int(methodologies.num_models_G[g]) for g in (a, b))
            for quantity in _OF_ONE if a == b else _OF_TWO:
                value, low, high, notes = intervals.entry(quantity, a, b)
                if math.isnan(value):
                    notes = [_why_undefined(quantity, m_a, m_b, same=a == b)]
                elif quantity in ("mean_failure", "joint_failure"):
                    low, high, few = with_few_failures(
                        value, low, high, num_images, confidence=confidence, target_rate=target_rate
                    )
                    notes += few
                note = "; ".join(notes)
                rows.append(MethodologyEstimate(name_a, name_b, m_a, m_b, quantity, value, low, high, note))
    return rows


class AllEstimates(NamedTuple):
    """Every quantity of every pair of methodologies with its interval, shape (quantities, G, G)."""

    estimates_QGG: ModelsAndImages
    methodologies: Methodologies

    def entry(self, quantity: str, a: int, b: int) -> tuple[float, float, float, list[str]]:
        """Value, low, high and notes of one quantity; ends kept within the quantity's bounds."""
        at = (_QUANTITIES.index(LESS_A), b, a) if quantity == LESS_B else (_QUANTITIES.index(quantity), a, b)
        value, low, high = (float(part[at]) for part in self.estimates_QGG[:3])
        least, most = {
            "correlation": (-1.0, 1.0),
            "covariance": (-0.25, 0.25),
            "difference": (-1.0, 1.0),
            LESS_A: (-1.0, 1.0),
            LESS_B: (-1.0, 1.0),
        }.get(quantity, (0.0, 1.0))
        notes = few_models_notes(self.methodologies, sorted({a, b}))
        undefined = int(self.estimates_QGG.num_undefined[at])
        if undefined:
            notes.append(f"undefined without one model or block in {undefined} cases")
        if math.isnan(low) and not math.isnan(value):
            notes.append("no interval: too few replicates are defined")
        if quantity == "correlation" and abs(value) > 1:
            notes.append(
                f"estimated at {value:.2f} and shown as {math.copysign(1, value):.0f}: a variance of "
                "difficulty is hardly above 0"
            )
            value = math.copysign(1.0, value)
        if low > most or high < least:
            low = high = math.nan
            notes.append("no interval: the whole of it lies beyond what the number can be")
        elif not math.isnan(low):
            low, high = (min(max(end, least), most) for end in (low, high))
        return value, low, high, notes


def estimate_all(
    both_wrong_BMM: Tensor, count_B: Tensor, methodologies: Methodologies, *, confidence: float
) -> AllEstimates:
    """The quantities behind `methodology_estimates` and the properties, as tables."""
    check_counts(both_wrong_BMM, count_B, methodologies.membership_GM.shape[1])
    both_wrong_xMM, count_x = with_all_images(both_wrong_BMM), with_all_images(count_B)

    def quantities(membership_GM: Tensor) -> Tensor:
        tables = methodology_tables(both_wrong_xMM, count_x, membership_GM)
        mean_xGG = tables.mean_G.unsqueeze(-1).expand_as(tables.joint_GG)
        own_xG1 = tables.joint_GG.diagonal(dim1=-2, dim2=-1).unsqueeze(-1)
        return torch.stack(
            [
                mean_xGG,
                tables.joint_GG,
                tables.independent_GG,
                tables.covariance_GG,
                correlation_of(tables.covariance_GG),
                mean_xGG - mean_xGG.mT,
                tables.joint_GG - own_xG1,
            ],
            dim=1,
        )

    membership_GM = methodologies.membership_GM.to(both_wrong_BMM.device)
    return AllEstimates(
        models_and_images_interval(quantities, membership_GM, count_B, confidence=confidence), methodologies
    )


def check_counts(both_wrong_BMM: Tensor, count_B: Tensor, num_models: int) -> None:
    """Raise a UserError unless the pair counts are of so many models and of the blocks counted."""
    if both_wrong_BMM.shape != (len(count_B), num_models, num_models):
        raise UserError(
            expected=f"pair counts of {len(count_B)} blocks and {num_models} models",
            found=f"shape {tuple(both_wrong_BMM.shape)}",
            next_step="pass PairCounts.both_wrong_BMM and count_B of the models that are grouped",
        )


def _why_undefined(quantity: str, m_a: int, m_b: int, *, same: bool) -> str:
    if (same and m_a == 1) or (quantity, 1) in ((LESS_A, m_a), (LESS_B, m_b)):
        return "not identified: one model"
    if quantity == "correlation" and min(m_a, m_b) == 1:
        return "not identified: one model of a methodology, so the variance of its difficulty is unknown"
    if quantity == "correlation":
        return "undefined: a variance of difficulty is estimated at 0 or below"
    return "undefined: too few images"
