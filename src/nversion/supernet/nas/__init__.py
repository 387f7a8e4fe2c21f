"""Supernets: trained by progressive shrinking, searched for subnets and for ensembles of them."""

from .candidates import Candidate
from .evaluator import Recalibration, SubnetEvaluator
from .found import Found, recalibrated, search_supernet
from .plan import rehearse_supernet
from .search import SearchProgress, SearchResult, search
from .shrink import (
    SUPERNET,
    TrainedSupernet,
    build_supernet,
    opened,
    recalibrate,
    subnet_of,
    supernet_of,
    train_supernet,
)
from .spec import SearchTable, SupernetSpec, read_spec
from .table_ii import TABLE_II, from_table_ii

__all__ = [
    "SUPERNET",
    "TABLE_II",
    "Candidate",
    "Found",
    "Recalibration",
    "SearchProgress",
    "SearchResult",
    "SearchTable",
    "SubnetEvaluator",
    "SupernetSpec",
    "TrainedSupernet",
    "build_supernet",
    "from_table_ii",
    "opened",
    "read_spec",
    "recalibrate",
    "recalibrated",
    "rehearse_supernet",
    "search",
    "search_supernet",
    "subnet_of",
    "supernet_of",
    "train_supernet",
]
