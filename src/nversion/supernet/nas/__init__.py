"""Supernets: trained by progressive shrinking, searched for subnets and for ensembles of them."""

from .evaluator import Recalibration, SubnetEvaluator
from .found import Found, recalibrated, search_supernet
from .plan import rehearse_supernet
from .search import SearchProgress, SearchResult, search
from .shrink import (
    SUPERNET,
    TrainedSupernet,
    build_supernet,
    recalibrate,
    opened,
    subnet_of,
    supernet_of,
    train_supernet,
)
from .spec import SearchTable, SupernetSpec, read_spec
from .table_ii import TABLE_II, from_table_ii

__all__ = [
    "SUPERNET",
    "TABLE_II",
    "Recalibration",
    "SubnetEvaluator",
    "Found",
    "SearchProgress",
    "SearchResult",
    "SearchTable",
    "SupernetSpec",
    "TrainedSupernet",
    "build_supernet",
    "recalibrate",
    "recalibrated",
    "from_table_ii",
    "opened",
    "read_spec",
    "rehearse_supernet",
    "search",
    "search_supernet",
    "subnet_of",
    "supernet_of",
    "train_supernet",
]
