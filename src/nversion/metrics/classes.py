"""Metrics as classes of torchmetrics: `update`, `compute`, `reset`, `forward`, and sums over processes."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric as TorchMetric

from nversion.core import UserError
from nversion.diversity import Metric

from .answers import of_models
from .functions import described
from .sums import Options, empty, sums_of, value_of


class EnsembleMetric(TorchMetric):
    """A diversity metric of one ensemble of all models, in sums whose size no sample adds to.

    Args:
        num_models: M ≥ 2.
        num_classes: C, for Shannon equitability of predicted classes.
        species: of Shannon equitability, see `nversion.diversity.VoteStatistics.shannon`.
        kwargs: of `torchmetrics.Metric`.

    Raises:
        UserError: fewer than two models.
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False
    metric: ClassVar[Metric]

    def __init__(
        self, num_models: int, *, num_classes: int | None = None, species: str = "members", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(num_models, bool) or not isinstance(num_models, int) or num_models < 2:
            raise UserError(
                expected="at least two models", found=repr(num_models), next_step="pass num_models=2 or more"
            )
        self.num_models = num_models
        self.options = Options(num_classes, species)
        self._names = []
        for name, zeros in empty(self.metric, num_models).items():
            self.add_state(name, zeros, dist_reduce_fx="sum")
            self._names.append(name)

    def update(self, predictions: Any, labels: Any = None) -> None:
        """Add a batch: logits (M, N, C), classes (M, N), or bool (M, N) without labels."""
        answers = of_models(predictions, labels, self.num_models)
        if self.options.num_classes is None and answers.logits_MNC is not None:
            self.options = Options(answers.logits_MNC.shape[-1], self.options.species)
        for name, value in sums_of(self.metric, answers).items():
            setattr(self, name, getattr(self, name) + value.to(self.device))

    def compute(self) -> Tensor:
        """The value over all batches and processes, float64; nan where undefined."""
        sums = {name: getattr(self, name) for name in self._names}
        with torch.no_grad():
            return value_of(self.metric, sums, self.num_models, self.options).to(self.device)


def class_of(metric: Metric, name: str) -> type[EnsembleMetric]:
    """The metric as a class."""
    about = described(metric, "`update` with predictions and labels; see `EnsembleMetric`.")
    facts = {"metric": metric, "__doc__": about, "__module__": "nversion.metrics", "__qualname__": name}
    return type(name, (EnsembleMetric,), facts)
