"""Diversity metrics as functions that give floats, and as classes that follow torchmetrics' protocol.

Every metric in `nversion.diversity.METRICS`, also one that another package registers, is here under its name:
`disagreement` is the function, `Disagreement` the class. Predictions are class indices, logits, or bool,
which says which answers are right and needs no labels; they are NumPy arrays, tensors or lists, with models
on the first axis. Values are nan where a metric is undefined.

>>> import nversion as nv
>>> labels = [0, 1, 2, 3]
>>> nv.metrics.disagreement([0, 1, 2, 0], [0, 1, 0, 3], labels)
0.5
>>> nv.metrics.kappa([[True, True, False, False], [True, False, True, False]])
0.0
>>> round(nv.metrics.mcnemar_p_value(10, 3), 6)
0.092285
>>> metric = nv.metrics.Disagreement(num_models=2)
>>> metric.update([[0, 1, 2, 0], [0, 1, 0, 3]], labels)
>>> metric.compute().item()
0.5
"""

from __future__ import annotations

from typing import Any

from nversion.core import did_you_mean, extras_named
from nversion.diversity import METRICS, Metric

from .functions import attribution_diversity, cka, function_of, mcnemar_p_value

_OTHERS = {"attribution_diversity": attribution_diversity, "cka": cka, "mcnemar_p_value": mcnemar_p_value}
_made: dict[str, Any] = {}


def __getattr__(name: str) -> Any:
    if name in _OTHERS:
        return _OTHERS[name]
    if name in _made:
        return _made[name]
    functions = _functions()
    if name in functions or name in METRICS:
        _made[name] = function_of(functions.get(name) or METRICS[name], name)
    else:
        classes = {class_name(one): metric for one, metric in functions.items()}
        if name not in classes:
            step = "" if name.startswith("_") else f"; {did_you_mean(name, __dir__())}"
            raise AttributeError(f"module 'nversion.metrics' has no attribute {name!r}{step}")
        with extras_named():
            from .classes import class_of

        _made[name] = class_of(classes[name], name)
    return _made[name]


def __dir__() -> list[str]:
    functions = _functions()
    return sorted([*map(class_name, functions), *functions, *_OTHERS])


def class_name(name: str) -> str:
    """Name of a metric's class.

    >>> class_name("double_fault")
    'DoubleFault'
    """
    return "".join(part.capitalize() for part in name.split("_"))


def _functions() -> dict[str, Metric]:
    """Metrics with a function, by name; those of nversion by the name of the function (`q_statistic`)."""
    return {_name(metric): metric for metric in METRICS.values() if metric.function is not None}


def _name(metric: Metric) -> str:
    own = getattr(metric.function, "__module__", "").startswith("nversion.")
    return getattr(metric.function, "__name__", metric.name) if own else metric.name
