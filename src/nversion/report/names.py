"""What the names of metrics and of attribution methods say: their parts, and how they are called."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .schemas import MEAN_ACCURACY

_ATTRIBUTION = re.compile(
    r"attribution_(.+)_(predicted|label|ensemble)_(none|l2|sum)(?:_(all|some|none)_right)?"
)
TARGETS = {"predicted": "predicted class", "label": "true class", "ensemble": "ensemble's class"}
NORMALISE = {"l2": "unit length", "sum": "unit sum", "none": "raw"}
"""In the order in which they are spoken of: raw maps differ in the scale of the models' gradients first."""
CONDITIONING = {"all": "all members right", "some": "some members right", "none": "no member right"}
_METHODS = {"input_x_gradient": "input × gradient", "grad_cam": "Grad-CAM"}
_LABELS = {
    "disagreement": "Disagreement",
    "q": "Q statistic",
    "rho": "Failure correlation ρ",
    "double_fault": "Double fault",
    "ratio_of_errors": "Ratio of errors",
    "error_consistency": "Error consistency κ",
    "kl": "Kullback–Leibler divergence",
    "js": "Jensen–Shannon divergence",
    "cosine": "Cosine of probabilities",
    "cka": "Layer similarity (CKA)",
    "entropy": "Entropy E",
    "kohavi_wolpert": "Kohavi–Wolpert variance",
    "kappa": "Interrater agreement κ",
    "difficulty": "Difficulty θ",
    "coincident_failure": "Coincident failure diversity",
    "shannon_all": "Shannon equitability, all images",
    "shannon_right": "Shannon equitability, rightly classified",
    "shannon_wrong": "Shannon equitability, wrongly classified",
    "ambiguity": "Ambiguity of the likelihood",
    MEAN_ACCURACY: "Mean member accuracy",
}
_GROUPS = {
    "Right or wrong, in pairs": "disagreement q rho double_fault ratio_of_errors error_consistency",
    "Right or wrong, all members": "entropy kohavi_wolpert kappa difficulty generalised_diversity "
    "coincident_failure",
    "Answers and probabilities": "label_disagreement shannon_all shannon_right shannon_wrong kl js cosine "
    "ambiguity",
    "Representation": "cka",
}
_GROUP_OF = {metric: group for group, metrics in _GROUPS.items() for metric in metrics.split()}


@dataclass(frozen=True)
class AttributionName:
    """The parts of `attribution_METHOD_TARGET_NORMALISE[_WHO_right]`; `who` is "" for all images."""

    method: str
    target: str
    normalise: str
    who: str = ""


def attribution_parts(metric: str) -> AttributionName | None:
    """What an attribution metric's name says; None for any other metric.

    >>> attribution_parts("attribution_grad_cam_label_l2_some_right")
    AttributionName(method='grad_cam', target='label', normalise='l2', who='some')
    """
    match = _ATTRIBUTION.fullmatch(metric)
    return AttributionName(match[1], match[2], match[3], match[4] or "") if match else None


def method_label(method: str) -> str:
    """An attribution method for readers.

    >>> method_label("integrated_gradients-10"), method_label("grad_cam")
    ('integrated gradients ×10', 'Grad-CAM')
    """
    name, _, passes = method.partition("-")
    return _METHODS.get(name, name.replace("_", " ")) + (f" ×{passes}" if passes else "")


def metric_label(metric: str) -> str:
    """A metric's name for readers.

    >>> metric_label("attribution_saliency_predicted_l2")
    'Attribution (saliency, predicted class, unit length)'
    >>> metric_label("label_disagreement")
    'Label disagreement'
    """
    parts = attribution_parts(metric)
    if parts is None:
        text = metric.replace("_", " ")
        return _LABELS.get(metric, text[:1].upper() + text[1:])
    said = [method_label(parts.method), TARGETS[parts.target], NORMALISE[parts.normalise]]
    said += [CONDITIONING[parts.who]] if parts.who else []
    return f"Attribution ({', '.join(said)})"


def short_metric_label(metric: str) -> str:
    """The same where room is short.

    >>> short_metric_label("attribution_saliency_predicted_none")
    'Attribution (raw)'
    >>> short_metric_label("attribution_saliency_label_l2")
    'Attribution (true class, unit length)'
    """
    parts = attribution_parts(metric)
    if parts is None:
        return metric_label(metric)
    said = [method_label(parts.method)] * (parts.method != "saliency")
    said += [TARGETS[parts.target]] * (parts.target != "predicted")
    said.append(NORMALISE[parts.normalise])
    said += [CONDITIONING[parts.who]] if parts.who else []
    return f"Attribution ({', '.join(said)})"


def metric_group(metric: str) -> str:
    """The kin that a metric is shown with.

    >>> metric_group("q"), metric_group("attribution_grad_cam_label_l2")
    ('Right or wrong, in pairs', 'Attribution, true class')
    """
    parts = attribution_parts(metric)
    if parts is not None:
        return f"Attribution, {TARGETS[parts.target]}"
    return _GROUP_OF.get(metric, "Others")
