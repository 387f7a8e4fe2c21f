"""What several models answer, as users pass it: logits, predicted classes, or which answers are right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nversion.core import UserError
from nversion.core.arrays import as_array, as_labels, check_axes, check_logits


@dataclass(frozen=True)
class Answers:
    """Answers of M models on N samples, on the device that they were on.

    Attributes:
        right_MN: bool; None: there are no labels.
        predicted_MN: int64 classes; None: only right and wrong are known.
        logits_MNC: float32; None: only classes are known.
        labels_N: int64.
    """

    right_MN: Tensor | None
    predicted_MN: Tensor | None = None
    logits_MNC: Tensor | None = None
    labels_N: Tensor | None = None

    @property
    def num_models(self) -> int:
        first = self.right_MN if self.predicted_MN is None else self.predicted_MN
        assert first is not None
        return len(first)

    def right(self, metric: str) -> Tensor:
        """`right_MN`.

        Raises:
            UserError: there are no labels.
        """
        if self.right_MN is None:
            raise UserError(
                expected=f"labels for {metric}",
                found="none",
                next_step="pass the labels, or bool answers that say which are right",
            )
        return self.right_MN

    def classes(self, metric: str) -> Tensor:
        """`predicted_MN`.

        Raises:
            UserError: only right and wrong are known.
        """
        if self.predicted_MN is None:
            raise UserError(
                expected=f"predicted classes or logits for {metric}",
                found="bool, which says only which answers are right",
                next_step="pass class indices or logits; of two classes: predictions.astype(int)",
            )
        return self.predicted_MN

    def logits(self, metric: str) -> Tensor:
        """`logits_MNC`; classes stand for certainty of these.

        Raises:
            UserError: only right and wrong are known.
        """
        if self.logits_MNC is not None:
            return self.logits_MNC
        predicted_MN = self.classes(metric)
        num_classes = max(2, int(predicted_MN.max()) + 1)
        shape = (*predicted_MN.shape, num_classes)
        logits_MNC = torch.full(shape, -torch.inf, device=predicted_MN.device)
        return logits_MNC.scatter_(-1, predicted_MN[..., None], 0.0)


def of_models(predictions: Any, labels: Any, num_models: int | None = None) -> Answers:
    """Answers of models that are stacked on the first axis.

    Args:
        predictions: logits (M, N, C), classes (M, N), or bool (M, N), True where an answer is right.
        labels: class indices (N,); None with bool, or where a metric needs none.
        num_models: M, where it is known.

    Raises:
        UserError: shapes, types or values that do not fit, or fewer than two models.

    >>> of_models([[0, 1, 1], [0, 0, 1]], [0, 1, 0]).right_MN.tolist()
    [[True, True, False], [True, False, False]]
    """
    given = _tensor(predictions, "predictions")
    labels_N = None if labels is None else _labels(labels)
    is_float = given.is_floating_point()
    form = "(M, N, C)" if is_float else "(M, N)"
    check_axes(given, None if labels_N is None else len(labels_N), "predictions", form)
    if len(given) < 2 or (num_models is not None and len(given) != num_models):
        raise UserError(
            expected=f"predictions of {num_models or 'at least two'} models, models first",
            found=f"those of {len(given)}, shape {tuple(given.shape)}",
            next_step="stack the predictions of all models on the first axis",
        )
    if given.dtype == torch.bool:
        if labels_N is not None:
            raise UserError(
                expected="no labels with bool predictions, which say which answers are right",
                found="both",
                next_step="leave the labels out, or pass class indices: predictions.astype(int)",
            )
        return Answers(given)
    if is_float:
        names = [f"model {index}" for index in range(len(given))]
        check_logits(list(given.cpu().numpy()), names)
        logits_MNC = given if given.dtype == torch.float64 else given.float()
        predicted_MN = logits_MNC.argmax(-1)
        if labels_N is not None and int(labels_N.max()) >= given.shape[-1]:
            as_labels(labels_N, num_classes=given.shape[-1])
    else:
        logits_MNC, predicted_MN = None, given.long()
        if int(predicted_MN.min()) < 0:
            raise UserError(
                expected="predicted classes of 0 or more",
                found=str(int(predicted_MN.min())),
                next_step="leave samples without an answer out",
            )
    right_MN = None if labels_N is None else predicted_MN == labels_N.to(predicted_MN.device)
    return Answers(right_MN, predicted_MN, logits_MNC, labels_N)


def of_two(first: Any, second: Any, labels: Any) -> Answers:
    """Answers of two models, each (N, C), (N,) or bool (N,); see `of_models`.

    Raises:
        UserError: as `of_models`; two of different kinds or lengths.
    """
    a, b = (
        _tensor(first, "predictions of the first model"),
        _tensor(second, "predictions of the second model"),
    )
    kinds = [f"{str(one.dtype).removeprefix('torch.')} of shape {tuple(one.shape)}" for one in (a, b)]
    whole = a.ndim in (2, 3) and b.ndim == 1 and labels is None and a.shape[1] == len(b)
    kind = [(one.is_floating_point(), one.dtype == torch.bool) for one in (a, b)]
    if a.shape != b.shape or kind[0] != kind[1]:
        raise UserError(
            expected="predictions of two models on the same samples, of one kind",
            found=" and ".join(kinds),
            next_step="name the labels of stacked predictions: labels=labels"
            if whole
            else "pass class indices of both, or logits of both, of the same samples",
        )
    if 0 in a.shape or a.ndim != (2 if a.is_floating_point() else 1):
        raise UserError(
            expected="predictions of each of two models as logits (N, C), classes (N,) or bool (N,)",
            found=" and ".join(kinds),
            next_step="pass at least one sample"
            if 0 in a.shape
            else "pass the models one by one, or all of them stacked as the first argument alone",
        )
    dtype = torch.promote_types(a.dtype, b.dtype)
    return of_models(torch.stack([a.to(dtype), b.to(dtype)]), labels)


def _tensor(values: Any, what: str) -> Tensor:
    if isinstance(values, Tensor):
        as_array(values[:0] if values.ndim else values, what)  # refuses kinds that are no plain numbers
        return values.detach()
    array = np.array(as_array(values, what))
    return torch.from_numpy(array.astype(np.int64) if array.dtype.kind in "iu" else array)


def _labels(labels: Any) -> Tensor:
    labels_N = torch.from_numpy(as_labels(labels))
    return labels_N.to(labels.device) if isinstance(labels, Tensor) else labels_N
