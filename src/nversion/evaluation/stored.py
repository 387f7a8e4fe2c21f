"""What choosing and comparing ensembles needs of a study: its predictions, and facts about its models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nversion.data import Condition
from nversion.ensembles import Ensembles
from nversion.predictions import ConditionPredictions

from .settings import EnsemblesTable, ensembles_of


@dataclass(frozen=True)
class StoredStudy:
    """What a finished study leaves behind, as far as choosing among its ensembles needs it.

    Attributes:
        asked: its table of ensembles: sizes, sample, blocks.
        conditions: in the order of the study.
        params_M, macs_M: of each model, in the order of the predictions; zeros where `has_costs` is False.
        predictions: by the name of the condition; samples of one data set are the same under all.
        architectures, trainings: of each model; "" where unknown, empty where nothing is known.
        credits: by consensus rule and condition, where they are at hand, the credits of all models, then of
            all ensembles, in each block of images (B, X); see `nversion.ensembles.CREDITS`.
    """

    name: str
    hash: str
    asked: EnsemblesTable
    conditions: tuple[Condition, ...]
    model_names: tuple[str, ...]
    params_M: NDArray[np.int64]
    macs_M: NDArray[np.int64]
    predictions: Mapping[str, ConditionPredictions]
    architectures: tuple[str, ...] = ()
    trainings: tuple[str, ...] = ()
    credits: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    has_costs: bool = True

    @staticmethod
    def costs(params: Sequence[int | None], macs: Sequence[int | None]) -> dict[str, Any]:
        """The fields `params_M`, `macs_M` and `has_costs`: unknown as a whole where some are."""
        known = None not in params and None not in macs
        of_models = {"params_M": params, "macs_M": macs}
        return {"has_costs": known} | {
            k: np.array(v if known else [0] * len(v)) for k, v in of_models.items()
        }

    def ensembles(self) -> list[Ensembles]:
        """The study's ensembles, one family for each of its sizes."""
        return ensembles_of(self.asked, len(self.model_names))
