"""Hazards: the class and the group of classes on which all members of an ensemble fail most often."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.core import LabelSpace, chunk_length, spans
from nversion.data import ClassGroups
from nversion.ensembles import Ensembles
from nversion.reliability import proportion_intervals

from .measure import ConditionResult
from .registry import FLOAT, INT, TEXT, TEXTS, table
from .tables import Samples, named_ensembles

MIN_IMAGES = 5
"""A class or group of fewer images is never called the worst: its rate says too little."""

BUDGET_BYTES = 16 << 20  # of failures by ensemble and class, or by ensemble and pattern


@dataclass(frozen=True)
class Worst:
    """The worst of several strata (classes or groups) for each of E ensembles.

    Attributes:
        stratum_E: its index; -1 where no stratum has enough images.
        failures_E: images of it on which all members fail.
        n_E: its images.
    """

    stratum_E: NDArray[np.int64]
    failures_E: NDArray[np.int64]
    n_E: NDArray[np.int64]


def joint_failures(right_MN: Tensor, strata_N: Tensor, num_strata: int, ensembles: Ensembles) -> Tensor:
    """How many samples of each stratum all members of each ensemble fail on, float32 (E, S), whole numbers.

    Samples with the same stratum and the same models failing are counted once, and the ensembles by a matrix
    product: all K members fail where membership times failures is K.

    Args:
        right_MN: bool.
        strata_N: int64 stratum of each sample; samples of stratum -1 are left out.

    >>> right_MN = torch.tensor([[False, False, True], [False, True, False]])
    >>> joint_failures(right_MN, torch.tensor([0, 0, 1]), 2, Ensembles.all_of(2, 2)).tolist()
    [[1.0, 0.0]]
    """
    # A sample on which fewer than K models fail is no joint failure of any ensemble.
    kept_N = (strata_N >= 0) & ((~right_MN).sum(0) >= ensembles.size)
    joint_ES = torch.zeros(len(ensembles), num_strata)
    if not bool(kept_N.any()):
        return joint_ES
    columns = torch.cat([strata_N[kept_N][None], (~right_MN[:, kept_N]).long()])
    distinct, counts_P = torch.unique(columns, dim=1, return_counts=True)
    strata_P, wrong_MP = distinct[0], distinct[1:].float()
    membership_EM = ensembles.membership_EM()
    for start, stop in spans(len(ensembles), chunk_length(4 * wrong_MP.shape[1], BUDGET_BYTES)):
        all_fail_eP = (membership_EM[start:stop] @ wrong_MP == ensembles.size) * counts_P.float()
        joint_ES[start:stop].index_add_(1, strata_P, all_fail_eP)
    return joint_ES


def worst_strata(right_MN: Tensor, strata_N: Tensor, num_strata: int, ensembles: Ensembles) -> Worst:
    """For each ensemble the stratum of at least `MIN_IMAGES` images with the highest share of joint failures.

    Of equal shares that of more images is taken, then the first.
    """
    n_S = torch.bincount(strata_N[strata_N >= 0], minlength=num_strata)
    large_L = (n_S >= MIN_IMAGES).nonzero().squeeze(1)
    if not len(large_L):
        nothing_E = np.zeros(len(ensembles), np.int64)
        return Worst(nothing_E - 1, nothing_E, nothing_E)
    large_L = large_L[torch.argsort(n_S[large_L], descending=True, stable=True)]  # the first maximum is taken
    parts = []
    for start, stop in spans(len(ensembles), chunk_length(4 * num_strata, BUDGET_BYTES)):
        some = Ensembles(ensembles.members_EK[start:stop], ensembles.num_models)
        failures_eL = joint_failures(right_MN, strata_N, num_strata, some)[:, large_L]
        best_e = (failures_eL.double() / n_S[large_L]).argmax(1)
        failures_e = failures_eL.gather(1, best_e[:, None]).squeeze(1).long()
        parts.append((large_L[best_e], failures_e, n_S[large_L[best_e]]))
    return Worst(*(torch.cat(column).numpy() for column in zip(*parts, strict=True)))


@table("hazards", of="condition", schema={
    "ensemble": TEXT, "members": TEXTS, "size": INT, "condition": TEXT, "kind": TEXT, "name": TEXT,
    "n": INT, "joint_failure": FLOAT, "low": FLOAT, "high": FLOAT, "failure": FLOAT,
    "expected_cost": FLOAT,
})  # fmt: skip
def hazards(
    result: ConditionResult,
    model_names: Sequence[str],
    data: Samples,
    class_groups: ClassGroups | None = None,
) -> Iterator[pl.DataFrame]:
    """The worst class and group of every ensemble; see `hazards_table`."""
    for size in result.sizes:
        cost = size.calibration.expected_cost
        average = size.evaluations.get("average")
        unknown_E = [float("nan")] * len(size.ensembles)
        yield hazards_table(
            result.answers.right_MN,
            result.answers.labels_N,
            size.ensembles,
            condition=result.condition,
            model_names=model_names,
            label_space=data.label_space,
            groups=class_groups,
            failure_E=unknown_E if average is None else (1 - average.accuracy.full_E).tolist(),
            expected_cost_E=unknown_E if cost is None else cost.full_E.tolist(),
        )


def hazards_table(
    right_MN: Tensor,
    labels_N: Tensor,
    ensembles: Ensembles,
    *,
    condition: str,
    model_names: Sequence[str],
    label_space: LabelSpace,
    groups: ClassGroups | None,
    failure_E: Sequence[float],
    expected_cost_E: Sequence[float],
) -> pl.DataFrame:
    """A row for each ensemble and kind: the worst class, and the worst group where there are groups.

    The Clopper-Pearson interval is that of the named class alone. Being picked as the worst of many raises a
    rate: on other images the same class is likely to do somewhat better. Where no class has `MIN_IMAGES`
    images the name is null, n is 0 and the rate is nan.

    Args:
        right_MN: bool, which models are right.
        labels_N: int64.
        failure_E: of each ensemble by average consensus, on all images.
        expected_cost_E: mean cost of an image by average consensus; nan without costs.
    """
    shared = pl.DataFrame(
        {
            **named_ensembles(ensembles.members_EK.tolist(), model_names),
            "failure": list(failure_E),
            "expected_cost": list(expected_cost_E),
        }
    ).with_columns(size=pl.lit(ensembles.size), condition=pl.lit(condition))
    class_names = [label_space.name_of(label) for label in range(label_space.num_classes)]
    strata = [("class", labels_N, class_names)]
    if groups is not None:
        strata.append(("group", torch.from_numpy(groups.group_C)[labels_N], list(groups.names)))
    frames = []
    for kind, strata_N, names in strata:
        worst = worst_strata(right_MN, strata_N, len(names), ensembles)
        frames.append(shared.with_columns(*_columns(worst, names), kind=pl.lit(kind)))
    return pl.concat(frames)


def _columns(worst: Worst, names: Sequence[str]) -> list[pl.Series]:
    """Name, n, rate and interval."""
    failures_E, n_E = torch.from_numpy(worst.failures_E), torch.from_numpy(worst.n_E)
    low_E, high_E = proportion_intervals(failures_E, n_E, method="clopper_pearson")
    return [
        pl.Series("name", [names[s] if s >= 0 else None for s in worst.stratum_E.tolist()], pl.String),
        pl.Series("n", worst.n_E),
        pl.Series("joint_failure", (failures_E.double() / n_E).tolist()),  # 0/0 is nan
        pl.Series("low", low_E.tolist()),
        pl.Series("high", high_E.tolist()),
    ]
