"""How things are called and numbers are written in the report. Percent begins here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .tables import Study

UNDEFINED = "undefined"
NO_BREAK = "\u00a0"
"""A space that a line may not break at: between a number and its unit."""
_STATISTICS = {
    "pearson": "Pearson",
    "spearman": "Spearman",
    "partial": "Partial (mean member accuracy held fixed)",
}


def consensus_label(consensus: str) -> str:
    return consensus.replace("_", " ")


def statistic_label(statistic: str) -> str:
    return _STATISTICS.get(statistic, statistic)


def corruption_label(study: Study, condition: str) -> str:
    """Corruption and strength without the data set: "water drop 7", "fog 3 (released)", "clean"."""
    fact = study.fact(condition)
    if fact["corruption"] is None:
        return "clean"
    strength = "" if fact["severity"] is None else f" {fact['severity']:g}"
    seed = f", seed {fact['seed']}" if fact["seed"] else ""
    stored = f" ({fact['stored']})" if fact["stored"] else ""
    return f"{fact['corruption'].replace('_', ' ')}{strength}{seed}{stored}"


def condition_label(study: Study, condition: str) -> str:
    """The condition's name; the data set is named only where the study has several."""
    label = corruption_label(study, condition)
    several = study.conditions["dataset"].n_unique() > 1
    return f"{study.fact(condition)['dataset']}: {label}" if several else label


def source_label(study: Study, source: Mapping[str, Any]) -> str:
    """A corruption, with the images on disk that it is read from, and the data set where there are more."""
    stored = f" ({source['stored']})" if source["stored"] else ""
    several = study.conditions["dataset"].n_unique() > 1
    dataset = f"{source['dataset']}: " if several else ""
    return f"{dataset}{str(source['corruption']).replace('_', ' ')}{stored}"


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as percent; "undefined" for nan.

    >>> percent(0.12345).replace(NO_BREAK, " "), percent(float("nan"))
    ('12.3 %', 'undefined')
    """
    return UNDEFINED if is_undefined(value) else f"{_number(100 * float(value or 0), digits)}{NO_BREAK}%"


def points(value: float | None, digits: int = 1) -> str:
    """A difference of fractions as signed percentage points.

    >>> points(-0.0512)
    '−5.1'
    """
    if is_undefined(value):
        return UNDEFINED
    text = _number(100 * float(value or 0), digits)
    return text if text.startswith("−") or float(text) == 0 else f"+{text}"


def coefficient(value: float | None, digits: int = 2) -> str:
    """A correlation.

    >>> coefficient(-0.4)
    '−0.40'
    """
    return UNDEFINED if is_undefined(value) else _number(float(value or 0), digits)


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """
    >>> interval(-0.5, 0.25)
    '[−0.50, 0.25]'
    """
    if is_undefined(low) or is_undefined(high):
        return "[interval undefined]"
    return f"[{coefficient(low, digits)}, {coefficient(high, digits)}]"


def points_interval(low: float | None, high: float | None) -> str:
    """
    >>> points_interval(-0.005, 0.02)
    '[−0.5, +2.0]'
    """
    if is_undefined(low) or is_undefined(high):
        return "[interval undefined]"
    return f"[{points(low)}, {points(high)}]"


def against_zero(low: float | None, high: float | None) -> str:
    """What is to be said beside an interval that covers zero; nothing where it is undefined.

    >>> against_zero(-0.1, 0.2), against_zero(0.1, 0.2)
    (' (not distinguishable from zero)', '')
    """
    if low is None or high is None or is_undefined(low) or is_undefined(high) or low > 0 or high < 0:
        return ""
    return " (not distinguishable from zero)"


def count(value: float | None) -> str:
    """Parameters and multiply-adds, three figures.

    >>> [count(n).replace(NO_BREAK, " ") for n in (25_600_000, 4_100_000_000, None)]
    ['25.6 M', '4.1 G', 'unknown']
    """
    if is_undefined(value):
        return "unknown"
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(float(value or 0)) >= size:
            return f"{float(value or 0) / size:.3g}{NO_BREAK}{unit}"
    return f"{float(value or 0):g}"


def listed(words: Sequence[str], joiner: str = "and") -> str:
    """
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {joiner} {words[-1]}" if words else ""


def plural(number: int, noun: str) -> str:
    """
    >>> plural(1, "image"), plural(1300, "image")
    ('1 image', '1,300 images')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def is_undefined(value: float | None) -> bool:
    return value is None or math.isnan(value)


def _number(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")
