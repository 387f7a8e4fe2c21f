"""Data sets, canonical images and conditions: what the classifiers see."""

from . import sources  # registers every source
from .canonical import Canonical
from .conditions import Condition
from .dataset import DATASET_SOURCES, Dataset, open_dataset
from .hazards import ClassGroups, read_costs, read_groups
from .images import UnreadableImageError, decode_image
from .released import AS_RELEASED, ReleasedCondition, has_codec
from .trees import StoredCondition, Tree, TreePlan, open_stored, plan_tree, write_tree

__all__ = [
    "AS_RELEASED",
    "DATASET_SOURCES",
    "Canonical",
    "ClassGroups",
    "Condition",
    "Dataset",
    "ReleasedCondition",
    "StoredCondition",
    "Tree",
    "TreePlan",
    "UnreadableImageError",
    "decode_image",
    "has_codec",
    "open_dataset",
    "open_stored",
    "plan_tree",
    "read_costs",
    "read_groups",
    "sources",
    "write_tree",
]
