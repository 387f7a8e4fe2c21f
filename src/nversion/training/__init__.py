"""Training ensembles that are diverse on purpose: recipes, strategies, one loop."""

from .members import member_facts
from .recipe import TrainingRecipe, parse_recipe, read_recipe
from .run import (
    TrainedEnsemble,
    TrainedMember,
    TrainingData,
    open_data,
    study_file,
    study_tables,
    train_recipe,
)
from .strategies import STRATEGIES

__all__ = [
    "STRATEGIES",
    "TrainedEnsemble",
    "TrainedMember",
    "TrainingData",
    "TrainingRecipe",
    "member_facts",
    "open_data",
    "parse_recipe",
    "read_recipe",
    "study_file",
    "study_tables",
    "train_recipe",
]
