"""Trees of corrupted images on disk: written from a data set, and read back as its conditions."""

from .conditions import StoredCondition, open_stored
from .layout import LAYOUTS, MANIFEST
from .writers import Tree
from .writing import TreePlan, check_disk, check_workers, plan_tree, write_tree

__all__ = [
    "LAYOUTS",
    "MANIFEST",
    "StoredCondition",
    "Tree",
    "TreePlan",
    "check_disk",
    "check_workers",
    "open_stored",
    "plan_tree",
    "write_tree",
]
