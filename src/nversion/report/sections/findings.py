"""Findings: what was measured and found, in a few sentences made of the study's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from nversion.report.blocks import Listing
from nversion.report.cards import families
from nversion.report.common_failure import groupings, not_grouped, verdict
from nversion.report.contenders import mean_of_all, of
from nversion.report.frames import (
    FEWEST_TO_RELATE,
    NORMAL_QUANTILE,
    can_relate,
    compared,
    num_ensembles,
    relation,
    share_above_zero,
)
from nversion.report.labels import (
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
    points_interval,
    short_metric_label,
)
from nversion.report.registry import Blocks, section
from nversion.report.tables import MEAN_ACCURACY, Study
from nversion.report.undefined import defined, number

from .gains import smallest_gain
from .selection import held_out, stability_words
from .voting import voter_label


@section("findings", order=10, nav="Findings", title="Findings")
def findings_section(study: Study) -> Blocks:
    return [Listing(findings(study), numbered=True)]


def findings(study: Study) -> list[str]:
    """What was measured, what corruptions cost, what ensembles gain, what fails together, advice.

    A relation whose interval covers zero is called not distinguishable from zero; what a study did not
    measure is said to be unmeasured.
    """
    return [
        scope(study),
        what_corruptions_cost(study),
        what_ensembles_gain(study),
        *filter(None, [smallest_gain(study)]),
        what_diversity_predicts(study),
        *what_fails_together(study),
        what_to_deploy(study),
    ]


def scope(study: Study) -> str:
    """How many models, images, conditions, ensembles."""
    images = study.conditions.group_by("dataset", maintain_order=True).agg(pl.col("n").max())
    datasets = listed([f"{plural(n, 'image')} of {name}" for name, n in images.iter_rows()])
    conditions = (
        f"{plural(len(study.clean), 'clean condition')} and {plural(len(study.corrupted), 'corrupted one')}"
    )
    ensembles = [f"{plural(num_ensembles(study, size), 'ensemble')} of {size}" for size in study.sizes]
    made = f", and {listed(ensembles)}" if ensembles else ", and no ensembles"
    return (
        f"We measured {plural(len(study.model_names), 'model')} {families(study)} on {datasets} "
        f"under {conditions}{made}."
    )


def what_corruptions_cost(study: Study) -> str:
    """The hardest corruption, and the model with the highest accuracy under its worst condition."""
    known = study.models.filter(pl.col("top1").is_not_nan())
    mean: dict[str, float] = dict(known.group_by("condition").agg(pl.col("top1").mean()).iter_rows())
    corrupted = [c for c in study.corrupted if c in mean]
    first = condition_label(study, study.first_condition)
    if not corrupted and study.first_condition not in mean:
        return "No accuracy of these models is defined, so the cost of corruptions is unknown."
    if not corrupted:
        best = known.filter(condition=study.first_condition).sort("top1", descending=True).row(0, named=True)
        return (
            f"This study has no corrupted condition; the most accurate model on {first} is {best['model']} "
            f"with {_measured(best)}."
        )
    drops = {c: mean[c] - mean[t] for c in corrupted if (t := study.clean_twin(c)) in mean}
    hardest = min(drops or corrupted, key=lambda c: drops.get(c, mean[c]))
    label = condition_label(study, hardest)
    cost = f"On {label} the models' mean top-1 accuracy is {percent(mean[hardest])}"
    if drops:
        twin = study.clean_twin(hardest)
        assert twin is not None
        cost = (
            f"The hardest corruption, {label}, lowers the models' mean top-1 accuracy from "
            f"{percent(mean[twin])} to {percent(mean[hardest])}"
            if drops[hardest] < 0
            else f"No corruption lowers the models' mean top-1 accuracy: it is {percent(mean[twin])} on "
            f"{condition_label(study, twin)} and lowest, {percent(mean[hardest])}, on {label}"
        )
    lowest = known.sort("top1", maintain_order=True).unique("model", keep="first", maintain_order=True)
    order = {model: i for i, model in enumerate(study.model_names)}
    best = min(lowest.iter_rows(named=True), key=lambda row: (-row["top1"], order[row["model"]]))
    equal = lowest.filter(top1=best["top1"]).height - 1
    also = f" (and {plural(equal, 'other')} as well)" if equal else ""
    return (
        f"{cost}; the most robust model is {best['model']}{also}, with a lowest accuracy over all "
        f"conditions of {_measured(best)}, on {condition_label(study, best['condition'])}."
    )


def what_ensembles_gain(study: Study) -> str:
    """The share of ensembles above their best member, clean and corrupted, by averaging and by vote."""
    size, consensus = study.default_size, study.default_consensus
    if size is None or consensus is None:
        return "No ensembles were formed, so the gain of combining models was not measured."
    shares = share_above_zero(study).filter(size=size)
    first, where = study.first_condition, condition_label(study, study.first_condition)
    clean, median = _share(shares, consensus, [first]), _median(shares, consensus, first)
    if is_undefined(clean):
        return f"Whether ensembles of {size} beat their best member on {where} is undefined."
    if num_ensembles(study, size) == 1:
        return _gain_of_the_only_one(study, size, consensus)
    parts = [f"{percent(clean, 0)} of the ensembles of {size} on {where}"]
    corrupted = _share(shares, consensus, study.corrupted)
    if not is_undefined(corrupted):
        parts.append(
            f"{percent(corrupted, 0)} over the {plural(len(study.corrupted), 'corrupted condition')}"
        )
    rule = "Averaging" if consensus == "average" else f"Combining by {consensus_label(consensus)}"
    text = f"{rule} is more accurate than the best member in {listed(parts)}"
    text += f"; on {where} the median gain is {points(median)} points"
    known = compared(study)
    shown = known if known.is_empty() else known.filter(size=size, consensus=consensus, condition=first)
    if shown.height and shown["known"][0]:
        row = shown.row(0, named=True)
        text += (
            f", and by intervals corrected for comparing all of them {row['better']:,} of {row['num']:,} "
            f"are better and {row['worse']:,} worse"
        )
    if "vote" in study.consensus and consensus != "vote":
        vote = _share(shares, "vote", [first])
        if not is_undefined(vote):
            text += f", while a majority vote beats the best member there in {percent(vote, 0)}"
    return text + "."


def _gain_of_the_only_one(study: Study, size: int, consensus: str) -> str:
    """The gain of the only ensemble of its size, with its interval, and how often it gains when corrupted."""
    own = {
        row["condition"]: row
        for row in study.ensembles.filter(size=size, consensus=consensus).iter_rows(named=True)
        if not is_undefined(row["improvement"])
    }
    first = study.first_condition
    gain, half = own[first]["improvement"], NORMAL_QUANTILE * own[first]["improvement_stderr"]
    low, high = gain - half, gain + half
    paired = study.table("comparisons", size=size, consensus=consensus, condition=first)
    if paired.height:
        low, high = paired.select("low", "high").row(0)
    text = (
        f"The only ensemble of {size}, by {consensus_label(consensus)}, differs from its best member on "
        f"{condition_label(study, first)} by {points(gain)} points {points_interval(low, high)}"
        f"{against_zero(low, high)}"
    )
    under = [own[c]["improvement"] for c in study.corrupted if c in own]
    if under:
        text += (
            f"; it is more accurate under {sum(gain > 0 for gain in under)} of "
            f"{plural(len(under), 'corrupted condition')}"
        )
    return text + "."


def what_diversity_predicts(study: Study) -> str:
    """Whether attribution diversity, disagreement and mean member accuracy predict improvement."""
    size, consensus = study.default_size, study.default_consensus
    where = {"size": size, "consensus": consensus, "statistic": "pearson"}
    found = {
        m: relation(study, metric=m, condition=study.first_condition, **where) for m in study.headline_metrics
    }
    measured = {m: row for m, row in found.items() if row is not None}
    if size is None or consensus is None or not measured:
        return "The correlation of improvement with diversity was not measured."
    if not can_relate(study):
        return too_few_to_relate(study)
    label = condition_label(study, study.first_condition)
    known = {m: row for m, row in measured.items() if not is_undefined(row["value"])}
    if not known:
        return (
            "The correlation of improvement with diversity is undefined over "
            f"{plural(num_ensembles(study, size), 'ensemble')} of {size} on {label}."
        )
    said = [f"{_metric_words(study, metric)} {_related(row)}" for metric, row in measured.items()]
    text = f"On {label} the Pearson correlation of the improvement is, with {listed(said)}"
    if study.corrupted:
        counts = {m: _distinguishable(study, m, size, consensus) for m in known}
        text += f"; under the {plural(len(study.corrupted), 'corruption')} "
        if set(counts.values()) == {""}:
            text += "no interval of these is defined"
        elif set(counts.values()) <= {"none", ""}:
            text += "none of these is distinguishable from zero"
        else:
            parts = [f"{_metric_words(study, metric)} on {num or 'none'}" for metric, num in counts.items()]
            text += f"it is distinguishable from zero for {listed(parts)}"
    return text + "."


def too_few_to_relate(study: Study) -> str:
    """Why no correlation of improvement with diversity is shown."""
    return (
        f"{plural(len(study.model_names), 'model')} are too few to correlate improvement with diversity: "
        f"ensembles share members, and with fewer than {FEWEST_TO_RELATE} models the intervals of "
        "correlations over ensembles contain nearly all values."
    )


def what_fails_together(study: Study) -> list[str]:
    """Whether diversity of methodology reduced common failure, and which share a voter decides wrongly."""
    said = [*not_grouped(study), *(verdict(study, grouping) for grouping in groupings(study)[:1])]
    if study.default_size is not None and not study.table("votes").is_empty():
        said += _silently_wrong(study)
    return said


def _silently_wrong(study: Study) -> list[str]:
    """The mean share of images that a majority decides wrongly, over all ensembles, clean and at worst."""
    who = mean_of_all(study)
    table = study.table("votes", voter="majority")
    shares = of(table, who, ["condition"], ["silent_wrong"]).filter(pl.col("silent_wrong").is_not_nan())
    mean = dict(shares.select("condition", "silent_wrong").iter_rows())
    first = study.first_condition
    if first not in mean:
        return []
    hardest = max(mean, key=lambda c: mean[c])
    text = (
        f"A {voter_label('majority', who.size)} voter returns a wrong answer on {percent(mean[first])} of "
        f"the images of {condition_label(study, first)}"
    )
    if num_ensembles(study, who.size) > 1:
        text += f", on average over all ensembles of {who.size}"
    if hardest != first:
        text += f", and on {percent(mean[hardest])} under {condition_label(study, hardest)}"
    return [text + _unanimous(study, hardest) + "."]


def _unanimous(study: Study, condition: str) -> str:
    table = study.table("votes", voter="unanimous", condition=condition)
    found = of(table, mean_of_all(study), ["condition"], ["silent_wrong", "safe_stop"])
    if found.is_empty() or is_undefined((row := found.row(0, named=True))["silent_wrong"]):
        return ""
    return (
        f"; if all members must agree, it returns {percent(row['silent_wrong'])} there and stops on "
        f"{percent(row['safe_stop'])}"
    )


def what_to_deploy(study: Study) -> str:
    """The ensemble that `nversion select` chose, evaluated on held-out images and unseen conditions."""
    if study.selection is not None:
        return " ".join([held_out(study.selection), *stability_words(study)])
    if study.default_size is None:
        return "Without ensembles there is nothing to compare with the best single model."
    return (
        "No ensemble is recommended: none was selected on one part of the images and evaluated on another, "
        "and the best of many looks better on the images that selected it than it is."
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


def _metric_words(study: Study, metric: str) -> str:
    if metric == MEAN_ACCURACY:
        return "the mean accuracy of the members"
    row = study.metric(metric)
    if row.get("method"):
        return "attribution diversity" + (" of raw maps" if row["normalise"] == "none" else "")
    return short_metric_label(study, metric).lower()


def _related(row: Mapping[str, Any]) -> str:
    """The value with its interval, and whether that covers zero.

    >>> _related({"value": -0.5, "low": -0.8, "high": 0.1})
    '−0.50 [−0.80, 0.10] (not distinguishable from zero)'
    """
    if is_undefined(row["value"]):
        return "undefined"
    span = interval(row["low"], row["high"])
    return f"{coefficient(row['value'])} {span}{against_zero(row['low'], row['high'])}"


def _distinguishable(study: Study, metric: str, size: int, consensus: str) -> str:
    """On how many corrupted conditions the interval excludes zero, with which sign; "" without any."""
    rows = study.table(
        "correlations",
        pl.col("diversity_condition") == pl.col("accuracy_condition"),
        pl.col("accuracy_condition").is_in(study.corrupted),
        metric=metric,
        size=size,
        consensus=consensus,
        statistic="pearson",
    )
    low, high = defined("low"), defined("high")
    known, above, below = rows.select(
        number(low.is_not_null() & high.is_not_null()).alias("known"),
        number(low > 0).alias("above"),
        number(high < 0).alias("below"),
    ).row(0)
    signs = [f"{above} (positive)"] * (above > 0) + [f"{below} (negative)"] * (below > 0)
    return listed(signs) if signs else "none" if known else ""
