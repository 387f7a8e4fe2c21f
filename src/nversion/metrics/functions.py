"""Metrics as functions from arrays to floats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from nversion.core import UserError, spans
from nversion.core.arrays import as_array
from nversion.diversity import CKASums, Metric, linear_gram
from nversion.diversity import attribution_diversity as diversity_of_gram
from nversion.ensembles import Ensembles
from nversion.reliability import mcnemar_p_value as exact_p_value

from .answers import Answers, of_models, of_two
from .sums import Options, sums_of, value_of

_PAIRWISE = ("pairs", "outputs")


def function_of(metric: Metric, name: str) -> Callable[..., float]:
    """The metric as a function with the signature of its kind."""
    found: Callable[..., float]
    if metric.of in _PAIRWISE:

        def of_pair(first: Any, second: Any = None, labels: Any = None) -> float:
            answers = of_models(first, labels) if second is None else of_two(first, second, labels)
            return _value(metric, answers, Options())

        found = of_pair
    elif metric.of == "votes":

        def of_votes(
            predictions: Any,
            labels: Any = None,
            *,
            num_classes: int | None = None,
            species: Literal["members", "classes", "observed"] = "members",
        ) -> float:
            answers = of_models(predictions, labels)
            if num_classes is None and answers.logits_MNC is not None:
                num_classes = answers.logits_MNC.shape[-1]
            return _value(metric, answers, Options(num_classes, species))

        found = of_votes
    else:

        def of_ensemble(predictions: Any, labels: Any = None) -> float:
            return _value(metric, of_models(predictions, labels), Options())

        found = of_ensemble
    found.__name__ = found.__qualname__ = name
    found.__module__ = "nversion.metrics"
    found.__doc__ = described(metric, _ARGS[metric.of])
    return found


def described(metric: Metric, arguments: str) -> str:
    """The docstring of a metric."""
    low, high = metric.bounds()
    way = "higher" if metric.higher_is_more_diverse else "lower"
    return (
        f"{metric.label}: {metric.formula}.\n\n"
        f"From {low:g} to {high:g}; {way} is more diverse. nan when {metric.undefined_when}.\n\n{arguments}"
    )


def mcnemar_p_value(first: Any, second: Any, labels: Any = None) -> float:
    """Two-sided exact p-value of "both models are right equally often" (McNemar 1947, binomial form).

    Args:
        first, second: how many samples only the one, only the other model gets right; or the predictions of
            both: logits (N, C), classes (N,), or bool (N,), True where an answer is right.
        labels: class indices (N,), with logits or classes.

    Raises:
        UserError: counts that are negative or not finite, or predictions that do not fit.

    >>> round(mcnemar_p_value(10, 3), 6)
    0.092285
    >>> mcnemar_p_value([0, 1, 1, 1], [0, 0, 0, 0], labels=[0, 1, 1, 1])
    0.25
    """
    counts = [as_array(one, "predictions or counts") for one in (first, second)]
    if labels is None and all(one.ndim == 0 and one.dtype.kind in "iuf" for one in counts):
        if not all(np.isfinite(one) and one >= 0 for one in counts):
            raise UserError(
                expected="how many samples only the one and only the other model gets right",
                found=f"{first!r} and {second!r}",
                next_step="pass two numbers of 0 or more",
            )
        a, b = (torch.tensor(float(one), dtype=torch.float64) for one in counts)
    else:
        right_2N = of_two(first, second, labels).right("mcnemar_p_value")
        a, b = (
            (right_2N[0] & ~right_2N[1]).sum().double().cpu(),
            (right_2N[1] & ~right_2N[0]).sum().double().cpu(),
        )
    return float(exact_p_value(a, b))


def cka(first: Any, second: Any, *, batch_size: int | None = None) -> float:
    """Unbiased linear CKA of two layers' features on the same samples, 1 for equal up to rotation and scale.

    Sums of HSIC1 over minibatches (Nguyen, Raghu and Kornblith 2021). nan where features are constant.

    Args:
        first, second: features (N, ...), N ≥ 4; axes after the first are flattened.
        batch_size: samples of a minibatch, at least 4; None: all at once, which takes 16·N² bytes.

    Raises:
        UserError: other shapes, or fewer than 4 samples.

    >>> features = np.random.default_rng(0).normal(size=(8, 3))
    >>> round(cka(features, 2 * features[:, ::-1]), 6)
    1.0
    """
    a, b = (as_array(one, "features") for one in (first, second))
    if (
        a.ndim < 2
        or b.ndim < 2
        or len(a) != len(b)
        or 0 in (*a.shape, *b.shape)
        or "f" not in (a.dtype.kind, b.dtype.kind)
    ):
        raise UserError(
            expected="floating-point features (N, ...) of two layers on the same samples",
            found=f"{a.dtype} of shape {a.shape} and {b.dtype} of shape {b.shape}",
            next_step="pass one row for each sample",
        )
    size = len(a) if batch_size is None else batch_size
    sums = CKASums.zeros(1, 2)
    for start, stop in spans(len(a), max(1, size)):
        grams = [
            linear_gram(torch.from_numpy(np.array(one[start:stop], float).reshape(stop - start, -1)))
            for one in (a, b)
        ]
        sums.update(torch.stack(grams))
    if not sums.num_images:
        raise UserError(
            expected="minibatches of at least 4 samples for CKA",
            found=f"{len(a)} samples in minibatches of {size}",
            next_step="pass more samples, or a larger batch_size",
        )
    return float(sums.cka()[0, 1])


def attribution_diversity(
    maps: Any, *, normalise: Literal["none", "l2", "sum"] = "none", unbiased: bool = False
) -> float:
    """How far the models' attribution maps differ: Σ_p Var_i(a_i[p]), a mean over samples (Eq. 7).

    Args:
        maps: (M, N, ...), models first; axes after the second are flattened.
        normalise: "l2": maps of unit Euclidean norm; "sum": of unit sum of magnitudes; "none": as they are.
        unbiased: divide by M - 1 in place of M.

    Returns:
        At least 0; nan where a map that is normalised is zero everywhere.

    Raises:
        UserError: other shapes or settings.

    >>> attribution_diversity([[[1.0, 0.0]], [[3.0, 0.0]]])
    1.0
    """
    array = as_array(maps, "maps")
    if array.ndim < 3 or len(array) < 2 or 0 in array.shape or normalise not in ("none", "l2", "sum"):
        raise UserError(
            expected='attribution maps (M, N, ...) of at least two models, normalise "none", "l2" or "sum"',
            found=f"shape {array.shape}, normalise {normalise!r}",
            next_step="stack the maps of all models on the first axis",
        )
    num_models, num_samples = array.shape[:2]
    gram_MM = torch.zeros(num_models, num_models, dtype=torch.float64)
    for sample in range(num_samples):
        maps_MP = torch.from_numpy(np.array(array[:, sample], float).reshape(num_models, -1))
        if normalise != "none":
            maps_MP = maps_MP / torch.linalg.vector_norm(
                maps_MP, 2 if normalise == "l2" else 1, -1, keepdim=True
            )
        gram_MM += maps_MP @ maps_MP.T / num_samples
    return float(diversity_of_gram(gram_MM, Ensembles.all_of(num_models, num_models), unbiased=unbiased))


def _value(metric: Metric, answers: Answers, options: Options) -> float:
    found: Tensor = value_of(metric, sums_of(metric, answers), answers.num_models, options)
    return float(found)


_LABELS = "    labels: class indices (N,); left out with bool."
_STACKED = (
    "Args:\n    predictions: of M models: logits (M, N, C), classes (M, N), or bool (M, N), True where an "
    f"answer is right.\n{_LABELS}"
)
_OF_TWO = (
    "Args:\n    first, second: of two models: logits (N, C), classes (N,), or bool (N,), True where an "
    "answer is right. Without second, first holds several models on its first axis, and the value is the "
    "mean over their defined pairs."
)
_ARGS = {
    "pairs": f"{_OF_TWO}\n{_LABELS}",
    "failure counts": _STACKED,
    "outputs": "Args:\n    first, second: of two models: logits (N, C), or classes (N,), which are taken as "
    "certain. Without second, first holds several models on its first axis.\n    labels: not used.",
    "votes": _STACKED + '\n    num_classes: C, needed for species "classes".\n    species: see '
    "`nversion.diversity.VoteStatistics.shannon`.",
    "likelihood": _STACKED,
}
