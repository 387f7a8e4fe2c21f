from . import elastic, files, nas, source
from .elastic import Cost, Elasticity, ElasticNetwork, Space, Subnet, extract
from .files import SupernetFile, read_supernet, save_subnet, save_supernet
from .nas import (
    Candidate,
    SearchResult,
    SubnetEvaluator,
    SupernetSpec,
    TrainedSupernet,
    from_table_ii,
    read_spec,
    search_supernet,
    train_supernet,
)

__all__ = [
    "Candidate",
    "Cost",
    "ElasticNetwork",
    "Elasticity",
    "SearchResult",
    "Space",
    "Subnet",
    "SubnetEvaluator",
    "SupernetFile",
    "SupernetSpec",
    "TrainedSupernet",
    "elastic",
    "extract",
    "files",
    "from_table_ii",
    "nas",
    "read_spec",
    "read_supernet",
    "save_subnet",
    "save_supernet",
    "search_supernet",
    "source",
    "train_supernet",
]
