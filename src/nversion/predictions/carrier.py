"""Predictions: the logits of several models on labelled samples under several conditions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nversion.core import UserError, did_you_mean
from nversion.core.arrays import as_array, as_labels, check_axes, check_logits
from nversion.core.reasons import shown
from nversion.data import Condition
from nversion.data.dataset import check_ids, check_name
from nversion.models import Card
from nversion.models.classifier import PROBABILITY_FLOOR

from .view import ConditionPredictions, block_of_each_sample

NUM_BLOCKS = 50
"""Blocks of samples for the jackknife, where no other number is asked for."""


class Predictions(Mapping[str, ConditionPredictions]):
    """Logits of M models on labelled samples, under one condition or several.

    A read-only mapping from the name of a condition ("data/clean", "data/fog-3") to its
    `ConditionPredictions`, in the order of `conditions`. `predictions["fog-3"]` finds a condition by its name
    without the data set, too, where one alone has it.

    Every condition has the same models in the same order; all conditions of one data set have the same
    samples, labels and blocks in the same order. `from_arrays` makes one of logits in memory,
    `nversion.predict` of models and images.

    Attributes:
        conditions: what was done to the samples.
        models: names of the models.
        cards: facts about the models, in their order; empty where nothing is known but their names.

    >>> import numpy as np
    >>> logits_MNC = np.array([[[2.0, 0.0], [1.0, 0.0]], [[0.0, 3.0], [0.0, 1.0]]])
    >>> predictions = Predictions.from_arrays(logits_MNC, labels=[0, 1], models=["a", "b"])
    >>> predictions
    Predictions(2 models: a, b; 2 samples of 2 classes; 1 condition: clean)
    >>> predictions["clean"].condition, predictions.labels_N.tolist()
    ('data/clean', [0, 1])
    """

    def __init__(
        self,
        of_conditions: Iterable[ConditionPredictions],
        conditions: Sequence[Condition],
        cards: Sequence[Card] = (),
    ) -> None:
        self._of_conditions = {one.condition: one for one in of_conditions}
        assert list(self._of_conditions) == [condition.name for condition in conditions]
        self.conditions = tuple(conditions)
        self.models = next(iter(self._of_conditions.values())).model_names
        self.cards = tuple(cards)

    @classmethod
    def from_arrays(
        cls,
        logits: Any,
        labels: Any = None,
        models: Sequence[str] | None = None,
        *,
        dataset: str = "data",
        sample_ids: Sequence[str] | None = None,
        accepted: Mapping[int, Sequence[int]] | Sequence[Sequence[int]] | None = None,
        outputs: Literal["logits", "probabilities"] = "logits",
        num_blocks: int = NUM_BLOCKS,
    ) -> Predictions:
        """Predictions of logits that are in memory, or memory-mapped.

        Arrays are NumPy arrays, tensors or lists; none is copied where its type allows that, so do not change
        them afterwards. Statistics are computed in float32.

        Args:
            logits: of shape (M, N, C), or a mapping from each model's name to (N, C): of clean samples. A
                mapping from the name of a condition to one of these: "clean", "fog-3" (a corruption at a
                severity), or any other name ("sketch").
            labels: class indices, shape (N,), the same samples under every condition.
            models: their names, in the order of the first axis; "model-0", ... where there are none.
            dataset: the name of the samples, with which names of conditions begin.
            sample_ids: one for each sample, each once; "0", "1", ... where there are none.
            accepted: further labels that count as right: by the index of the sample, or for each sample.
            outputs: "probabilities": logarithms are taken, not below that of the smallest normal float32.
            num_blocks: random blocks of samples for standard errors; at most N are made.

        Raises:
            UserError: shapes, lengths, types or values that do not fit, with what to do about it.

        Warns:
            UserWarning: logits that look like probabilities.
        """
        check_name(dataset)
        if outputs not in ("logits", "probabilities"):
            step = did_you_mean(str(outputs), ["logits", "probabilities"])
            raise UserError(expected="outputs of a known kind", found=repr(outputs), next_step=step)
        if isinstance(num_blocks, bool) or not isinstance(num_blocks, int) or num_blocks < 2:
            raise UserError(
                expected="at least 2 blocks of samples",
                found=repr(num_blocks),
                next_step="leave `num_blocks` out: 50 is usual",
            )
        labels_N = as_labels(labels)
        names, of_conditions = _by_condition(logits, models, len(labels_N))
        conditions = [_condition(dataset, name) for name in of_conditions]
        if len({condition.name for condition in conditions}) < len(conditions):
            raise UserError(
                expected="each condition once",
                found=", ".join(map(repr, of_conditions)),
                next_step=f"take one of them out: names begin with {dataset + '/'!r} either way",
            )
        num_classes = of_conditions[next(iter(of_conditions))][0].shape[1]
        labels_N = as_labels(labels_N, num_classes=num_classes)
        ids = sample_names(sample_ids, len(labels_N), dataset)
        further = _accepted(accepted, labels_N, num_classes)
        blocks_N = block_of_each_sample(ids, num_blocks)
        given_as = {
            name: outputs if len(of_conditions) == 1 else f"{outputs} under {name!r}"
            for name in of_conditions
        }
        for name, logits_M in of_conditions.items():
            check_logits(logits_M, names, given_as[name], probabilities=outputs == "probabilities")
        if outputs == "probabilities":
            of_conditions = {name: [_log(p_NC) for p_NC in p_M] for name, p_M in of_conditions.items()}
        rows_N = np.arange(len(labels_N))
        return cls(
            [
                ConditionPredictions(
                    condition.name, names, tuple(logits_M), rows_N, labels_N, blocks_N, further, ids
                )
                for condition, logits_M in zip(conditions, of_conditions.values(), strict=True)
            ],
            conditions,
        )

    def __getitem__(self, name: str) -> ConditionPredictions:
        if name in self._of_conditions:
            return self._of_conditions[name]
        short = [c.name for c in self.conditions if c.name == f"{c.dataset}/{name}"]
        if len(short) != 1:
            known = list(self._of_conditions)
            found = repr(name) + (f", which {len(short)} data sets have" if short else "")
            raise UnknownConditionError(
                expected="a condition of these predictions",
                found=found,
                next_step=f"name one of {', '.join(short)}" if short else did_you_mean(str(name), known),
            )
        return self._of_conditions[short[0]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._of_conditions)

    def __len__(self) -> int:
        """The number of conditions; `num_samples` counts samples."""
        return len(self._of_conditions)

    def __repr__(self) -> str:
        one = len(self.datasets) == 1
        names = [c.name.removeprefix(f"{c.dataset}/") if one else c.name for c in self.conditions]
        samples = " + ".join(str(len(self[of[0].name])) for of in self._of_datasets().values())
        return (
            f"Predictions({_counted(self.models, 'model')}; {samples} samples of {self.num_classes} classes; "
            f"{_counted(names, 'condition')})"
        )

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets, in the order of their first conditions."""
        return tuple(self._of_datasets())

    @property
    def num_classes(self) -> int:
        return next(iter(self.values())).num_classes

    @property
    def num_samples(self) -> int:
        """N, the samples of the only data set.

        Raises:
            UserError: there are several data sets.
        """
        return len(self._any_condition())

    @property
    def labels_N(self) -> NDArray[np.int64]:
        """Class indices of the samples of the only data set.

        Raises:
            UserError: there are several data sets.
        """
        return self._any_condition().labels_N

    @property
    def sample_ids(self) -> tuple[str, ...]:
        """Ids of the samples of the only data set.

        Raises:
            UserError: there are several data sets.
        """
        return self._any_condition().sample_ids

    def _any_condition(self) -> ConditionPredictions:
        if len(self.datasets) > 1:
            raise UserError(
                expected="predictions on one data set",
                found=f"{len(self.datasets)}: {', '.join(self.datasets)}",
                next_step="ask a condition: predictions[NAME].labels_N",
            )
        return next(iter(self.values()))

    def _of_datasets(self) -> dict[str, list[Condition]]:
        found: dict[str, list[Condition]] = {}
        for condition in self.conditions:
            found.setdefault(condition.dataset, []).append(condition)
        return found


