"""Evaluate all ensembles under every condition: from predictions to the tables, in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.core import LabelSpace, UserError
from nversion.core.reasons import reason_of
from nversion.core.tables import FileKind
from nversion.data import ClassGroups, Condition
from nversion.diversity import Metric
from nversion.models import Card
from nversion.predictions import ConditionPredictions, Predictions
from nversion.predictions.grams import AttributionTable
from nversion.predictions.similarities import Representations

from .measure import AttributedGrams, ConditionResult, measure_condition
from .published import Baseline
from .registry import Scope
from .result import Result
from .settings import EnsemblesTable, ReliabilityTable, ensembles_of
from .studied import Contenders, RightAnswers, right_answers
from .suspects import condition_of_suspects, find_suspects
from .tables import Samples

_SETTINGS = FileKind("evaluation", "see help(nversion.evaluate)")


@dataclass(frozen=True)
class _SamplesOfPredictions:
    """The samples of one data set as far as predictions know them; see `Samples`."""

    label_space: LabelSpace
    sample_ids: Sequence[str]
    labels_N: NDArray[np.int64]
    accepted: Mapping[int, tuple[int, ...]]


@dataclass(frozen=True)
class Inputs:
    """Predictions, and what is known about models and images beyond them.

    Attributes:
        predictions: by the name of the condition.
        conditions: in the order of the tables.
        cards: of the models, in the order of the predictions.
        samples: of each data set, unreadable ones included.
        side: pixels per side of the images, which tells apart published sets of corruptions of one name.
        class_groups: groups of classes for the table of hazards.
        cost_CC: the cost of taking one class for another.
        baseline: whose errors corruption errors are relative to.
        named: members of ensembles that corruption errors are compared with.
        changed: by condition and model, top classes that the type of stored logits changed.
        attribution: which attribution maps were made.
        grams: the stored Gram matrices of a condition by metric; none by default.
        layers: the stored similarities of layers under a condition; None by default.
        has_layers: whether there are any.
    """

    predictions: Mapping[str, ConditionPredictions]
    conditions: Sequence[Condition]
    cards: Sequence[Card]
    samples: Mapping[str, Samples]
    asked: EnsemblesTable
    reliability: ReliabilityTable = field(default_factory=ReliabilityTable)
    side: int = 224
    class_groups: ClassGroups | None = None
    cost_CC: Tensor | None = None
    baseline: Baseline | None = None
    named: Sequence[Sequence[str]] = ()
    changed: Mapping[tuple[str, str], int] = field(default_factory=dict)
    attribution: AttributionTable | None = None
    grams: Callable[[Condition], Mapping[Metric, AttributedGrams]] = lambda _: {}
    layers: Callable[[Condition], Representations | None] = lambda _: None
    has_layers: bool = False


def evaluate(
    predictions: Any,
    labels: Any = None,
    *,
    sizes: Sequence[int] | None = None,
    consensus: Sequence[str] | None = None,
    sample: int | None = None,
    seed: int = 0,
    diversity: Sequence[str] | None = None,
    shannon_species: Literal["members", "classes", "observed"] = "members",
    draw_seed: int | None = None,
    side: int = 224,
    class_groups: ClassGroups | Mapping[str, Sequence[int]] | None = None,
    cost_CC: Tensor | NDArray[np.float64] | Sequence[Sequence[float]] | None = None,
    **reliability: Any,
) -> Result:
    """Evaluate all ensembles of several models: accuracy, diversity, calibration, joint failures, and more.

    Everything is computed from the predictions; no model runs and no file is written.

    Args:
        predictions: `Predictions` of at least two models, as `nversion.predict` gives them; or logits as
            `Predictions.from_arrays` takes them.
        labels: class indices (N,) with logits.
        sizes: numbers of members. None: 3, or 2 where there are two models.
        consensus: names of rules by which ensembles decide. None: all five of `nversion.ensembles.CONSENSUS`
            that a study uses by default.
        sample: at most so many ensembles of each size, drawn with `seed`; None: all.
        diversity: names of diversity metrics; None: all.
        shannon_species: the maximum that Shannon equitability is relative to.
        draw_seed: settle tied votes by a draw; None: count the expected accuracy.
        side: pixels per side of the images; tells published sets of corruptions apart.
        class_groups: groups of classes among which the worst is sought: by name, indices of classes.
        cost_CC: the cost of taking one class (row) for another (column).
        reliability: fields of `ReliabilityTable`: group_by, margin, suspect_share, suspect_agreement.

    Raises:
        UserError: fewer than two models or samples, an unknown name, or a size above the number of models.

    >>> rng = np.random.default_rng(0)
    >>> labels_N = rng.integers(0, 3, 60)
    >>> logits_MNC = rng.normal(size=(4, 60, 3)) + 2 * np.eye(3)[labels_N]
    >>> result = evaluate(Predictions.from_arrays(logits_MNC, labels_N), sizes=[2, 3])
    >>> result.ensembles.filter(size=3, consensus="average").height
    4
    """
    if not isinstance(predictions, Predictions):
        predictions = Predictions.from_arrays(predictions, labels)
    elif labels is not None:
        raise UserError(
            expected="no labels with Predictions, which have theirs",
            found="both",
            next_step="leave the labels out",
        )
    if len(predictions.models) < 2:
        raise UserError(
            expected="predictions of at least two models",
            found=f"one: {predictions.models[0]}",
            next_step="add the logits of another model",
        )
    sizes = [min(3, len(predictions.models))] if sizes is None else sizes
    asked = {"sizes": _list(sizes), "sample": sample, "seed": seed, "shannon_species": shannon_species}
    asked |= {"diversity": None if diversity is None else _list(diversity), "draw_seed": draw_seed}
    asked |= {} if consensus is None else {"consensus": _list(consensus)}
    cards = predictions.cards or [_unknown(name, predictions.num_classes) for name in predictions.models]
    inputs = Inputs(
        predictions,
        predictions.conditions,
        cards,
        {name: _samples_of(predictions, name) for name in predictions.datasets},
        _SETTINGS.checked(EnsemblesTable, asked, "evaluate()"),
        _SETTINGS.checked(ReliabilityTable, reliability, "evaluate()"),
        side,
        None if class_groups is None else _groups(class_groups, predictions.num_classes),
        None if cost_CC is None else _costs(cost_CC, predictions.num_classes),
    )
    return evaluate_inputs(inputs)


def evaluate_inputs(
    inputs: Inputs, on_condition: Callable[[ConditionResult], None] = lambda _: None
) -> Result:
    """The tables of an evaluation.

    Memory: the results of two conditions, this one's and its data set's clean one; how often all ensembles
    are right in each block of images under every condition, by one rule; and the tables.

    Args:
        on_condition: called with the result of each condition.
    """
    names = tuple(card.name for card in inputs.cards)
    families = ensembles_of(inputs.asked, len(names))
    study = Scope("study", model_names=names, **vars(inputs))
    rule = "average" if "average" in inputs.asked.consensus else inputs.asked.consensus[0]
    study.values["contenders"] = Contenders.of(families, names, rule, inputs.named)
    parts: dict[str, dict[str, Any]] = {}
    answers: dict[str, RightAnswers] = {}
    datasets = list(dict.fromkeys(condition.dataset for condition in inputs.conditions))
    for name in datasets:
        conditions = [condition for condition in inputs.conditions if condition.dataset == name]
        first = condition_of_suspects(conditions)
        data = Scope("data set", study, dataset=name, data=inputs.samples[name], suspects_found_in=first)
        data.values["rows_N"] = rows_N = inputs.predictions[first.name].rows_N
        data.values["readable_ids"] = [inputs.samples[name].sample_ids[row] for row in rows_N.tolist()]
        clean: ConditionResult | None = None
        credits: dict[str, Tensor] = {}
        # The condition under which suspects are found, clean where there is one, comes first.
        for condition in sorted(conditions, key=lambda c: c is not first):
            view = inputs.predictions[condition.name]
            layers = inputs.layers(condition)
            result = measure_condition(
                view,
                families,
                inputs.asked,
                inputs.grams(condition),
                None if layers is None else layers.similarity(),
                inputs.cost_CC,
            )
            if condition is first:
                limits = inputs.reliability.suspect_share, inputs.reliability.suspect_agreement
                suspects = find_suspects(result.answers.predicted_MN, result.answers.right_MN, *limits)
                data.values |= {"suspects": suspects, "suspects_N": torch.from_numpy(suspects.mask_N)}
            clean = result if condition.is_clean else clean
            of_condition = Scope(
                "condition",
                data,
                condition=condition,
                result=result,
                clean=clean,
                clean_twin=None if clean is result else clean,
                grams=result.grams or None,
                layers=layers,
                sample_ids=data["readable_ids"],
            )
            for table, frame in of_condition.tables().items():
                parts.setdefault(table, {})[condition.name] = frame
            credits[condition.name] = right_answers(result, rule)
            on_condition(result)
        answers[name] = data.values["answers"] = RightAnswers(
            name, inputs.side, conditions, rule, credits, result.models.count_B
        )
        for table, frame in data.tables().items():
            parts.setdefault(table, {})[name] = frame
    order = [*(condition.name for condition in inputs.conditions), *datasets]
    return Result(study.tables() | _in_order(parts, order), inputs, answers)


def _in_order(
    parts: Mapping[str, Mapping[str, pl.DataFrame]], order: Sequence[str]
) -> dict[str, pl.DataFrame]:
    return {
        table: pl.concat(frames[name] for name in order if name in frames) for table, frames in parts.items()
    }


def _costs(cost_CC: Any, num_classes: int) -> Tensor:
    """A matrix of costs as float64."""
    try:
        found_CC = torch.as_tensor(np.asarray(cost_CC), dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            expected=f"costs of shape ({num_classes}, {num_classes})",
            found=reason_of(error),
            next_step="pass numbers: a row for each class, a column for each class taken",
        ) from error
    if found_CC.shape != (num_classes, num_classes) or not found_CC.isfinite().all():
        raise UserError(
            expected=f"finite costs of shape ({num_classes}, {num_classes})",
            found=f"shape {tuple(found_CC.shape)}"
            + ("" if found_CC.isfinite().all() else " with nan or inf"),
            next_step="pass a row for each class, a column for each class taken",
        )
    return found_CC


def _groups(groups: ClassGroups | Mapping[str, Sequence[int]], num_classes: int) -> ClassGroups:
    """Groups of classes, each class in at most one."""
    if isinstance(groups, ClassGroups):
        return groups
    group_C, names = np.full(num_classes, -1, np.int64), list(groups)
    for index, classes in enumerate(groups.values()):
        for label in classes:
            known = isinstance(label, int | np.integer) and 0 <= label < num_classes
            if not known or group_C[label] >= 0:
                raise UserError(
                    expected=f"indices of classes from 0 to {num_classes - 1}, each in one group",
                    found=f"{label!r} in {names[index]!r}"
                    + (f" and in {names[group_C[label]]!r}" if known else ""),
                    next_step="correct class_groups",
                )
            group_C[label] = index
    return ClassGroups(tuple(names), group_C)


def _list(values: Any) -> Any:
    """A sequence as the list that settings are checked as; a text stays one."""
    return values if isinstance(values, str) or not isinstance(values, Sequence) else list(values)


def _samples_of(predictions: Predictions, dataset: str) -> Samples:
    view = next(predictions[c.name] for c in predictions.conditions if c.dataset == dataset)
    space = LabelSpace(dataset, view.num_classes)
    return _SamplesOfPredictions(space, view.sample_ids, view.labels_N, view.accepted)


def _unknown(name: str, num_classes: int) -> Card:
    return Card(name, "other", "unspecified", None, None, LabelSpace("unknown", num_classes), "", None)
