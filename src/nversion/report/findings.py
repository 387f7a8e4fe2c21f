"""What was asked and found, in five sentences made of the study's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from .frames import (
    NORMAL_QUANTILE,
    num_ensembles,
    pareto_front,
    relation,
    share_above_zero,
    worst_condition,
)
from .labels import (
    against_zero,
    coefficient,
    condition_label,
    consensus_label,
    count,
    interval,
    is_undefined,
    listed,
    percent,
    plural,
    points,
    points_interval,
)
from .names import short_metric_label
from .selection import held_out
from .tables import MEAN_ACCURACY, Study


def findings(study: Study) -> list[str]:
    """Five sentences: what was measured, what corruptions cost, what ensembles and diversity bring, advice.

    A relation whose interval covers zero is called not distinguishable from zero; what a study did not
    measure is said to be unmeasured.
    """
    return [
        scope(study),
        what_corruptions_cost(study),
        what_ensembles_bring(study),
        what_diversity_tells(study),
        what_to_deploy(study),
    ]


def scope(study: Study) -> str:
    """How many models, images, conditions, ensembles."""
    images = study.conditions.group_by("dataset", maintain_order=True).agg(pl.col("n").max())
    datasets = listed([f"{plural(n, 'image')} of {name}" for name, n in images.iter_rows()])
    families = study.models["family"].n_unique()
    kinds = "of one family" if families == 1 else f"from {families} families"
    conditions = (
        f"{plural(len(study.clean), 'clean condition')} and {plural(len(study.corrupted), 'corrupted one')}"
    )
    ensembles = [f"{num_ensembles(study, size):,} ensembles of {size}" for size in study.sizes]
    made = f", which make {listed(ensembles)}" if ensembles else ", and no ensembles"
    return (
        f"We measured {plural(len(study.model_names), 'model')} {kinds} on {datasets} "
        f"under {conditions}{made}."
    )


def what_corruptions_cost(study: Study) -> str:
    """The hardest corruption, and the model that holds up best over all conditions."""
    mean: dict[str, float] = dict(study.models.group_by("condition").agg(pl.col("top1").mean()).iter_rows())
    if not study.corrupted:
        best = (
            study.models.filter(condition=study.first_condition)
            .sort("top1", descending=True)
            .row(0, named=True)
        )
        return (
            f"Nothing was corrupted in this study; the most accurate model on "
            f"{condition_label(study, study.first_condition)} is {best['model']} with {_measured(best)}."
        )
    drops = {c: mean[c] - mean[t] for c in study.corrupted if (t := study.clean_twin(c)) is not None}
    hardest = min(drops or study.corrupted, key=lambda c: drops.get(c, mean[c]))
    if drops:
        twin = study.clean_twin(hardest)
        assert twin is not None
        cost = (
            f"The hardest corruption, {condition_label(study, hardest)}, takes the models' mean top-1 "
            f"accuracy from {percent(mean[twin])} to {percent(mean[hardest])}"
        )
    else:
        label = condition_label(study, hardest)
        cost = f"On {label} the models' mean top-1 accuracy is {percent(mean[hardest])}"
    lowest = study.models.sort("top1").unique("model", keep="first", maintain_order=True)
    best = lowest.sort("top1", descending=True).row(0, named=True)
    return (
        f"{cost}; the model that holds up best is {best['model']}, whose lowest accuracy over all conditions "
        f"is {_measured(best)}, on {condition_label(study, best['condition'])}."
    )


def what_ensembles_bring(study: Study) -> str:
    """The share of ensembles above zero, clean and corrupted, for the first rule and for the vote."""
    size, consensus = study.default_size, study.default_consensus
    if size is None or consensus is None:
        return "No ensembles were formed, so nothing can be said about what combining models brings."
    shares = share_above_zero(study).filter(size=size)
    clean = _share(shares, consensus, [study.first_condition])
    parts = [
        f"{percent(clean, 0)} of the ensembles of {size} on {condition_label(study, study.first_condition)}"
    ]
    if study.corrupted:
        corrupted = _share(shares, consensus, study.corrupted)
        parts.append(
            f"{percent(corrupted, 0)} over the {plural(len(study.corrupted), 'corrupted condition')}"
        )
    rule = "Averaging" if consensus == "average" else f"Combining by {consensus_label(consensus)}"
    text = f"{rule} is more accurate than the best member in {listed(parts)}"
    best = _best(study, size, consensus)
    if best is not None:
        half = NORMAL_QUANTILE * best["improvement_stderr"]
        low, high = best["improvement"] - half, best["improvement"] + half
        span = "" if is_undefined(half) else f" {points_interval(low, high)}"
        median = points(_median(shares, consensus, study.first_condition))
        text += (
            f"; on {condition_label(study, study.first_condition)} the median ensemble gains {median} points"
        )
        text += f" and the best of them {points(best['improvement'])}{span}{against_zero(low, high)}"
    if "vote" in study.consensus and consensus != "vote":
        vote = _share(shares, "vote", [study.first_condition])
        text += f", while a majority vote beats the best member there in {percent(vote, 0)}"
    return text + "."


def what_diversity_tells(study: Study) -> str:
    """Whether attribution diversity, disagreement and mean member accuracy foretell improvement."""
    size, consensus = study.default_size, study.default_consensus
    if size is None or consensus is None or study.correlations.is_empty():
        return "How improvement goes with diversity was not measured."
    said, measured = [], []
    for metric in study.headline_metrics:
        row = relation(
            study,
            metric=metric,
            size=size,
            consensus=consensus,
            condition=study.first_condition,
            statistic="pearson",
        )
        if row is not None:
            measured.append(metric)
            said.append(f"{_metric_words(metric)} {_related(row)}")
    if not said:
        return "How improvement goes with diversity was not measured."
    text = (
        f"On {condition_label(study, study.first_condition)} the Pearson correlation of the improvement is, "
        f"with {listed(said)}"
    )
    if study.corrupted:
        counts = {m: _distinguishable(study, m, size, consensus) for m in measured}
        text += f"; under the {plural(len(study.corrupted), 'corruption')} "
        if set(counts.values()) == {"none"}:
            text += "none of these is distinguishable from zero"
        else:
            told = [f"{_metric_words(metric)} on {number}" for metric, number in counts.items()]
            text += f"it is distinguishable from zero for {listed(told)}"
    return text + "."


def what_to_deploy(study: Study) -> str:
    """The ensemble to take against the best single model, and what it costs.

    Where `nversion select` chose one, by the images and conditions that had no say; else the one with
    the best worst condition, whose number is said to be optimistic.
    """
    if study.selection is not None:
        return held_out(study.selection)
    consensus = study.default_consensus
    if consensus is None or study.default_size is None:
        return "With no ensembles there is nothing to weigh against the best single model."
    candidates = worst_condition(study).filter(consensus=consensus)
    singles, ensembles = candidates.filter(pl.col("size") == 1), candidates.filter(pl.col("size") > 1)
    if singles.is_empty() or ensembles.is_empty():
        return "No ensemble was measured on every condition, so none can be recommended for all of them."
    alone = singles.sort("worst_top1", descending=True).row(0, named=True)
    together = ensembles.sort("worst_top1", descending=True).row(0, named=True)
    gain = together["worst_top1"] - alone["worst_top1"]
    front = pareto_front(candidates, "params")
    num_ensembles_on_front = front.filter(pl.col("size") > 1).height
    if gain > 0:
        verdict = (
            f"The ensemble with the best worst condition, {together['candidate']}, reaches "
            f"{percent(together['worst_top1'])} there, {points(gain)} points against the best single model, "
            f"{alone['candidate']}, with {_cost_ratio(together, alone)} parameters"
        )
    else:
        verdict = (
            f"No ensemble beats the best single model, {alone['candidate']} with "
            f"{percent(alone['worst_top1'])}, on its worst condition"
        )
    return (
        f"{verdict}; {num_ensembles_on_front} of the {front.height} choices that nothing cheaper matches "
        f"{'is an ensemble' if num_ensembles_on_front == 1 else 'are ensembles'}; "
        "all were chosen on the images they are reported on."
    )


def _measured(row: Mapping[str, Any]) -> str:
    low, high = row["top1_low"], row["top1_high"]
    if is_undefined(low) or is_undefined(high):
        return percent(row["top1"])
    return f"{percent(row['top1'])} [{100 * low:.1f}, {100 * high:.1f}]"


def _share(shares: pl.DataFrame, consensus: str, conditions: list[str]) -> float:
    """Share above zero over the ensembles of these conditions together; nan without any."""
    part = shares.filter(pl.col("consensus") == consensus, pl.col("condition").is_in(conditions))
    total = int(part["num"].sum())
    return float((part["above"] * part["num"]).sum()) / total if total else float("nan")


def _median(shares: pl.DataFrame, consensus: str, condition: str) -> float:
    part = shares.filter(consensus=consensus, condition=condition)
    return float(part["median"].item()) if part.height else float("nan")


def _best(study: Study, size: int, consensus: str) -> dict[str, Any] | None:
    rows = study.ensembles.filter(
        pl.col("improvement").is_not_nan(), size=size, consensus=consensus, condition=study.first_condition
    )
    return rows.sort("improvement", descending=True).row(0, named=True) if rows.height else None


def _metric_words(metric: str) -> str:
    if metric == MEAN_ACCURACY:
        return "the mean accuracy of the members"
    if metric.startswith("attribution_"):
        return "attribution diversity"
    return short_metric_label(metric).lower()


def _related(row: Mapping[str, Any]) -> str:
    """The value with its interval and what the interval says.

    >>> _related({"value": -0.5, "low": -0.8, "high": 0.1})
    '−0.50 [−0.80, 0.10] (not distinguishable from zero)'
    """
    if is_undefined(row["value"]):
        return "undefined"
    span = interval(row["low"], row["high"])
    return f"{coefficient(row['value'])} {span}{against_zero(row['low'], row['high'])}"


def _distinguishable(study: Study, metric: str, size: int, consensus: str) -> str:
    """On how many corrupted conditions the interval excludes zero, and with which sign."""
    rows = study.correlations.filter(
        pl.col("diversity_condition") == pl.col("accuracy_condition"),
        pl.col("accuracy_condition").is_in(study.corrupted),
        metric=metric,
        size=size,
        consensus=consensus,
        statistic="pearson",
    )
    above, below = int((rows["low"] > 0).sum()), int((rows["high"] < 0).sum())
    if not above + below:
        return "none"
    signs = [f"{above} (positive)"] * (above > 0) + [f"{below} (negative)"] * (below > 0)
    return listed(signs)


def _cost_ratio(together: Mapping[str, Any], alone: Mapping[str, Any]) -> str:
    if not together["params"] or not alone["params"]:
        return "an unknown number of"
    return f"{together['params'] / alone['params']:.1f} times its {count(alone['params'])}"