class UnknownConditionError(UserError, KeyError):
    """No such condition; a mapping's `in` and `get` catch it as the `KeyError` that it is."""

    __str__ = UserError.__str__


def _by_condition(
    logits: Any, models: Sequence[str] | None, num_samples: int
) -> tuple[tuple[str, ...], dict[str, list[NDArray[Any]]]]:
    """Names of the models, and by the name of the condition the logits (N, C) of each model."""
    given = logits if _is_of_conditions(logits) else {"clean": logits}
    if not given:
        raise UserError(
            expected="logits under at least one condition", found="none", next_step='pass {"clean": logits}'
        )
    names: tuple[str, ...] | None = None
    found: dict[str, list[NDArray[Any]]] = {}
    for condition, of_models in given.items():
        what = "logits" if len(given) == 1 else f"logits of {condition!r}"
        if isinstance(of_models, Mapping):
            own, values = tuple(of_models), list(of_models.values())
        else:
            own, values = None, _each_model(of_models, num_samples, what)
        names = names or _names(own if models is None else models, len(values))
        if own is not None and sorted(map(str, own)) == sorted(names):
            values = [of_models[name] for name in names]
        elif own is not None or len(values) != len(names):
            raise UserError(
                expected=f"{what} of the models {shown(list(names))}",
                found=f"those of {shown(list(own))}"
                if own is not None
                else f"logits of {len(values)} models",
                next_step="pass the same models under every condition, one name for each",
            )
        found[condition] = [
            _of_one_model(value, num_samples, f"{what} of {name!r}")
            for name, value in zip(names, values, strict=True)
        ]
    assert names is not None
    widths = {
        (condition, name): one.shape[1]
        for condition, of in found.items()
        for name, one in zip(names, of, strict=True)
    }
    first = next(iter(widths))
    for key, width in widths.items():
        if width != widths[first]:
            raise UserError(
                expected="logits of one number of classes from all models",
                found=f"{widths[first]} of {first[1]!r} under {first[0]!r} and "
                f"{width} of {key[1]!r} under {key[0]!r}",
                next_step="pass models of one label space",
            )
    return names, found


