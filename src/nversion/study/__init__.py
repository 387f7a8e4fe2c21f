"""A study: its spec, its plan, its run, its tables."""

from nversion.core.reporter import Reporter, Silent, duration

from .images import say_hidden, say_released, trees_of
from .plan import OpenStudy, Plan, make_plan, open_study
from .run import run_study, say_plan
from .spec import PoolSpec, StudySpec, parse_spec, read_images_spec, read_pool_spec, read_spec

__all__ = [
    "OpenStudy",
    "Plan",
    "PoolSpec",
    "Reporter",
    "Silent",
    "StudySpec",
    "duration",
    "make_plan",
    "open_study",
    "parse_spec",
    "read_images_spec",
    "read_pool_spec",
    "read_spec",
    "run_study",
    "say_hidden",
    "say_plan",
    "say_released",
    "trees_of",
]
