"""Whether mixing methodologies reduces common failure: from the table's intervals to words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
"""With fewer models of a methodology, intervals cover other images, but not other models of it."""
_DIFFERENCE = {"a": "joint_less_two_of_a", "b": "joint_less_two_of_b"}
LESS, MORE, OPEN, UNKNOWN = "less", "more", "open", "not identified"
MAX_DETAILED = 3
"""Pairs of methodologies with their rates in the paragraph."""


@dataclass(frozen=True)
class Mixture:
    """Two methodologies: how often a model of each fail together, and how often two of the better one.

    `verdict` is "less" where the 95 % interval of the first less the second lies below zero, "more" where
    it lies above, "open" where it covers zero, "not identified" where either rate is undefined. Both are
    over the same images and models, which the interval of their difference takes into account.
    """

    a: str
    b: str
    better: str
    across: Mapping[str, Any]
    within: Mapping[str, Any]
    difference: Mapping[str, Any]
    independent: float
    covariance: Mapping[str, Any]
    verdict: str

    @property
    def of_these_models(self) -> bool:
        """Whether the intervals hold for these models only, because a methodology has too few."""
        return bool(min(self.across["m_a"], self.across["m_b"]) < FEWEST_MODELS)


def groupings(study: Study) -> list[str]:
    """Fields of the card by which models are grouped, in the table's order."""
    return study.values("methodologies", "grouping")


def not_grouped(study: Study) -> list[str]:
    """Which methodologies were not compared because no card declares them, and how to declare them."""
    wanted = study.setting("reliability", "group_by") or []
    unknown = [fact for fact in wanted if fact not in groupings(study)]
    if not unknown:
        return []
    facts = listed([GROUPINGS.get(fact, fact) for fact in unknown], "or")
    what = _PLURALS.get(unknown[0], unknown[0]) if len(unknown) == 1 else "methodologies"
    return [
        f"Whether mixing {what} reduces common failure was not measured: no model's {facts} is declared, and "
        "guesses from names are not used. Declare it in the study file or on the card of a weights file."
    ]


def methodology_rows(
    study: Study, grouping: str, condition: str, subset: str = "all"
) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Rows of the table by first methodology, second methodology and quantity."""
    rows = study.table("methodologies", grouping=grouping, condition=condition, subset=subset)
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
        difference = rows.get((a, b, _DIFFERENCE["a" if better == a else "b"]), nothing)
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
                _verdict(difference) if known else UNKNOWN,
            )
        )
    return found


def _verdict(difference: Mapping[str, Any]) -> str:
    """Undefined intervals compare as false, and leave the question open."""
    if difference.get("high", float("nan")) < 0:
        return LESS
    return MORE if difference.get("low", float("nan")) > 0 else OPEN


def verdict(study: Study, grouping: str) -> str:
    """Whether mixing reduced common failure on the first condition, and for which models that holds."""
    found = mixtures(study, grouping, study.first_condition)
    what = f"mixing {_PLURALS.get(grouping, grouping)}"
    where = condition_label(study, study.first_condition)
    without = undeclared(study, grouping)
    if not found:
        declared = " that is declared" if without else ""
        return (
            f"All models have one {GROUPINGS.get(grouping, grouping)}{declared}, so the effect of {what} is "
            "unknown."
        )
    number = {kind: sum(m.verdict == kind for m in found) for kind in (LESS, MORE, OPEN, UNKNOWN)}
    known = len(found) - number[UNKNOWN]
    if known == 0:
        return (
            f"Whether {what} reduces common failure is not identified on {where}: in every pair one "
            "methodology has too few models to estimate how two of its own fail together."
        )
    of, better = plural(known, "pair"), "two models of the better of two"
    if number[LESS] == number[MORE] == 0:
        said = f"On {where} it is undecided whether {what} reduces common failure compared with {better}: "
        said += "every interval of the difference covers zero"
    elif number[MORE] == 0:
        said = f"On {where} {what} reduced common failure compared with {better}, in {number[LESS]} of {of}"
    elif number[LESS] == 0:
        said = f"On {where} {what} reduces common failure in no pair: in {number[MORE]} of {of} a mixed pair "
        said += f"fails together more often than {better}"
    else:
        said = f"On {where} the effect of {what} depends on the pair: compared with {better} it reduces "
        said += f"common failure in {number[LESS]} of {of} and increases it in {number[MORE]}"
    open_or_not = [
        f"{number[kind]} {words}"
        for kind, words in ((OPEN, "undecided"), (UNKNOWN, "not identified"))
        if number[kind] and not (kind == OPEN and number[LESS] == number[MORE] == 0)
    ]
    text = f"{said}{' (' + ', '.join(open_or_not) + ')' if open_or_not else ''}."
    if without:
        text += (
            f" Left out {'is' if len(without) == 1 else 'are'} {plural(len(without), 'model')} with no "
            f"declared {GROUPINGS.get(grouping, grouping)}."
        )
    few = sum(m.of_these_models and m.verdict != UNKNOWN for m in found)
    if few:
        text += (
            f" In {plural(few, 'pair')} a methodology has fewer than {FEWEST_MODELS} models: the result "
            "holds for these models and other images, not for other models of the methodology."
        )
    return text


def paragraph(study: Study, grouping: str) -> str:
    """The verdict, the numbers behind it, the sign of the covariances, and the other conditions."""
    found = mixtures(study, grouping, study.first_condition)
    said = [verdict(study, grouping)]
    ranked = sorted(found, key=lambda m: [LESS, MORE, OPEN, UNKNOWN].index(m.verdict))
    said += [_numbers(m) for m in ranked[:MAX_DETAILED] if m.verdict != UNKNOWN]
    said += [text for text in (_covariances(found), _elsewhere(study, grouping)) if text]
    return " ".join(said)


def _numbers(m: Mixture) -> str:
    end = {LESS: "less", MORE: "more", OPEN: "undecided"}[m.verdict]
    if not is_undefined(m.difference.get("low")):
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
    """How many covariances of difficulties are above and below zero; of methodologies of several models.

    With one model each a covariance is that of two models, and does not generalise to their methodologies.
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
            f": images that are hard for one methodology are hard for the other, so they fail together more "
            f"often than if independent, {most.a} and {most.b} on {percent(most.across['value'])} instead "
            f"of {percent(most.independent)}"
        )
    return text + "."


def _elsewhere(study: Study, grouping: str) -> str:
    others = [c for c in study.condition_names if c != study.first_condition]
    verdicts = [m.verdict for c in others for m in mixtures(study, grouping, c)]
    if not verdicts:
        return ""
    number = {kind: verdicts.count(kind) for kind in (LESS, MORE, OPEN, UNKNOWN)}
    words = {LESS: "less", MORE: "more", OPEN: "undecided", UNKNOWN: "not identified"}
    counts = listed([f"{words[kind]} in {n}" for kind, n in number.items() if n])
    return (
        f"Over {plural(len(others), 'other condition')} a mixed pair fails together, compared with two of "
        f"the better methodology: {counts} of {plural(len(verdicts), 'comparison')}."
    )
