"""The ensemble's prediction f inside a loss, in the space of logits or of probabilities."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from nversion.core import UserError
from nversion.ensembles.consensus import (
    ballots,
    geometric_mean,
    mean_of_members,
    median_of_members,
    probabilities,
)

Space = Literal["logits", "probabilities"]
Rule = Literal["average", "median", "geometric_mean", "vote"]

SMALLEST_PROBABILITY = 1e-3
"""f is kept at least so far from 0 where it is divided by or its logarithm is taken."""


def check_rule(rule: Rule, space: Space) -> None:
    """Check that a rule exists in a space.

    Raises:
        UserError: "geometric_mean" or "vote" in "logits". The geometric mean of probabilities is the mean of
            logits, and votes have no logits.
    """
    if space == "logits" and rule not in ("average", "median"):
        reason = "is the average there" if rule == "geometric_mean" else "has no logits"
        raise UserError(
            expected="the consensus 'average' or 'median' in the space 'logits'",
            found=f"{rule!r}, which {reason}",
            next_step='set `space = "probabilities"`',
        )


def predicted_logits(logits_MNC: Tensor, rule: Rule) -> Tensor:
    """f_NC in the space of logits: the mean or the median of the members' logits; see `check_rule`."""
    check_rule(rule, "logits")
    return (mean_of_members if rule == "average" else median_of_members)(logits_MNC)


def predicted_probabilities(logits_MNC: Tensor, rule: Rule) -> Tensor:
    """f_NC in the space of probabilities: average, median, normalised geometric mean, or shares of votes.

    Medians over the members need not sum to one. A share of votes is piecewise constant: it is used as it
    is going forward, and going backward as if it were the mean of the members' probabilities (a
    straight-through estimator).

    >>> logits_MNC = torch.tensor([[[2.0, 0.0]], [[0.0, 1.0]], [[3.0, 0.0]]])
    >>> predicted_probabilities(logits_MNC, "vote")
    tensor([[0.6667, 0.3333]])
    """
    if rule == "geometric_mean":
        return geometric_mean(logits_MNC)
    members_MNC = probabilities(logits_MNC)
    if rule == "average":
        return mean_of_members(members_MNC)
    if rule == "median":
        return median_of_members(members_MNC)
    soft_NC = mean_of_members(members_MNC)
    return soft_NC + (mean_of_members(ballots(logits_MNC)) - soft_NC).detach()


def of_label(values_NC: Tensor, labels_N: Tensor) -> Tensor:
    """The value of each sample's own class, (N,)."""
    return values_NC.gather(-1, labels_N[:, None])[:, 0]


def negative_log(probabilities_N: Tensor) -> Tensor:
    """−ln p with p at least `SMALLEST_PROBABILITY`, where the gradient is 0."""
    return -torch.log(probabilities_N.clamp(min=SMALLEST_PROBABILITY))
