"""N-version deep learning: measure, choose and train ensembles that do not fail together.

`dir(nversion)` is the catalogue. Names and sub-packages load when they are first used.

>>> import numpy as np
>>> import nversion as nv
>>> rng = np.random.default_rng(0)
>>> predictions = nv.Predictions.from_arrays(rng.normal(size=(3, 100, 10)), rng.integers(0, 10, 100))
>>> nv.corrupt(np.zeros((32, 32, 3), np.uint8), "lines", severity=1.6).shape
(32, 32, 3)
"""

from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("nversion")

_HOMES = {
    "Predictions": "predictions",
    "UserError": "core",
    "corrupt": "corruptions",
    "evaluate": "evaluation",
    "predict": "predictions",
    "select": "selection",
}
_PACKAGES = (
    "attribution",
    "core",
    "corruptions",
    "data",
    "diversity",
    "ensembles",
    "evaluation",
    "losses",
    "metrics",
    "models",
    "predictions",
    "reliability",
    "report",
    "representations",
    "selection",
    "severity_search",
    "study",
    "supernet",
    "training",
)

__all__ = list(_HOMES)  # type checkers read the names in __init__.pyi


def __getattr__(name: str) -> Any:
    if name in _HOMES or name in _PACKAGES:
        from .core.extras import extras_named

        with extras_named():
            module = import_module(f"nversion.{_HOMES.get(name, name)}")
            return getattr(module, name) if name in _HOMES else module
    raise AttributeError(f"module 'nversion' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*_HOMES, *_PACKAGES, "__version__"]
