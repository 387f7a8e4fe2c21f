"""What was asked and found, in a few sentences made of the study's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from .common_failure import groupings, verdict
from .contenders import mean_of_all, of
from .figures.voting import voter_label
from .frames import compared, num_ensembles, relation, share_above_zero
from .labels import (
    against_zero,
    coefficient,
    condition_label,
    consensus_label,
    interval,
    is_undefined,
    listed,
    percent,
    plural,
    points,
)
from .names import short_metric_label
from .schemas import MEAN_ACCURACY
from .selection import held_out
from .tables import Study


def findings(study: Study) -> list[str]:
    """What was measured, what corruptions cost, what ensembles bring, what fails together, advice.

    A relation whose interval covers zero is called not distinguishable from zero; what a study did not
    measure is said to be unmeasured.
    """
    return [
        scope(study),
        what_corruptions_cost(study),
        what_ensembles_bring(study),
        what_diversity_tells(study),
        *what_fails_together(study),
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
    where = condition_label(study, study.first_condition)
    median = _median(shares, consensus, study.first_condition)
    if not is_undefined(median):
        text += f"; on {where} the median ensemble gains {points(median)} points"
    shown = compared(study).filter(size=size, consensus=consensus, condition=study.first_condition)
    if shown.height:
        row = shown.row(0, named=True)
        text += (
            f", and by intervals that allow for comparing all of them {row['better']:,} of {row['num']:,} "
            f"are shown to be better and {row['worse']:,} to be worse"
        )
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


def what_fails_together(study: Study) -> list[str]:
    """Whether diversity of methodology bought less common failure, and what a voter lets pass."""
    said = [verdict(study, grouping) for grouping in groupings(study)[:1]]
    if study.default_size is not None and not study.table("votes").is_empty():
        said += _silently_wrong(study)
    return said


def _silently_wrong(study: Study) -> list[str]:
    """The mean share of images that a majority decides wrongly, over all ensembles, clean and at worst."""
    who = mean_of_all(study)
    table = study.table("votes").filter(voter="majority")
    mean = dict(
        of(table, who, ["condition"], ["silent_wrong"]).select("condition", "silent_wrong").iter_rows()
    )
    if study.first_condition not in mean:
        return []
    hardest = max(mean, key=lambda c: mean[c])
    first = study.first_condition
    text = (
        f"A {voter_label('majority', who.size)} voter lets a wrong answer pass on {percent(mean[first])} of "
        f"the images of {condition_label(study, first)}, on the mean over all ensembles of {who.size}"
    )
    if hardest != first:
        text += f", and on {percent(mean[hardest])} under {condition_label(study, hardest)}"
    return [text + _unanimous(study, hardest) + "."]


def _unanimous(study: Study, condition: str) -> str:
    table = study.table("votes").filter(voter="unanimous", condition=condition)
    found = of(table, mean_of_all(study), ["condition"], ["silent_wrong", "safe_stop"])
    if found.is_empty():
        return ""
    row = found.row(0, named=True)
    return (
        f"; if all members must agree, {percent(row['silent_wrong'])} pass there and the system stops on "
        f"{percent(row['safe_stop'])}"
    )


def what_to_deploy(study: Study) -> str:
    """The ensemble that `nversion select` chose, told by the images and conditions that had no say."""
    if study.selection is not None:
        return held_out(study.selection)
    if study.default_size is None:
        return "With no ensembles there is nothing to weigh against the best single model."
    return (
        "No ensemble is recommended: none was chosen on one part of the images and told by another, and the "
        "best of many on the images that chose it looks better than it is."
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
