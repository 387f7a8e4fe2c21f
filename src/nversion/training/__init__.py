"""Training ensembles that are diverse on purpose: recipes, strategies, one loop."""

from .finished import TrainedEnsemble, TrainedMember
from .members import PlannedMember, member_facts
from .opened import TrainingData, open_data
from .plain import Epoch, Loss, accuracy, distillation, forked_randomness, shift, train_classifier
from .plan import rehearse
from .recipe import TrainingRecipe, parse_recipe, read_recipe
from .run import (
    study_file,
    study_tables,
    train_recipe,
)
from .strategies import STRATEGIES

__all__ = [
    "STRATEGIES",
    "Epoch",
    "Loss",
    "PlannedMember",
    "TrainedEnsemble",
    "TrainedMember",
    "TrainingData",
    "TrainingRecipe",
    "accuracy",
    "distillation",
    "forked_randomness",
    "member_facts",
    "open_data",
    "parse_recipe",
    "read_recipe",
    "rehearse",
    "shift",
    "study_file",
    "study_tables",
    "train_classifier",
    "train_recipe",
]
