"""Which models form ensembles, how an ensemble decides, and how often every ensemble is right."""

from .accuracy import ModelAccuracy, ModelStatistics, right_MN
from .chunk import Chunk
from .consensus import CONSENSUS, Consensus, PerClassRule, log_probabilities, per_class, probabilities
from .evaluate import Evaluator, evaluate, evaluate_sizes
from .membership import Ensembles, count_all
from .replicates import Replicated, sum_of_others
from .tally import Evaluation

__all__ = [
    "CONSENSUS",
    "Chunk",
    "Consensus",
    "Ensembles",
    "Evaluation",
    "Evaluator",
    "ModelAccuracy",
    "ModelStatistics",
    "PerClassRule",
    "Replicated",
    "count_all",
    "evaluate",
    "evaluate_sizes",
    "log_probabilities",
    "per_class",
    "probabilities",
    "right_MN",
    "sum_of_others",
]
