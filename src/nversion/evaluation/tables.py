"""Tables of models, ensembles, pairs, diversity, conditions, labels and metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nversion.core import LabelSpace
from nversion.core.members import ensemble_name
from nversion.data import Condition
from nversion.diversity import Metric
from nversion.models import Card
from nversion.predictions import ConditionPredictions
from nversion.reliability import proportion_interval

from .lineage import shared_lineage
from .measure import ConditionResult
from .registry import BOOL, FLOAT, INT, TEXT, TEXTS, shared, table


class Samples(Protocol):
    """All samples of a data set, unreadable ones too, as a `Dataset` has them.

    Attributes:
        accepted: by the index of the sample, further labels that count as right.
    """

    @property
    def label_space(self) -> LabelSpace: ...
    @property
    def sample_ids(self) -> Sequence[str]: ...
    @property
    def labels_N(self) -> NDArray[np.int64]: ...
    @property
    def accepted(self) -> Mapping[int, tuple[int, ...]]: ...


def named_ensembles(
    members: Sequence[Sequence[int]], model_names: Sequence[str]
) -> dict[str, list[str] | list[list[str]]]:
    """The columns by which ensembles are known: `members`, and `ensemble`, their name; see `ensemble_name`.

    >>> named_ensembles([[0, 2]], ["resnet", "vit", "mixer"])
    {'ensemble': ['resnet + mixer'], 'members': [['resnet', 'mixer']]}
    """
    lists = [[model_names[i] for i in row] for row in members]
    return {"ensemble": [ensemble_name(names, model_names) for names in lists], "members": lists}


@table("models", of="condition", schema={
    "model": TEXT, "family": TEXT, "training": TEXT, "family_declared": BOOL,
    "training_declared": BOOL, "architecture": TEXT, "initial_weights": TEXT, "teacher": TEXT,
    "training_data": TEXTS, "params": INT, "macs": INT, "condition": TEXT, "n": INT, "top1": FLOAT,
    "top1_low": FLOAT, "top1_high": FLOAT, "top5": FLOAT, "nll": FLOAT, "brier": FLOAT,
    "ece": FLOAT, "ece_debiased": FLOAT, "changed_top1": INT,
})  # fmt: skip
def models_table(
    result: ConditionResult, cards: Sequence[Card], changed: Mapping[tuple[str, str], int]
) -> Iterator[dict[str, object]]:
    """A row for each model and condition (Table 1); `changed` counts top-1 that storage changed."""
    for i, card in enumerate(cards):
        top1 = float(result.models.top1_M[i])
        low, high = proportion_interval(round(top1 * result.num_samples), result.num_samples)
        yield {
            "model": card.name,
            "family": card.family,
            "training": card.training,
            "family_declared": card.family_declared,
            "training_declared": card.training_declared,
            "architecture": card.architecture,
            "initial_weights": card.initial_weights,
            "teacher": card.teacher,
            "training_data": list(card.training_data),
            "params": card.num_parameters,
            "macs": card.macs,
            "condition": result.condition,
            "n": result.num_samples,
            "top1": top1,
            "top1_low": low,
            "top1_high": high,
            "top5": float(result.models.top5_M[i]),
            "nll": float(result.models.nll_M[i]),
            "brier": float(result.models.brier_M[i]),
            "ece": float(result.models.ece_M[i]),
            "ece_debiased": float(result.models.ece_debiased_M[i]),
            "changed_top1": changed.get((result.condition, card.name)),
        }


@table("ensembles", of="condition", schema={
    "ensemble": TEXT, "members": TEXTS, "size": INT, "consensus": TEXT, "condition": TEXT,
    "top1": FLOAT, "best_member": TEXT, "best_member_top1": FLOAT, "mean_member_top1": FLOAT,
    "improvement": FLOAT, "improvement_stderr": FLOAT, "ties": INT, "params": INT, "macs": INT,
    "shared_lineage": TEXT,
})  # fmt: skip
def ensembles_table(result: ConditionResult, cards: Sequence[Card]) -> Iterator[pl.DataFrame]:
    """A row for each ensemble, consensus and condition (Figures 5 to 8)."""
    names = [card.name for card in cards]
    params, macs = [card.num_parameters for card in cards], [card.macs for card in cards]
    for size in result.sizes:
        members = size.ensembles.members_EK.tolist()
        shared = {
            **named_ensembles(members, names),
            "best_member": [names[i] for i in size.best_E.tolist()],
            "shared_lineage": shared_lineage(cards, size.ensembles),
            "best_member_top1": size.best_member_E.tolist(),
            "mean_member_top1": size.mean_member.full_E.tolist(),
            "params": [_total(params, row) for row in members],
            "macs": [_total(macs, row) for row in members],
        }
        for consensus, improvement in size.improvement.items():
            columns = {
                **shared,
                "top1": size.evaluations[consensus].accuracy.full_E.tolist(),
                "improvement": improvement.full_E.tolist(),
                "improvement_stderr": improvement.stderr().tolist(),
                "ties": size.evaluations[consensus].num_ties_E.tolist(),
            }
            yield pl.DataFrame(columns).with_columns(
                size=pl.lit(size.ensembles.size),
                consensus=pl.lit(consensus),
                condition=pl.lit(result.condition),
            )


def _total(values: Sequence[int | None], members: Sequence[int]) -> int | None:
    """The sum over the members; None where one is unknown."""
    known = [value for i in members if (value := values[i]) is not None]
    return sum(known) if len(known) == len(members) else None


@table("pairs", of="condition", schema={
    "model_a": TEXT, "model_b": TEXT, "condition": TEXT, "metric": TEXT, "value": FLOAT,
})  # fmt: skip
def pairs_table(result: ConditionResult, model_names: Sequence[str]) -> Iterator[dict[str, object]]:
    """A row for each pair of models, condition and metric; undefined values are nan."""
    for metric, value_MM in result.pairs.items():
        for a, b in combinations(range(len(model_names)), 2):
            yield {
                "model_a": model_names[a],
                "model_b": model_names[b],
                "condition": result.condition,
                "metric": metric,
                "value": float(value_MM[a, b]),
            }


@table("diversity", of="condition", schema={
    "ensemble": TEXT, "members": TEXTS, "size": INT, "condition": TEXT, "metric": TEXT,
    "value": FLOAT, "stderr": FLOAT, "n_undefined": INT,
})  # fmt: skip
def diversity_table(result: ConditionResult, model_names: Sequence[str]) -> Iterator[pl.DataFrame]:
    """A row for each ensemble, condition and metric, with its block-jackknife standard error."""
    for size in result.sizes:
        named = named_ensembles(size.ensembles.members_EK.tolist(), model_names)
        for metric, values in size.diversity.items():
            yield pl.DataFrame(
                {
                    **named,
                    "value": values.full_E.tolist(),
                    "stderr": values.stderr().tolist(),
                    "n_undefined": values.num_undefined_E().tolist(),
                }
            ).with_columns(
                size=pl.lit(size.ensembles.size),
                condition=pl.lit(result.condition),
                metric=pl.lit(metric),
            )


@table("conditions", of="study", schema={
    "condition": TEXT, "dataset": TEXT, "corruption": TEXT, "severity": FLOAT, "seed": INT,
    "stored": TEXT, "n": INT, "excluded": INT,
})  # fmt: skip
def conditions_table(
    conditions: Sequence[Condition], num_samples: Mapping[str, int], excluded: Mapping[str, int]
) -> Iterator[dict[str, object]]:
    """A row for each condition; `n` and `excluded` (unreadable images) are those of its data set."""
    for c in conditions:
        yield {
            "condition": c.name,
            "dataset": c.dataset,
            "corruption": c.corruption,
            "severity": c.severity,
            "seed": c.seed,
            "stored": c.stored,
            "n": num_samples[c.dataset],
            "excluded": excluded[c.dataset],
        }


@shared("study")
def num_samples(
    conditions: Sequence[Condition], predictions: Mapping[str, ConditionPredictions]
) -> dict[str, int]:
    """By data set, its samples that have logits."""
    return {c.dataset: len(predictions[c.name]) for c in conditions}


@shared("study")
def excluded(samples: Mapping[str, Samples], num_samples: Mapping[str, int]) -> dict[str, int]:
    """By data set, its samples without logits: unreadable images."""
    return {name: len(of.labels_N) - num_samples[name] for name, of in samples.items()}


@table("labels", of="study", schema={
    "dataset": TEXT, "sample_id": TEXT, "label": INT, "accepted": pl.List(pl.Int64),
})  # fmt: skip
def labels_table(samples: Mapping[str, Samples]) -> Iterator[pl.DataFrame]:
    """A row for each sample, unreadable ones too: row n of a data set is row n of its stored logits.

    `accepted` holds the labels that count as right besides `label`.
    """
    for name, of in samples.items():
        columns = {
            "sample_id": of.sample_ids,
            "label": of.labels_N.copy(),
            "accepted": [list(of.accepted.get(row, ())) for row in range(len(of.labels_N))],
        }
        frame = pl.DataFrame(columns, schema_overrides={"accepted": pl.List(pl.Int64)})
        yield frame.with_columns(dataset=pl.lit(name))


@table("metrics", of="study", schema={
    "metric": TEXT, "label": TEXT, "group": TEXT, "of": TEXT, "low_bound": FLOAT, "high_bound": FLOAT,
    "higher_is_more_diverse": BOOL, "formula": TEXT, "undefined_when": TEXT,
    "method": TEXT, "target": TEXT, "normalise": TEXT, "subset": TEXT,
})  # fmt: skip
def metrics_table(metrics: Sequence[Metric]) -> Iterator[dict[str, object]]:
    """What each metric is: its label and group, what it is of, bounds, direction, formula, when undefined.

    The last four columns are of attribution maps alone; `subset` is null for all images.
    """
    for one in metrics:
        low, high = one.bounds()
        yield {
            "metric": one.name,
            "label": one.label,
            "group": one.group,
            "of": one.of,
            "low_bound": low if math.isfinite(low) else None,
            "high_bound": high if math.isfinite(high) else None,
            "higher_is_more_diverse": one.higher_is_more_diverse,
            "formula": one.formula,
            "undefined_when": one.undefined_when,
            "method": one.method,
            "target": one.target,
            "normalise": one.normalise,
            "subset": one.subset,
        }


@table("near_ties", of="condition", schema={
    "ensemble": TEXT, "members": TEXTS, "size": INT, "consensus": TEXT, "condition": TEXT,
    "sample_id": TEXT,
})  # fmt: skip
def near_ties_table(
    result: ConditionResult, model_names: Sequence[str], sample_ids: Sequence[str]
) -> Iterator[dict[str, object]]:
    """Samples that an ensemble decided by less than 1e-5, as many as were listed.

    Args:
        sample_ids: of the condition's readable samples, in order.
    """
    for size in result.sizes:
        members_E = size.ensembles.members_EK.tolist()
        for rule, evaluation in size.evaluations.items():
            for ensemble, sample in evaluation.near_ties:
                members = [model_names[i] for i in members_E[ensemble]]
                yield {
                    "ensemble": ensemble_name(members, model_names),
                    "members": members,
                    "size": size.ensembles.size,
                    "consensus": rule,
                    "condition": result.condition,
                    "sample_id": sample_ids[sample],
                }
