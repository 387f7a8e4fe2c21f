"""Training ensembles that are diverse on purpose: recipes, strategies, one loop."""

from .finished import TrainedEnsemble, TrainedMember
from .members import member_facts
from .plain import Epoch, Loss, accuracy, distillation, forked_randomness, shift, train_classifier
from .recipe import TrainingRecipe, parse_recipe, read_recipe
from .run import (
    TrainingData,
    open_data,
    study_file,
    study_tables,
    train_recipe,
)
from .strategies import STRATEGIES

__all__ = [
    "STRATEGIES",
    "Epoch",
    "Loss",
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
    "shift",
    "study_file",
    "study_tables",
    "train_classifier",
    "train_recipe",
]
