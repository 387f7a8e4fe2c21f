"""N-version deep learning: measure, choose and train ensembles that do not fail together.

Sub-packages load when first used: `nversion.corruptions.create("lines", severity=1.6)`.
"""

from importlib import import_module
from importlib.metadata import version
from types import ModuleType

__version__ = version("nversion")

_PACKAGES = (
    "attribution",
    "core",
    "corruptions",
    "data",
    "diversity",
    "ensembles",
    "evaluation",
    "losses",
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


def __getattr__(name: str) -> ModuleType:
    if name in _PACKAGES:
        return import_module(f"nversion.{name}")
    raise AttributeError(f"module 'nversion' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*_PACKAGES, "__version__"]
