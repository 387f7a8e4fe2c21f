"""Pairwise metrics: formulas on the 2×2 table of right and wrong of two models."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .metric import metric

GROUP = "Right or wrong, in pairs"


@metric(
    "disagreement",
    of="pairs",
    group=GROUP,
    low=0.0,
    high=1.0,
    higher_is_more_diverse=True,
    formula="(N01 + N10) / N",
    undefined_when="there is no sample",
)
def disagreement(n11: Tensor, n10: Tensor, n01: Tensor, n00: Tensor) -> Tensor:
    """The share of samples on which exactly one of the two is right.

    Two different wrong labels agree here: both are wrong.
    Source: Skalak, "The sources of increased accuracy for two proposed boosting algorithms", 1996.

    >>> disagreement(*torch.tensor([5.0, 2.0, 1.0, 2.0]).double()).item()
    0.3
    """
    return (n10 + n01) / (n11 + n10 + n01 + n00)


@metric(
    "q",
    of="pairs",
    label="Q statistic",
    group=GROUP,
    low=-1.0,
    high=1.0,
    higher_is_more_diverse=False,
    formula="(N11·N00 − N01·N10) / (N11·N00 + N01·N10)",
    undefined_when="N11·N00 and N01·N10 are both 0, as when one model is right on every sample",
)
def q_statistic(n11: Tensor, n10: Tensor, n01: Tensor, n00: Tensor) -> Tensor:
    """Yule's Q: 0 for independent models, 1 where one's errors lie within the other's.

    Source: Yule, "On the association of attributes in statistics", 1900.

    >>> round(q_statistic(*torch.tensor([5.0, 2.0, 1.0, 2.0]).double()).item(), 4)
    0.6667
    """
    together, apart = n11 * n00, n01 * n10
    return (together - apart) / (together + apart)


@metric(
    "rho",
    of="pairs",
    label="Failure correlation ρ",
    group=GROUP,
    low=-1.0,
    high=1.0,
    higher_is_more_diverse=False,
    formula="(N11·N00 − N01·N10) / √((N11+N10)(N01+N00)(N11+N01)(N10+N00))",
    undefined_when="one of the two is right, or wrong, on every sample",
)
def rho(n11: Tensor, n10: Tensor, n01: Tensor, n00: Tensor) -> Tensor:
    """The Pearson correlation of the two right/wrong vectors (the phi coefficient).

    Source: Sneath and Sokal, "Numerical Taxonomy", 1973.

    >>> round(rho(*torch.tensor([5.0, 2.0, 1.0, 2.0]).double()).item(), 4)
    0.3563
    """
    first, second = (n11 + n10) * (n01 + n00), (n11 + n01) * (n10 + n00)
    return (n11 * n00 - n01 * n10) / torch.sqrt(first * second)


@metric(
    "double_fault",
    of="pairs",
    group=GROUP,
    low=0.0,
    high=1.0,
    higher_is_more_diverse=False,
    formula="N00 / N",
    undefined_when="there is no sample",
)
def double_fault(n11: Tensor, n10: Tensor, n01: Tensor, n00: Tensor) -> Tensor:
    """The share of samples on which both are wrong.

    Source: Giacinto and Roli, "Design of effective neural network ensembles", 2001.

    >>> double_fault(*torch.tensor([5.0, 2.0, 1.0, 2.0]).double()).item()
    0.2
    """
    return n00 / (n11 + n10 + n01 + n00)


@metric(
    "ratio_of_errors",
    of="pairs",
    group=GROUP,
    low=0.0,
    high=math.inf,
    higher_is_more_diverse=True,
    formula="(N01 + N10) / N00",
    undefined_when="the two never fail together (N00 = 0)",
)
def ratio_of_errors(n11: Tensor, n10: Tensor, n01: Tensor, n00: Tensor) -> Tensor:
    """Errors of exactly one of the two for each error that they share.

    The most diverse pairs have no shared error and so no value: read it beside the number undefined.
    Source: Aksela, "Comparison of classifier selection methods for improving committee
    performance", 2003.

    >>> ratio_of_errors(*torch.tensor([5.0, 2.0, 1.0, 2.0]).double()).item()
    1.5
    """
    return torch.where(n00 > 0, (n01 + n10) / n00, torch.nan)


@metric(
    "error_consistency",
    of="pairs",
    label="Error consistency κ",
    group=GROUP,
    low=-1.0,
    high=1.0,
    higher_is_more_diverse=False,
    formula="(c_obs − c_exp) / (1 − c_exp), c_obs = (N11 + N00)/N, c_exp = p_i p_k + (1 − p_i)(1 − p_k)",
    undefined_when="both are right, or both are wrong, on every sample (c_exp = 1)",
)
def error_consistency(n11: Tensor, n10: Tensor, n01: Tensor, n00: Tensor) -> Tensor:
    """Cohen's kappa of right and wrong: agreement beyond what the two accuracies give by chance.

    Written in counts, so that c_exp = 1 gives exactly 0/0.
    Source: Geirhos, Meding and Wichmann, "Beyond accuracy: quantifying trial-by-trial behaviour of
    CNNs and humans by measuring error consistency", 2020.

    >>> round(error_consistency(*torch.tensor([5.0, 2.0, 1.0, 2.0]).double()).item(), 4)
    0.3478
    """
    first_right, second_right = (n11 + n10) * (n10 + n00), (n11 + n01) * (n01 + n00)
    return 2 * (n11 * n00 - n10 * n01) / (first_right + second_right)
