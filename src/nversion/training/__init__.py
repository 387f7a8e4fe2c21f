"""Training ensembles that are diverse on purpose: recipes, strategies, one loop."""

from .finished import TrainedEnsemble, TrainedMember
from .members import PlannedMember, member_facts
from .opened import TrainingData, open_data
from .plan import rehearse
from .recipe import TrainingRecipe, parse_recipe, read_recipe
from .run import study_file, study_tables, train_recipe
from .side_by_side import train_variants
from .strategies import STRATEGIES

__all__ = [
    "STRATEGIES",
    "PlannedMember",
    "TrainedEnsemble",
    "TrainedMember",
    "TrainingData",
    "TrainingRecipe",
    "member_facts",
    "open_data",
    "parse_recipe",
    "read_recipe",
    "rehearse",
    "study_file",
    "study_tables",
    "train_recipe",
    "train_variants",
]
