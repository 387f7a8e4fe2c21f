"""Supernets: elastic networks, their files, and their training and search.

Three layers: `supernet.elastic` (networks and their subnets; torch alone), `supernet.files` and
`supernet.source` (weights on disk, the model source `supernet:`), and `supernet.nas` (specifications,
training by progressive shrinking, search). Their public names load when they are first used.

>>> import nversion.supernet
>>> str(nversion.supernet.Subnet(depth=(2, 1), width=(64, 32), expansion=(64, 32, 16)))
'depth=2-1,width=64-32,expansion=64-32-16'
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "elastic": ("Cost", "Elasticity", "ElasticNetwork", "Space", "Subnet", "extract"),
    "files": ("SupernetFile", "read_supernet", "save_subnet", "save_supernet"),
    "nas": (
        "Candidate",
        "SearchResult",
        "SubnetEvaluator",
        "SupernetSpec",
        "TrainedSupernet",
        "from_table_ii",
        "read_spec",
        "search_supernet",
        "train_supernet",
    ),
}

__all__ = [name for names in _HOMES.values() for name in names]  # type checkers read __init__.pyi


def __getattr__(name: str) -> Any:
    home = next((home for home, names in _HOMES.items() if name == home or name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{home}")
    return module if name == home else getattr(module, name)


def __dir__() -> list[str]:
    return [*__all__, *_HOMES]
