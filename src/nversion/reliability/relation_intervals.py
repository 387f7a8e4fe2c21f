"""The one interval of a relation over ensembles that share members and images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy import stats
from torch import Tensor

from nversion.core import UserError, chunk_length, spans
from nversion.ensembles.jackknife import block_jackknife_stderr

from .intervals import check_confidence
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
    _check_shapes(x_E, (y_E, z_E), (x_BE, y_BE, z_BE), members_EK, num_models)
    return relation_intervals(
        x_E[None],
        y_E[None],
        z_E,
        x_BE[None],
        y_BE[None],
        z_BE,
        members_EK,
        num_models,
        confidence=confidence,
        count_B=count_B,
    )[0][0]


def relation_intervals(
    x_XE: Tensor,
    y_YE: Tensor,
    z_E: Tensor | None,
    x_XBE: Tensor,
    y_YBE: Tensor,
    z_BE: Tensor | None,
    members_EK: Tensor,
    num_models: int,
    *,
    confidence: float = 0.95,
    count_B: Tensor | None = None,
    budget_bytes: int = 64 << 20,
) -> list[list[dict[str, Estimate]]]:
    """`relation_interval` of each of X numbers with each of Y, many at once: X lists of Y results.

    Args:
        budget_bytes: for the arrays of as many x as are computed together, at least one.
    """
    check_confidence(confidence)
    for x_E, x_BE in zip(x_XE, x_XBE, strict=True):
        for y_E, y_BE in zip(y_YE, y_YBE, strict=True):
            _check_shapes(x_E, (y_E, z_E), (x_BE, y_BE, z_BE), members_EK, num_models)
    contains_ME = _contains(members_EK, num_models)
    num_blocks = x_XBE.shape[1]
    bytes_an_x = 10 * 8 * len(y_YE) * (num_blocks + num_models) * len(members_EK)
    found = []
    for start, stop in spans(len(x_XE), chunk_length(bytes_an_x, budget_bytes)):
        x_X1E, y_1YE = x_XE[start:stop, None].double(), y_YE[None].double()
        full = relation(x_X1E, y_1YE, z_E)
        without_block = relation(x_XBE[start:stop, None], y_YBE[None], z_BE)
        without_model = relation(
            _without_each_model(x_X1E, contains_ME),
            _without_each_model(y_1YE, contains_ME),
            None if z_E is None else _without_each_model(z_E, contains_ME),
        )
        columns = {
            name: _estimates(
                value_XY,
                without_block[name],
                without_model[name],
                count_B,
                on_fisher_scale=name != "slope",
                n_ensembles_XY=num_points(
                    x_X1E, y_1YE, *((z_E,) if name == "partial" and z_E is not None else ())
                ),
                num_all=len(members_EK),
                confidence=confidence,
            )
            for name, value_XY in full.items()
        }
        found += [
            [{name: table[x][y] for name, table in columns.items()} for y in range(len(y_YE))]
            for x in range(stop - start)
        ]
    return found


def _without_each_model(column_E: Tensor, contains_ME: Tensor) -> Tensor:
    return torch.where(contains_ME, torch.nan, column_E.double().unsqueeze(-2))


def _estimates(
    value_XY: Tensor,
    without_block_XYB: Tensor,
    without_model_XYM: Tensor,
    count_B: Tensor | None,
    *,
    on_fisher_scale: bool,
    n_ensembles_XY: Tensor,
    num_all: int,
    confidence: float,
) -> list[list[Estimate]]:
    num_blocks, num_models = without_block_XYB.shape[-1], without_model_XYM.shape[-1]
    with_models = num_models >= 3
    undefined_models = without_model_XYM.isnan().sum(-1).tolist()
    undefined_blocks = without_block_XYB.isnan().sum(-1).tolist()

    replicates = torch.cat([without_block_XYB, without_model_XYM[..., : num_models * with_models]], dim=-1)
    line_XY = on_fisher_scale & (value_XY.abs() >= _LINE)
    undefined = replicates.isnan()
    same_line = undefined | (replicates * value_XY.sign().unsqueeze(-1) >= _LINE)
    whole_line_XY = line_XY & same_line.all(-1) & ~undefined.all(-1)
    part_line_XY = on_fisher_scale & ~line_XY & (replicates.abs() >= _LINE).any(-1)

    values = (value_XY, without_block_XYB, without_model_XYM)
    centre_XY, of_blocks, of_models = map(torch.atanh, values) if on_fisher_scale else values
    variance_XY = block_jackknife_stderr(centre_XY, of_blocks.movedim(-1, 0), count_B) ** 2
    if with_models:
        variance_XY = variance_XY + block_jackknife_stderr(centre_XY, of_models.movedim(-1, 0)) ** 2
    degrees = num_models - 1 if with_models else num_blocks - 1
    half_XY = float(stats.t.ppf((1 + confidence) / 2, degrees)) * variance_XY.sqrt()
    low_XY, high_XY = centre_XY - half_XY, centre_XY + half_XY
    if on_fisher_scale:
        low_XY, high_XY = low_XY.tanh(), high_XY.tanh()

    def estimate(x: int, y: int) -> Estimate:
        theta, n = float(value_XY[x, y]), int(n_ensembles_XY[x, y])
        notes = []
        if n < num_all:
            notes.append(f"dropped {num_all - n} of {num_all} ensembles with an undefined number")
        if math.isnan(theta):
            notes.append("undefined: too few ensembles or constant numbers")
            return Estimate(theta, math.nan, math.nan, n, "; ".join(notes))
        if with_models:
            notes += _undefined(undefined_models[x][y], num_models, "model")
        else:
            notes.append("fewer than 3 models: the interval covers other images only")
        notes += _undefined(undefined_blocks[x][y], num_blocks, "block of images")
        low, high = float(low_XY[x, y]), float(high_XY[x, y])
        if whole_line_XY[x, y]:
            theta = low = high = math.copysign(1.0, theta)
            notes.append("all points lie on a line, without any block or model too")
        elif line_XY[x, y]:
            theta, low, high = math.copysign(1.0, theta), math.nan, math.nan
            notes.append("no interval: all points lie on a line")
        elif part_line_XY[x, y]:
            low, high = -1.0, 1.0
            notes.append("all points lie on a line without some block or model")
        elif math.isnan(low):
            notes.append("no interval: too few ensembles without one model or block")
        return Estimate(theta, low, high, n, "; ".join(notes))

    num_x, num_y = value_XY.shape
    return [[estimate(x, y) for y in range(num_y)] for x in range(num_x)]


def _undefined(number: int, out_of: int, one: str) -> list[str]:
    return [f"undefined without one {one} in {number} of {out_of} cases"] if number else []


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
