"""Labels of conditions, metrics and methods, and the format of numbers; fractions become percent here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .tables import MEAN_ACCURACY, NORMALISE, Study

UNDEFINED = "undefined"
NO_BREAK = "\u00a0"
"""A space that a line may not break at: between a number and its unit."""
_STATISTICS = {
    "pearson": "Pearson",
    "spearman": "Spearman",
    "partial": "Partial (controlling for mean member accuracy)",
}
TARGETS = {"predicted": "predicted class", "label": "true class", "ensemble": "ensemble's class"}
SUBSETS = {"all": "all members right", "some": "some members right", "none": "no member right"}
"""Images that an attribution metric is over: those that all, some or none of the members get right."""
_METHODS = {"input_x_gradient": "input × gradient", "grad_cam": "Grad-CAM"}
_MEAN_ACCURACY_LABEL = "Mean member accuracy"


def method_label(method: str) -> str:
    """An attribution method for readers.

    >>> method_label("integrated_gradients-10"), method_label("grad_cam")
    ('integrated gradients ×10', 'Grad-CAM')
    """
    name, _, passes = method.partition("-")
    return _METHODS.get(name, name.replace("_", " ")) + (f" ×{passes}" if passes else "")


def maps_label(target: str, normalise: str) -> str:
    """Which attribution maps: of which class, and normalised how."""
    return f"{TARGETS.get(target, target)}, {NORMALISE.get(normalise, normalise)}"


def metric_label(study: Study, metric: str) -> str:
    """A metric's name for readers, from the metrics table."""
    if metric == MEAN_ACCURACY:
        return _MEAN_ACCURACY_LABEL
    return str(study.metric(metric).get("label") or metric)


def short_metric_label(study: Study, metric: str) -> str:
    """The same where room is short: "Attribution (raw)" for saliency of the predicted class."""
    row = study.metric(metric)
    if not row.get("method"):
        return metric_label(study, metric)
    said = [method_label(row["method"])] * (row["method"] != "saliency")
    said += [TARGETS.get(row["target"], row["target"])] * (row["target"] != "predicted")
    said += [NORMALISE.get(row["normalise"], row["normalise"])]
    said += [SUBSETS[row["subset"]]] if row["subset"] else []
    return f"Attribution ({', '.join(said)})"


def consensus_label(consensus: str) -> str:
    return consensus.replace("_", " ")


def statistic_label(statistic: str) -> str:
    return _STATISTICS.get(statistic, statistic)


def corruption_label(study: Study, condition: str) -> str:
    """Corruption and severity without the data set: "water drop 7", "fog 3 (released)", "clean"."""
    fact = study.fact(condition)
    if fact["corruption"] is None:
        return "clean"
    severity = "" if fact["severity"] is None else f" {fact['severity']:g}"
    seed = f", seed {fact['seed']}" if fact["seed"] else ""
    stored = f" ({fact['stored']})" if fact["stored"] else ""
    return f"{fact['corruption'].replace('_', ' ')}{severity}{seed}{stored}"


def condition_label(study: Study, condition: str) -> str:
    """The condition's name; the data set is named only where the study has several."""
    if condition not in study.condition_names:
        return condition
    return in_dataset(study, study.fact(condition)["dataset"], corruption_label(study, condition))


def in_dataset(study: Study, dataset: str, label: str) -> str:
    """A label with its data set where the study has several."""
    return f"{dataset}: {label}" if len(study.values("conditions", "dataset")) > 1 else label


def source_label(study: Study, source: Mapping[str, Any]) -> str:
    """A corruption with the stored images that it is read from, and the data set where there are several."""
    stored = f" ({source['stored']})" if source["stored"] else ""
    return in_dataset(study, source["dataset"], f"{str(source['corruption']).replace('_', ' ')}{stored}")


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
    """The remark on an interval that covers zero; empty where it does not or is undefined.

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
