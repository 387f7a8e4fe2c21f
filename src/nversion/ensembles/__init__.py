"""Which models form ensembles, how an ensemble decides, and how often every ensemble is right."""

from .accuracy import ModelAccuracy, ModelStatistics, calibration_errors, right_MN
from .calibration import CalibrationStatistics, EnsembleCalibration
from .chunk import Chunk
from .consensus import CONSENSUS, Consensus, PerClassRule, log_probabilities, per_class, probabilities
from .evaluate import Evaluator, evaluate, evaluate_sizes
from .jackknife import BlockJackknife, block_jackknife, block_jackknife_stderr
from .membership import Ensembles, count_all
from .replicates import FEWEST_BLOCKS, Replicated, sum_of_others
from .tally import CREDITS, Evaluation

__all__ = [
    "CONSENSUS",
    "CREDITS",
    "FEWEST_BLOCKS",
    "BlockJackknife",
    "CalibrationStatistics",
    "Chunk",
    "Consensus",
    "EnsembleCalibration",
    "Ensembles",
    "Evaluation",
    "Evaluator",
    "ModelAccuracy",
    "ModelStatistics",
    "PerClassRule",
    "Replicated",
    "block_jackknife",
    "block_jackknife_stderr",
    "calibration_errors",
    "count_all",
    "evaluate",
    "evaluate_sizes",
    "log_probabilities",
    "per_class",
    "probabilities",
    "right_MN",
    "sum_of_others",
]
