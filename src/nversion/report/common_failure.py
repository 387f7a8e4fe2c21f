"""Whether diversity of methodology bought less common failure: from the table's intervals to words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from .cards import undeclared
from .labels import condition_label, is_undefined, listed, percent, plural, points, points_interval
from .tables import Study

GROUPINGS = {
    "family": "architecture family",
    "training": "training approach",
    "architecture": "architecture",
    "initial_weights": "initial weights",
    "training_data": "training data",
}
_PLURALS = {
    "family": "architecture families",
    "training": "training approaches",
    "architecture": "architectures",
    "initial_weights": "models of different initial weights",
    "training_data": "models of different training data",
}
FEWEST_MODELS = 3
"""Below so many models of a methodology its intervals are for other images, not for other models of it."""
_DIFFERENCE = {"a": "joint_less_two_of_a", "b": "joint_less_two_of_b"}
LESS, MORE, OPEN, UNKNOWN = "less", "more", "open", "not identified"
MAX_TOLD = 3


@dataclass(frozen=True)
class Mixture:
    """Two methodologies: how often a model of each fail together, and two of the better one alone.

    `verdict` is "less" where the 95 % interval of the first less the second lies below zero, "more" where
    it lies above, "open" where it covers zero, "not identified" where either rate is undefined. Both are
    of the same images and models, which the interval of their difference takes into account. A table of
    an earlier version lacks it (`difference` is None): there the two intervals must lie apart, which asks
    for more.
    """

    a: str
    b: str
    better: str
    across: Mapping[str, Any]
    within: Mapping[str, Any]
    difference: Mapping[str, Any] | None
    independent: float
    covariance: Mapping[str, Any]
    verdict: str

    @property
    def of_these_models(self) -> bool:
        """Whether the intervals speak of these models alone, as there are too few to speak of others."""
        return bool(min(self.across["m_a"], self.across["m_b"]) < FEWEST_MODELS)


def groupings(study: Study) -> list[str]:
    """Fields of the card by which models are grouped, in the table's order."""
    return study.table("methodologies")["grouping"].unique(maintain_order=True).to_list()


def not_grouped(study: Study) -> list[str]:
    """Why methodologies that the study asks for were not compared: no card states them."""
    asked = ((study.manifest.get("settings") or {}).get("reliability") or {}).get("group_by") or []
    unknown = [fact for fact in asked if fact not in groupings(study)]
    if not unknown:
        return []
    facts = listed([GROUPINGS.get(fact, fact) for fact in unknown], "or")
    what = _PLURALS.get(unknown[0], unknown[0]) if len(unknown) == 1 else "methodologies"
    return [
        f"Whether mixing {what} buys less common failure was not asked: no model's {facts} is "
        "declared, and a guess from names carries no finding. A study file, or the card of a weights file, "
        "declares it."
    ]


