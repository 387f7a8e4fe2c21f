"""The one interval of a relation over ensembles that share members and images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy import stats
from torch import Tensor

from nversion.core import UserError

from .intervals import check_confidence
from .jackknife import block_jackknife_stderr
from .relations import num_points, relation

# A correlation this close to ±1 is a line up to rounding; Fisher's z is infinite there.
_LINE = 1.0 - 1e-12


@dataclass(frozen=True)
class Estimate:
    """A statistic over ensembles with its interval.

    Attributes:
        value: the statistic on all images and ensembles; nan where undefined.
        low, high: the interval's ends; nan where there is none, and then `note` says why.
        n_ensembles: ensembles that entered: those with a nan were dropped.
        note: what a reader must know about this interval; empty where nothing is unusual.
    """

    value: float
    low: float
    high: float
    n_ensembles: int
    note: str = ""


def relation_interval(
    x_E: Tensor,
    y_E: Tensor,
    z_E: Tensor | None,
    x_BE: Tensor,
    y_BE: Tensor,
    z_BE: Tensor | None,
    members_EK: Tensor,
    num_models: int,
    *,
    confidence: float = 0.95,
    count_B: Tensor | None = None,
) -> dict[str, Estimate]:
    """Statistics of `relation` with intervals for other models and other images of the same kind.

    Ensembles that share members are not independent points, so their number E says little about
    certainty: the models and the images were drawn, the ensembles follow. With θ on Fisher's z
    (the slope: on its own scale),

        variance = Σ over images: the delete-one-block jackknife of the whole statistic
                 + (M−1)/M · Σ_m (θ_(m) − mean θ_(m))²,   θ_(m) over the ensembles without model m
        interval = θ ± t(M−1) · √variance

    A correlation over all C(M, K) ensembles is a smooth function of U-statistics of degree K in
    the models, for which the factor (M−1)/M of an ordinary sample of M points is the right one
    whatever K (Arvesen 1969): deleting a model leaves the U-statistic of M−1 models. C(M, K) does
    not enter. It errs to the wide side: few models make the jackknife too large (Efron and Stein
    1981), and the chance of one model on one image enters both terms. Simulated coverage of 95 %
    intervals, disagreement against majority accuracy, K = 3, 2000 images, 300 repeats
    (tests/reliability/test_relation_interval_coverage.py):

        M     Pearson  Spearman  partial  slope    Pearson, were all C(M, 3) independent
        8     .983     .990      .993     .953     .610
        14    .960     .970      .973     .940     .367

    Decisions: an ensemble with a nan is dropped. A replicate that is undefined is left out and
    said so; with fewer than two, no interval. When θ and every replicate are the same ±1 the
    interval is [θ, θ]; when only θ is ±1, nan; when only a replicate is, [−1, 1]: Fisher's z is
    infinite there. Each case is noted. Below 3 models only the images' variance counts, with
    t(B−1), noted.

    Args:
        x_E, y_E, z_E: the ensembles' numbers; z is what the partial correlation holds equal, or None.
        x_BE, y_BE, z_BE: the same without the images of block b.
        members_EK: int64 members of each ensemble.
        num_models: M, from which the members are drawn.
        confidence: of the two-sided interval.
        count_B: images of each block; equal when left out.

    Memory: about ten float64 arrays of (B + M)·E.

    Raises:
        UserError: shapes that do not fit each other, fewer than two blocks, a confidence outside (0, 1).
    """
    check_confidence(confidence)
    _check_shapes(x_E, (y_E, z_E), (x_BE, y_BE, z_BE), members_EK, num_models)
    contains_ME = _contains(members_EK, num_models)

    def without_each_model(column_E: Tensor) -> Tensor:
        return torch.where(contains_ME, torch.nan, column_E.double())

    full = relation(x_E, y_E, z_E)
    without_block = relation(x_BE, y_BE, z_BE)
    without_model = relation(
        without_each_model(x_E), without_each_model(y_E), None if z_E is None else without_each_model(z_E)
    )
    estimates = {}
    for name, value in full.items():
        columns_E = (x_E, y_E, z_E) if name == "partial" and z_E is not None else (x_E, y_E)
        estimates[name] = _estimate(
            value,
            without_block[name],
            without_model[name],
            count_B,
            on_fisher_scale=name != "slope",
            n_ensembles=int(num_points(*columns_E)),
            num_dropped=len(x_E) - int(num_points(*columns_E)),
            confidence=confidence,
        )
    return estimates


def _estimate(
    value: Tensor,
    without_block_B: Tensor,
    without_model_M: Tensor,
    count_B: Tensor | None,
    *,
    on_fisher_scale: bool,
    n_ensembles: int,
    num_dropped: int,
    confidence: float,
) -> Estimate:
    num_all = n_ensembles + num_dropped
    notes = [f"dropped {num_dropped} of {num_all} ensembles with an undefined number"] if num_dropped else []
    theta = float(value)

    def result(low: float, high: float, *more: str) -> Estimate:
        return Estimate(theta, low, high, n_ensembles, "; ".join([*notes, *more]))

    if math.isnan(theta):
        return result(math.nan, math.nan, "undefined: too few ensembles or constant numbers")
    with_models = len(without_model_M) >= 3
    if with_models:
        notes += _undefined(without_model_M, "model")
    else:
        notes.append("fewer than 3 models: the interval covers other images only")
    notes += _undefined(without_block_B, "block of images")

    if on_fisher_scale:
        replicates = torch.cat([without_block_B, without_model_M if with_models else without_block_B[:0]])
        replicates = replicates[replicates.isfinite()]
        if abs(theta) >= _LINE:
            theta = math.copysign(1.0, theta)
            if len(replicates) and bool((replicates * theta >= _LINE).all()):
                return result(theta, theta, "all points lie on a line, without any block or model too")
            return result(math.nan, math.nan, "no interval: all points lie on a line")
        if bool((replicates.abs() >= _LINE).any()):
            return result(-1.0, 1.0, "all points lie on a line without some block or model")
        value, without_block_B, without_model_M = map(torch.atanh, (value, without_block_B, without_model_M))

    variance = float(block_jackknife_stderr(value, without_block_B, count_B)) ** 2
    degrees = len(without_block_B) - 1
    if with_models:
        variance += float(block_jackknife_stderr(value, without_model_M)) ** 2
        degrees = len(without_model_M) - 1
    if math.isnan(variance):
        return result(math.nan, math.nan, "no interval: too few ensembles without one model or block")
    half = float(stats.t.ppf((1 + confidence) / 2, degrees)) * math.sqrt(variance)
    centre = float(value)
    if on_fisher_scale:
        return result(math.tanh(centre - half), math.tanh(centre + half))
    return result(centre - half, centre + half)


def _undefined(replicates: Tensor, one: str) -> list[str]:
    number = int(replicates.isnan().sum())
    return [f"undefined without one {one} in {number} of {len(replicates)} cases"] if number else []


def _contains(members_EK: Tensor, num_models: int) -> Tensor:
    contains_EM = torch.zeros(len(members_EK), num_models, dtype=torch.bool, device=members_EK.device)
    return contains_EM.scatter_(1, members_EK, True).T


def _check_shapes(
    x_E: Tensor,
    others_E: tuple[Tensor | None, ...],
    columns_BE: tuple[Tensor | None, ...],
    members_EK: Tensor,
    num_models: int,
) -> None:
    first_BE = columns_BE[0]
    assert first_BE is not None
    fits = (
        x_E.ndim == 1
        and members_EK.ndim == 2
        and len(members_EK) == len(x_E)
        and first_BE.ndim == 2
        and all(column is None or column.shape == x_E.shape for column in others_E)
        and all(column is None or column.shape == (len(first_BE), len(x_E)) for column in columns_BE)
        and (others_E[-1] is None) == (columns_BE[-1] is None)
    )
    if not fits:
        columns = (x_E, *others_E, *columns_BE, members_EK)
        raise UserError(
            expected="x, y, z of shape (E,), replicates of each (B, E) and members (E, K)",
            found=", ".join("None" if column is None else str(tuple(column.shape)) for column in columns),
            next_step="pass numbers of the same ensembles and blocks",
        )
    if len(members_EK) and not 0 <= int(members_EK.min()) <= int(members_EK.max()) < num_models:
        raise UserError(
            expected=f"members in 0 to {num_models - 1}",
            found=f"{int(members_EK.min())} to {int(members_EK.max())}",
            next_step="pass the number of models that the ensembles are drawn from",
        )
