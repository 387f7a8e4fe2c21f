"""How two numbers of an ensemble go together: correlations and a slope over ensembles."""

from __future__ import annotations

import torch
from torch import Tensor

# Deviations below this share of the values are rounding: the values count as constant.
_ROUNDING = 1e-12


def relation(x_E: Tensor, y_E: Tensor, z_E: Tensor | None = None) -> dict[str, Tensor]:
    """Pearson, Spearman, slope and, given z, partial correlation of x and y.

    Everything broadcasts over leading axes and runs over the last one. A point with a nan or an
    infinity in a column that the statistic reads is dropped; `num_points` counts the rest.

    Returns:
        float64 values under "pearson", "spearman", "slope" and, if z is given, "partial".

    >>> x, y = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([1.0, 3.0, 2.0, 4.0])
    >>> {name: round(value.item(), 3) for name, value in relation(x, y).items()}
    {'pearson': 0.8, 'spearman': 0.8, 'slope': 0.8}
    """
    statistics = {"pearson": pearson(x_E, y_E), "spearman": spearman(x_E, y_E), "slope": slope(x_E, y_E)}
    if z_E is not None:
        statistics["partial"] = partial(x_E, y_E, z_E)
    return statistics


def num_points(*columns_E: Tensor) -> Tensor:
    """Number of points that are finite in every column, over the last axis.

    >>> num_points(torch.tensor([1.0, torch.nan, 3.0]), torch.tensor([1.0, 2.0, 3.0])).item()
    2
    """
    return _finite(*columns_E).sum(-1)


def pearson(x_E: Tensor, y_E: Tensor) -> Tensor:
    """Pearson's correlation; nan where x or y is constant or fewer than 3 points are finite.

    Constant means: the deviations are below 1e-12 of the values, which is rounding.

    >>> pearson(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([5.0, 5.0, 5.0])).item()
    nan
    """
    finite_E = _finite(x_E, y_E)
    return _nan_below(3, finite_E, _cosine(_centred(x_E, finite_E), _centred(y_E, finite_E)))


def spearman(x_E: Tensor, y_E: Tensor) -> Tensor:
    """Pearson's correlation of the ranks, equal values sharing their average rank; nan as there.

    >>> round(spearman(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([2.0, 2.0, 3.0])).item(), 4)
    0.866
    """
    finite_E = _finite(x_E, y_E)
    rank_x_E = average_ranks(torch.where(finite_E, x_E.double(), torch.inf))
    rank_y_E = average_ranks(torch.where(finite_E, y_E.double(), torch.inf))
    return _nan_below(3, finite_E, _cosine(_centred(rank_x_E, finite_E), _centred(rank_y_E, finite_E)))


def partial(x_E: Tensor, y_E: Tensor, z_E: Tensor) -> Tensor:
    """The correlation of x and y at equal z: Pearson's of the residuals of x and y on z.

    Equals (r_xy − r_xz·r_yz)/√((1 − r_xz²)(1 − r_yz²)). nan where a column is constant, where x or
    y is a linear function of z, or with fewer than 4 points (3 points always give ±1).

    >>> x, y = torch.tensor([1.0, 2.0, 3.0, 5.0]), torch.tensor([2.0, 1.0, 4.0, 3.0])
    >>> round(partial(x, y, torch.tensor([1.0, 0.0, 1.0, 0.0])).item(), 4)
    0.9806
    """
    finite_E = _finite(x_E, y_E, z_E)
    z_E = _centred(z_E, finite_E)
    rest_x_E = _residual(_centred(x_E, finite_E), z_E)
    rest_y_E = _residual(_centred(y_E, finite_E), z_E)
    return _nan_below(4, finite_E, _cosine(rest_x_E, rest_y_E))


def slope(x_E: Tensor, y_E: Tensor) -> Tensor:
    """The least-squares slope of y on x; nan where x is constant or fewer than 3 points are finite.

    >>> slope(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 3.0, 5.0])).item()
    2.0
    """
    finite_E = _finite(x_E, y_E)
    return _nan_below(3, finite_E, _coefficient(_centred(y_E, finite_E), _centred(x_E, finite_E)))


def average_ranks(values_E: Tensor) -> Tensor:
    """Ranks from 1 along the last axis; equal values share the average of their ranks.

    >>> average_ranks(torch.tensor([3.0, 1.0, 3.0, 2.0])).tolist()
    [3.5, 1.0, 3.5, 2.0]
    """
    sorted_E, order_E = values_E.sort(dim=-1)
    position_E = torch.arange(1, values_E.shape[-1] + 1, device=values_E.device).expand_as(order_E)
    is_new_E = torch.ones_like(order_E, dtype=torch.bool)
    is_new_E[..., 1:] = sorted_E[..., 1:] != sorted_E[..., :-1]
    # A run of equal values spans the last start at or before it and the first end at or after it.
    first_E = torch.where(is_new_E, position_E, 0).cummax(-1).values
    is_last_E = torch.ones_like(is_new_E)
    is_last_E[..., :-1] = is_new_E[..., 1:]
    after_E = torch.where(is_last_E, position_E, values_E.shape[-1] + 1)
    last_E = after_E.flip(-1).cummin(-1).values.flip(-1)
    rank_E = (first_E + last_E).double() / 2
    return torch.empty_like(rank_E).scatter_(-1, order_E, rank_E)


def _finite(*columns_E: Tensor) -> Tensor:
    finite_E = columns_E[0].isfinite()
    for column_E in columns_E[1:]:
        finite_E = finite_E & column_E.isfinite()
    return finite_E


def _centred(values_E: Tensor, finite_E: Tensor) -> Tensor:
    # Deviations from the mean of the kept points; 0 at dropped ones and where all are equal, so
    # that every quotient below becomes 0/0 = nan exactly where it is undefined.
    kept_E = torch.where(finite_E, values_E.double(), 0.0)
    mean = kept_E.sum(-1, keepdim=True) / finite_E.sum(-1, keepdim=True)
    deviation_E = torch.where(finite_E, kept_E - mean, 0.0)
    return _zero_if_rounding(deviation_E, kept_E)


def _zero_if_rounding(deviation_E: Tensor, of_E: Tensor) -> Tensor:
    return torch.where(_length(deviation_E) > _ROUNDING * _length(of_E), deviation_E, 0.0)


def _coefficient(of_E: Tensor, on_E: Tensor) -> Tensor:
    return (of_E * on_E).sum(-1) / (on_E * on_E).sum(-1)


def _residual(of_E: Tensor, on_E: Tensor) -> Tensor:
    return _zero_if_rounding(of_E - _coefficient(of_E, on_E).unsqueeze(-1) * on_E, of_E)


def _cosine(x_E: Tensor, y_E: Tensor) -> Tensor:
    return ((x_E / _length(x_E)) * (y_E / _length(y_E))).sum(-1).clamp(-1.0, 1.0)


def _length(values_E: Tensor) -> Tensor:
    return (values_E * values_E).sum(-1, keepdim=True).sqrt()


def _nan_below(at_least: int, finite_E: Tensor, statistic: Tensor) -> Tensor:
    return torch.where(finite_E.sum(-1) >= at_least, statistic, torch.nan)