def _is_of_conditions(logits: Any) -> bool:
    """Whether a mapping is from conditions, whose values hold several models, and not from models."""
    if not isinstance(logits, Mapping):
        return False
    return all(isinstance(one, Mapping) or np.ndim(_peek(one)) != 2 for one in logits.values())


def _peek(value: Any) -> Any:
    return value if hasattr(value, "ndim") else as_array(value, "logits")


def _each_model(values: Any, num_samples: int, what: str) -> list[Any]:
    """Logits of several models as those of each: a list of arrays is not stacked."""
    if isinstance(values, list | tuple) and values and all(getattr(one, "ndim", 0) == 2 for one in values):
        return list(values)
    array = as_array(values, what)
    if array.dtype.kind in "iu" and array.ndim == 2:
        raise UserError(
            expected=f"{what} of shape (M, N, C), models first",
            found=f"{array.dtype} of shape {array.shape}, as predicted classes are",
            next_step="pass logits; functions of nversion.metrics take predicted classes, too",
        )
    check_axes(array, num_samples, what, "(M, N, C)")
    return list(array)


def _of_one_model(values: Any, num_samples: int, what: str) -> NDArray[Any]:
    array = as_array(values, what)
    expected = f"{what} of shape (N, C) in floating point, for {num_samples} labels"
    found = f"{array.dtype} of shape {array.shape}"
    if array.ndim != 2 or 0 in array.shape:
        raise UserError(expected=expected, found=found, next_step="pass one row for each sample")
    if len(array) != num_samples:
        step = "pass logits and labels of the same samples in the same order"
        if array.shape[1] == num_samples:
            step = "put samples first: logits.T"
        raise UserError(expected=expected, found=found, next_step=step)
    if array.dtype.kind != "f":
        raise UserError(
            expected=expected,
            found=found,
            next_step="pass the network's outputs before softmax; if these are quantised logits, "
            "multiply them by their scale",
        )
    return array


