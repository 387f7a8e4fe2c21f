from . import (
    attribution,
    core,
    corruptions,
    data,
    diversity,
    ensembles,
    evaluation,
    losses,
    metrics,
    models,
    predictions,
    reliability,
    report,
    representations,
    selection,
    severity_search,
    study,
    supernet,
    training,
)
from .core import UserError
from .corruptions import corrupt
from .evaluation import evaluate
from .predictions import Predictions, predict
from .selection import select

__version__: str
__all__ = [
    "Predictions",
    "UserError",
    "attribution",
    "core",
    "corrupt",
    "corruptions",
    "data",
    "diversity",
    "ensembles",
    "evaluate",
    "evaluation",
    "losses",
    "metrics",
    "models",
    "predict",
    "predictions",
    "reliability",
    "report",
    "representations",
    "select",
    "selection",
    "severity_search",
    "study",
    "supernet",
    "training",
]
