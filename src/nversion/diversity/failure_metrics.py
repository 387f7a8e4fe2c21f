"""Ensemble metrics: formulas on the number of samples on which exactly i members fail."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nversion.core import UserError
from nversion.ensembles import Replicated

from .failures import FailureCounts
from .metric import METRICS, metric, metrics_of

GROUP = "Right or wrong, all members"


def evaluate_failures(counts: FailureCounts, names: Sequence[str] | None = None) -> dict[str, Replicated]:
    """Metrics of all ensembles from their failure counts, on all samples and without each block.

    Args:
        counts: of ensembles of K ≥ 2 members; for a part of the samples, count
            `right_MN[:, keep_N]` with `blocks_N[keep_N]`.
        names: metrics of failure counts; None: all of them.

    Raises:
        UserError: an unknown name, or K < 2.

    >>> right_MN = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 0]], dtype=torch.bool)
    >>> from nversion.ensembles import Ensembles
    >>> blocks_N, pair = torch.tensor([0, 0, 1, 1]), Ensembles.all_of(2, 2)
    >>> counts = FailureCounts.from_right(right_MN, blocks_N, 2, pair)
    >>> values = evaluate_failures(counts, ["entropy"])["entropy"]
    >>> values.full_E.tolist(), values.without_BE.tolist()
    ([0.5], [[0.5], [0.5]])
    """
    total_EK1, without_BEK1 = counts.total(), counts.without_each_block()
    found = {}
    for name in metrics_of("failure counts") if names is None else names:
        function = METRICS[name].function
        assert function is not None
        found[name] = Replicated(function(total_EK1), function(without_BEK1))
    return found


@metric(
    "entropy",
    of="failure counts",
    label="Entropy E",
    group=GROUP,
    low=0.0,
    high=1.0,
    higher_is_more_diverse=True,
    formula="Σ_i min(i, K − i) p_i / (K − ⌈K/2⌉)",
    undefined_when="there is no sample",
)
def entropy(counts_K1: Tensor) -> Tensor:
    """The mean size of the minority among right and wrong members; no Shannon entropy.

    1 where as many members as possible stand against the others on every sample.
    Source: Kuncheva and Whitaker, "Measures of diversity in classifier ensembles", 2003.

    >>> entropy(torch.tensor([5.0, 3.0, 1.0, 1.0]).double()).item()
    0.4
    """
    failing_K1, size = _num_failing(counts_K1)
    minority_K1 = torch.minimum(failing_K1, size - failing_K1)
    return counts_K1 @ minority_K1 / (counts_K1.sum(-1) * (size // 2))


@metric(
    "kohavi_wolpert",
    of="failure counts",
    label="Kohavi–Wolpert variance",
    group=GROUP,
    low=0.0,
    high=lambda size: (size // 2) * ((size + 1) // 2) / size**2,
    higher_is_more_diverse=True,
    formula="Σ_i i (K − i) p_i / K²",
    undefined_when="there is no sample",
)
def kohavi_wolpert(counts_K1: Tensor) -> Tensor:
    """The mean over samples of the population variance of right and wrong over the members.

    It is (K − 1)/(2K) of the mean pairwise disagreement: at one size both rank ensembles alike.
    Source: Kohavi and Wolpert, "Bias plus variance decomposition for zero-one loss functions", 1996.

    >>> round(kohavi_wolpert(torch.tensor([5.0, 3.0, 1.0, 1.0]).double()).item(), 4)
    0.0889
    """
    failing_K1, size = _num_failing(counts_K1)
    return counts_K1 @ (failing_K1 * (size - failing_K1)) / (counts_K1.sum(-1) * size**2)


@metric(
    "kappa",
    of="failure counts",
    label="Interrater agreement κ",
    group=GROUP,
    low=lambda size: -1 / (size - 1),
    high=1.0,
    higher_is_more_diverse=False,
    formula="1 − Σ_i i (K − i) p_i / (K (K − 1) p̄ (1 − p̄)), with p̄ = Σ_i (1 − i/K) p_i",
    undefined_when="all members are right, or all are wrong, on every sample",
)
def kappa(counts_K1: Tensor) -> Tensor:
    """Fleiss' interrater agreement on right and wrong: 1 where all agree, 0 as by chance.

    Chance gives every member the mean accuracy p̄. The kappa of the predicted labels is another metric.
    Source: Fleiss, "Statistical methods for rates and proportions", 1981.

    >>> round(kappa(torch.tensor([5.0, 3.0, 1.0, 1.0]).double()).item(), 4)
    0.3182
    """
    failing_K1, size = _num_failing(counts_K1)
    # In counts, so that a mean accuracy of exactly 0 or 1 gives exactly 0/0.
    num_samples, num_wrong = counts_K1.sum(-1), counts_K1 @ failing_K1
    split = counts_K1 @ (failing_K1 * (size - failing_K1))
    by_chance = num_wrong * (size * num_samples - num_wrong)
    return 1 - split * size * num_samples / ((size - 1) * by_chance)


@metric(
    "difficulty",
    of="failure counts",
    label="Difficulty θ",
    group=GROUP,
    low=0.0,
    high=0.25,
    higher_is_more_diverse=False,
    formula="Σ_i (i/K)² p_i − (Σ_i (i/K) p_i)²",
    undefined_when="there is no sample",
)
def difficulty(counts_K1: Tensor) -> Tensor:
    """The population variance over samples of the share of members that are right.

    0 where every sample is failed by equally many members; p̄(1 − p̄) where all fail together.
    Source: Hansen and Salamon, "Neural network ensembles", 1990, as named by Kuncheva and Whitaker.

    >>> difficulty(torch.tensor([5.0, 0.0, 5.0]).double()).item()
    0.25
    """
    failing_K1, size = _num_failing(counts_K1)
    num_samples = counts_K1.sum(-1)
    # A difference of whole numbers: exact, and never below 0, while samples × members < 9e7.
    variance = num_samples * (counts_K1 @ failing_K1**2) - (counts_K1 @ failing_K1) ** 2
    return variance / (num_samples * size) ** 2


@metric(
    "generalised_diversity",
    of="failure counts",
    group=GROUP,
    low=0.0,
    high=1.0,
    higher_is_more_diverse=True,
    formula="1 − P2/P1, P1 = Σ_i (i/K) p_i, P2 = Σ_i i (i − 1)/(K (K − 1)) p_i",
    undefined_when="no member fails on any sample",
)
def generalised_diversity(counts_K1: Tensor) -> Tensor:
    """How unlikely it is that a second random member fails too where a first one fails.

    P1 is the chance that one random member fails, P2 that two do (the mean pairwise double fault).
    Source: Partridge and Krzanowski, "Software diversity: practical statistics for its measurement
    and exploitation", 1997.

    >>> generalised_diversity(torch.tensor([5.0, 3.0, 1.0, 1.0]).double()).item()
    0.5
    """
    failing_K1, size = _num_failing(counts_K1)
    num_pairs_wrong = counts_K1 @ (failing_K1 * (failing_K1 - 1))
    return 1 - num_pairs_wrong / ((size - 1) * (counts_K1 @ failing_K1))


@metric(
    "coincident_failure",
    of="failure counts",
    label="Coincident failure diversity",
    group=GROUP,
    low=0.0,
    high=1.0,
    higher_is_more_diverse=True,
    formula="Σ_{i≥1} (K − i)/(K − 1) p_i / (1 − p_0); 0 where p_0 = 1",
    undefined_when="there is no sample",
)
def coincident_failure(counts_K1: Tensor) -> Tensor:
    """The mean share of the other members that is right, over samples on which some member fails.

    1 where every failure is of one member alone; 0 where all fail together and, by definition, where
    none ever fails.
    Source: Partridge and Krzanowski 1997, see `generalised_diversity`.

    >>> coincident_failure(torch.tensor([5.0, 3.0, 1.0, 1.0]).double()).item()
    0.7
    """
    failing_K1, size = _num_failing(counts_K1)
    num_failed = counts_K1[..., 1:].sum(-1)
    others_right = counts_K1[..., 1:] @ (size - failing_K1[1:])
    if_none_failed = torch.where(counts_K1.sum(-1) > 0, 0.0, torch.nan)
    return torch.where(num_failed > 0, others_right / ((size - 1) * num_failed), if_none_failed)


def _num_failing(counts_K1: Tensor) -> tuple[Tensor, int]:
    """i = 0 … K in the counts' type, and K."""
    size = counts_K1.shape[-1] - 1
    if size < 2:
        raise UserError(
            expected="ensembles of at least 2 members",
            found=f"size {size}",
            next_step="a single model has no diversity: leave size 1 out",
        )
    return torch.arange(size + 1, dtype=counts_K1.dtype, device=counts_K1.device), size