def _names(models: Sequence[str] | None, count: int) -> tuple[str, ...]:
    if models is None:
        return tuple(f"model-{index}" for index in range(count))
    names = (models,) if isinstance(models, str) else tuple(models)
    wrong = [name for name in names if not isinstance(name, str) or not name.strip()]
    twice = [name for name in names if names.count(name) > 1]
    if wrong or twice or len(names) != count:
        found = (
            f"the name {wrong[0]!r}" if wrong else f"{twice[0]!r} twice" if twice else f"{len(names)} names"
        )
        raise UserError(
            expected=f"one name for each of {count} models, as different texts",
            found=found,
            next_step='pass models=["a", "b", ...] in the order of the first axis',
        )
    return names


def _condition(dataset: str, name: Any) -> Condition:
    if not isinstance(name, str) or not name.strip() or "/" in name.removeprefix(f"{dataset}/"):
        raise UserError(
            expected="names of conditions as texts without a slash",
            found=repr(name),
            next_step='name them "clean", "fog-3", ...',
        )
    return Condition.named(dataset, name.removeprefix(f"{dataset}/"))


def sample_names(sample_ids: Sequence[str] | None, num_samples: int, dataset: str) -> tuple[str, ...]:
    """The given ids, each once; "0", "1", ... where there are none.

    Raises:
        UserError: another number of ids, one twice, or one that is not UTF-8.
    """
    if sample_ids is None:
        return tuple(map(str, range(num_samples)))
    ids = tuple(str(one) for one in sample_ids)
    if len(ids) != num_samples or len(set(ids)) != num_samples:
        raise UserError(
            expected=f"{num_samples} sample ids, each once, one for each label",
            found=f"{len(ids)} ids, {len(set(ids))} of them different",
            next_step="pass one id for each sample, or leave `sample_ids` out",
        )
    check_ids(dataset, ids)
    return ids


def _accepted(
    accepted: Mapping[int, Sequence[int]] | Sequence[Sequence[int]] | None,
    labels_N: NDArray[np.int64],
    num_classes: int,
) -> dict[int, tuple[int, ...]]:
    """Further labels by the index of the sample, without its own."""
    if accepted is None:
        return {}
    if not isinstance(accepted, Mapping) and len(accepted) != len(labels_N):
        raise UserError(
            expected=f"accepted labels of {len(labels_N)} samples, or by the index of the sample",
            found=f"those of {len(accepted)}",
            next_step="pass {index: [label, ...]}",
        )
    items = accepted.items() if isinstance(accepted, Mapping) else enumerate(accepted)
    found: dict[int, tuple[int, ...]] = {}
    for sample, of_sample in items:
        labels = {int(label) for label in of_sample}
        if not 0 <= sample < len(labels_N) or any(not 0 <= label < num_classes for label in labels):
            raise UserError(
                expected=f"accepted labels from 0 to {num_classes - 1} of samples 0 to {len(labels_N) - 1}",
                found=f"{shown(list(of_sample))} of sample {sample}",
                next_step="give them by the index of the sample, 0-based",
            )
        if further := tuple(sorted(labels - {int(labels_N[sample])})):
            found[int(sample)] = further
    return found


def _log(probabilities_NC: NDArray[Any]) -> NDArray[np.float32]:
    return np.log(np.maximum(probabilities_NC.astype(np.float32), np.float32(PROBABILITY_FLOOR)))


def _counted(names: Sequence[str], noun: str, most: int = 6) -> str:
    listed = ", ".join(names[:most]) + (", ..." if len(names) > most else "")
    return f"{len(names)} {noun}{'s' * (len(names) != 1)}: {listed}"
