from . import (
    attribution as attribution,
    core as core,
    corruptions as corruptions,
    data as data,
    diversity as diversity,
    ensembles as ensembles,
    evaluation as evaluation,
    losses as losses,
    models as models,
    predictions as predictions,
    reliability as reliability,
    report as report,
    representations as representations,
    selection as selection,
    severity_search as severity_search,
    study as study,
    supernet as supernet,
    training as training,
)
from .core import UserError as UserError
from .corruptions import corrupt as corrupt
from .predictions import Predictions as Predictions

__version__: str