def methodology_rows(
    study: Study, grouping: str, condition: str, subset: str = "all"
) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Rows of the table by first methodology, second methodology and quantity."""
    rows = study.table("methodologies").filter(grouping=grouping, condition=condition, subset=subset)
    return {(r["methodology_a"], r["methodology_b"], r["quantity"]): r for r in rows.iter_rows(named=True)}


def mixtures(study: Study, grouping: str, condition: str) -> list[Mixture]:
    """Every pair of different methodologies, as the table has them."""
    rows = methodology_rows(study, grouping, condition)
    found = []
    for a, b, quantity in rows:
        if a == b or quantity != "joint_failure":
            continue
        across, nothing = rows[a, b, quantity], {"value": float("nan")}
        alone = {m: rows.get((m, m, quantity), nothing) for m in (a, b)}
        known = not any(is_undefined(row["value"]) for row in (across, *alone.values()))
        better = min(alone, key=lambda m: alone[m]["value"]) if known else a
        difference = rows.get((a, b, _DIFFERENCE["a" if better == a else "b"]))
        found.append(
            Mixture(
                a,
                b,
                better,
                across,
                alone[better],
                difference,
                rows.get((a, b, "independent"), nothing)["value"],
                rows.get((a, b, "covariance"), nothing),
                _verdict(across, alone[better], difference) if known else UNKNOWN,
            )
        )
    return found


def _verdict(
    across: Mapping[str, Any], within: Mapping[str, Any], difference: Mapping[str, Any] | None
) -> str:
    """Undefined intervals compare as false, and leave the question open."""
    if difference is not None:
        return LESS if difference["high"] < 0 else MORE if difference["low"] > 0 else OPEN
    if across["high"] < within["low"]:
        return LESS
    return MORE if across["low"] > within["high"] else OPEN


def verdict(study: Study, grouping: str) -> str:
    """For the first condition: bought, not bought, or not to be told; and of which models that is said."""
    found = mixtures(study, grouping, study.first_condition)
    what = f"mixing {_PLURALS.get(grouping, grouping)}"
    where = condition_label(study, study.first_condition)
    without = undeclared(study, grouping)
    if not found:
        declared = " that is declared" if without else ""
        return (
            f"All models are of one {GROUPINGS.get(grouping, grouping)}{declared}, so nothing can be said "
            f"about {what}."
        )
    number = {kind: sum(m.verdict == kind for m in found) for kind in (LESS, MORE, OPEN, UNKNOWN)}
    known = len(found) - number[UNKNOWN]
    if known == 0:
        return (
            f"Whether {what} buys less common failure is not identified on {where}: in every pair one has "
            "too few models to say how two of its own fail together."
        )
    of = plural(known, "pair")
    if number[LESS] == number[MORE] == 0:
        said = f"On {where} it cannot be told whether {what} buys less common failure than two models of "
        said += "the better of two: no interval of the difference leaves out zero"
    elif number[MORE] == 0:
        said = f"On {where} {what} bought less common failure than two models of the better of two, in "
        said += f"{number[LESS]} of {of}"
    elif number[LESS] == 0:
        said = f"On {where} in no pair is {what} seen to buy less common failure: in {number[MORE]} of {of} "
        said += "a mixed pair fails together more often than two models of the better of two"
    else:
        said = f"On {where} it depends on the pair whether {what} buys less common failure: against two "
        said += f"models of the better of two it does in {number[LESS]} of {of}, and does harm in "
        said += f"{number[MORE]}"
    open_or_not = [
        f"{number[kind]} {words}"
        for kind, words in ((OPEN, "cannot be told apart"), (UNKNOWN, "not identified"))
        if number[kind] and not (kind == OPEN and number[LESS] == number[MORE] == 0)
    ]
    told = f"{said}{' (' + ', '.join(open_or_not) + ')' if open_or_not else ''}."
    if without:
        told += (
            f" Left out {'is' if len(without) == 1 else 'are'} {plural(len(without), 'model')} whose "
            f"{GROUPINGS.get(grouping, grouping)} is not declared."
        )
    few = sum(m.of_these_models and m.verdict != UNKNOWN for m in found)
    if few:
        told += (
            f" In {plural(few, 'pair')} a methodology has fewer than {FEWEST_MODELS} models: what is said "
            "there holds for these models and other images, not for other models made the same way."
        )
    return told


def paragraph(study: Study, grouping: str) -> str:
    """The verdict, the numbers behind it, the sign of the covariances, and the other conditions."""
    found = mixtures(study, grouping, study.first_condition)
    said = [verdict(study, grouping)]
    told = sorted(found, key=lambda m: [LESS, MORE, OPEN, UNKNOWN].index(m.verdict))
    said += [_numbers(m) for m in told[:MAX_TOLD] if m.verdict != UNKNOWN]
    said += [text for text in (_covariances(found), _elsewhere(study, grouping)) if text]
    return " ".join(said)


def _numbers(m: Mixture) -> str:
    end = {LESS: "less", MORE: "more", OPEN: "not to be told apart"}[m.verdict]
    if m.difference is not None and not is_undefined(m.difference["low"]):
        value, low, high = (m.difference[key] for key in ("value", "low", "high"))
        end += f", {points(value)} points {points_interval(low, high)}"
    return (
        f"A model of {m.a} and one of {m.b} fail together on {_share(m.across)} of the images, two of "
        f"{m.better} on {_share(m.within)}: {end}."
    )


def _share(row: Mapping[str, Any]) -> str:
    digits = 2 if row["value"] < 0.01 else 1
    if is_undefined(row.get("low")) or is_undefined(row.get("high")):
        return f"{percent(row['value'], digits)} [interval undefined]"
    return f"{percent(row['value'], digits)} [{100 * row['low']:.{digits}f}, {100 * row['high']:.{digits}f}]"


def _covariances(found: Sequence[Mixture]) -> str:
    """How many pairs of difficulty functions vary together, and against each other; of several models each.

    Of one model each a covariance is that of two models, and says nothing of how others made that way fail.
    """
    several = [m for m in found if min(m.across["m_a"], m.across["m_b"]) > 1]
    known = [m for m in several if not is_undefined(m.covariance.get("low"))]
    if not known:
        return ""
    above = [m for m in known if m.covariance["low"] > 0]
    below = [m for m in known if m.covariance["high"] < 0]
    text = (
        f"The covariance of their difficulties is above zero in {len(above)} and below zero in "
        f"{len(below)} of {plural(len(known), 'pair')}"
    )
    if above:
        most = max(above, key=lambda m: m.covariance["value"])
        text += (
            f": what is hard for one methodology is hard for the other, so they fail together more often "
            f"than independent ones would, {most.a} and {most.b} on {percent(most.across['value'])} instead "
            f"of {percent(most.independent)}"
        )
    return text + "."


def _elsewhere(study: Study, grouping: str) -> str:
    others = [c for c in study.condition_names if c != study.first_condition]
    verdicts = [m.verdict for c in others for m in mixtures(study, grouping, c)]
    if not verdicts:
        return ""
    number = {kind: verdicts.count(kind) for kind in (LESS, MORE, OPEN, UNKNOWN)}
    words = {LESS: "less", MORE: "more", OPEN: "not to be told apart", UNKNOWN: "not identified"}
    told = listed([f"{words[kind]} in {n}" for kind, n in number.items() if n])
    return (
        f"Over {plural(len(others), 'other condition')} a mixed pair fails together, against two of the "
        f"better: {told} of {plural(len(verdicts), 'comparison')}."
    )


def prediction_rows(study: Study) -> pl.DataFrame:
    """The predictions for ensembles of the default size, with a name for what they are predicted from."""
    source = (
        pl.when(pl.col("grouping") == "")
        .then(pl.col("predicted_from"))
        .otherwise(
            pl.format(
                "{} of the same {}",
                "predicted_from",
                pl.col("grouping").replace(list(GROUPINGS), list(GROUPINGS.values())),
            )
        )
    )
    return (
        study.table("predicted_failures")
        .filter(size=study.default_size or 0)
        .with_columns(source.fill_null(pl.col("predicted_from")).alias("source"))
    )
