"""How a study's numbers become rows; their columns are in `schemas`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import polars as pl

from nversion.core.members import ensemble_name
from nversion.data import Condition, Dataset
from nversion.diversity import FEWEST_BATCHES, MetricFacts
from nversion.ensembles import Replicated
from nversion.models import Card
from nversion.reliability import block_jackknife_stderr, proportion_interval

from .lineage import shared_lineage
from .measure import ConditionResult, Measured
from .schemas import (
    CONDITIONS,
    DIVERSITY,
    ENSEMBLES,
    LABELS,
    METRICS,
    MODELS,
    NEAR_TIES,
    PAIRS,
)


def named_ensembles(
    members: Sequence[Sequence[int]], model_names: Sequence[str]
) -> dict[str, list[str] | list[list[str]]]:
    """The columns by which ensembles are known: `members`, and `ensemble`, their name; see `ensemble_name`.

    >>> named_ensembles([[0, 2]], ["resnet", "vit", "mixer"])
    {'ensemble': ['resnet + mixer'], 'members': [['resnet', 'mixer']]}
    """
    lists = [[model_names[i] for i in row] for row in members]
    return {"ensemble": [ensemble_name(names, model_names) for names in lists], "members": lists}


def models_table(
    results: Sequence[ConditionResult], cards: Sequence[Card], changed: Mapping[tuple[str, str], int]
) -> pl.DataFrame:
    """A row for each model and condition (Table 1); `changed` counts top-1 that storage changed."""
    rows: list[dict[str, object]] = []
    for result in results:
        for i, card in enumerate(cards):
            top1 = float(result.models.top1_M[i])
            low, high = proportion_interval(round(top1 * result.num_samples), result.num_samples)
            rows.append(
                {
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
            )
    return pl.DataFrame(rows, schema=MODELS)


def ensembles_table(results: Sequence[ConditionResult], cards: Sequence[Card]) -> pl.DataFrame:
    """A row for each ensemble, consensus and condition (Figures 5 to 8)."""
    names = [card.name for card in cards]
    frames = [pl.DataFrame(schema=ENSEMBLES)]
    for result in results:
        for size in result.sizes:
            members = size.ensembles.members_EK.tolist()
            shared = {
                **named_ensembles(members, names),
                "best_member": [names[i] for i in size.best_E.tolist()],
                "shared_lineage": shared_lineage(cards, size.ensembles),
                "best_member_top1": size.best_member_E.tolist(),
                "mean_member_top1": size.mean_member.full_E.tolist(),
                "params": [sum(cards[i].num_parameters for i in row) for row in members],
                "macs": [sum(cards[i].macs for i in row) for row in members],
            }
            for consensus, improvement in size.improvement.items():
                columns = {
                    **shared,
                    "top1": size.accuracy[consensus].full_E.tolist(),
                    "improvement": improvement.full_E.tolist(),
                    "improvement_stderr": stderr_of(improvement),
                    "ties": size.evaluations[consensus].num_ties_E.tolist(),
                }
                frame = pl.DataFrame(columns).with_columns(
                    size=pl.lit(size.ensembles.size),
                    consensus=pl.lit(consensus),
                    condition=pl.lit(result.condition),
                )
                frames.append(frame.select(list(ENSEMBLES)).cast(pl.Schema(ENSEMBLES)))
    return pl.concat(frames)


def pairs_table(results: Sequence[ConditionResult], cards: Sequence[Card]) -> pl.DataFrame:
    """A row for each pair of models, condition and metric; undefined values are nan."""
    rows = [
        {
            "model_a": cards[a].name,
            "model_b": cards[b].name,
            "condition": result.condition,
            "metric": metric,
            "value": float(value_MM[a, b]),
        }
        for result in results
        for metric, value_MM in result.pairs.items()
        for a, b in combinations(range(len(cards)), 2)
    ]
    return pl.DataFrame(rows, schema=PAIRS)


def diversity_table(results: Sequence[ConditionResult], cards: Sequence[Card]) -> pl.DataFrame:
    """A row for each ensemble, condition and metric, with its block-jackknife standard error."""
    names = [card.name for card in cards]
    frames = [pl.DataFrame(schema=DIVERSITY)]
    for result in results:
        for size in result.sizes:
            named = named_ensembles(size.ensembles.members_EK.tolist(), names)
            for metric, measured in size.diversity.items():
                frame = pl.DataFrame(
                    {
                        **named,
                        "value": measured.full_E.tolist(),
                        "stderr": stderr_of(measured),
                        "n_undefined": measured.undefined_E.tolist(),
                    }
                ).with_columns(
                    size=pl.lit(size.ensembles.size),
                    condition=pl.lit(result.condition),
                    metric=pl.lit(metric),
                )
                frames.append(frame.select(list(DIVERSITY)).cast(pl.Schema(DIVERSITY)))
    return pl.concat(frames)


def conditions_table(
    conditions: Sequence[Condition], num_samples: Mapping[str, int], excluded: Mapping[str, int]
) -> pl.DataFrame:
    """A row for each condition; `n` and `excluded` (unreadable images) are those of its data set."""
    rows = [
        {
            "condition": c.name,
            "dataset": c.dataset,
            "corruption": c.corruption,
            "severity": c.severity,
            "seed": c.seed,
            "stored": c.stored,
            "n": num_samples[c.dataset],
            "excluded": excluded[c.dataset],
        }
        for c in conditions
    ]
    return pl.DataFrame(rows, schema=CONDITIONS)


def labels_table(datasets: Mapping[str, Dataset]) -> pl.DataFrame:
    """A row for each sample, unreadable ones too: row n of a data set is row n of its stored logits.

    `accepted` holds the labels that count as right besides `label`.
    """
    frames = [
        pl.DataFrame(
            {
                "sample_id": dataset.sample_ids,
                "label": dataset.labels_N.copy(),
                "accepted": [list(dataset.accepted.get(row, ())) for row in range(len(dataset))],
            },
            schema_overrides={"accepted": LABELS["accepted"]},
        ).select(pl.lit(name).alias("dataset"), pl.all())
        for name, dataset in datasets.items()
    ]
    return pl.concat(frames).cast(pl.Schema(LABELS))


def metrics_table(metrics: Sequence[MetricFacts]) -> pl.DataFrame:
    """What each metric is: bounds, direction, formula, when it is undefined."""
    rows: list[dict[str, object]] = [
        {
            "metric": facts.name,
            "low_bound": facts.low if math.isfinite(facts.low) else None,
            "high_bound": facts.high if math.isfinite(facts.high) else None,
            "higher_is_more_diverse": facts.higher_is_more_diverse,
            "formula": facts.formula,
            "undefined_when": facts.undefined_when,
        }
        for facts in metrics
    ]
    return pl.DataFrame(rows, schema=METRICS)


def near_ties_table(
    result: ConditionResult, model_names: Sequence[str], sample_ids: Sequence[str]
) -> pl.DataFrame:
    """Samples that an ensemble decided by less than 1e-5, as many as were listed.

    Args:
        sample_ids: of the condition's readable samples, in order.
    """
    rows = [
        {
            "ensemble": ensemble_name(members := [model_names[i] for i in row], model_names),
            "members": members,
            "size": size.ensembles.size,
            "consensus": rule,
            "condition": result.condition,
            "sample_id": sample_ids[sample],
        }
        for size in result.sizes
        for rule, evaluation in size.evaluations.items()
        for ensemble, sample in evaluation.near_ties
        for row in [size.ensembles.members_EK[ensemble].tolist()]
    ]
    return pl.DataFrame(rows, schema=NEAR_TIES)


def stderr_of(values: Measured | Replicated) -> list[float]:
    """The standard error over images, from the block jackknife.

    nan where fewer than `FEWEST_BATCHES` blocks hold any of what was measured.
    """
    count_B = values.count_B if isinstance(values, Measured) else None
    if count_B is not None and int((count_B > 0).sum()) < FEWEST_BATCHES:
        return [math.nan] * len(values.full_E)
    stderr_E: list[float] = block_jackknife_stderr(values.full_E, values.without_BE, count_B).tolist()
    return stderr_E
