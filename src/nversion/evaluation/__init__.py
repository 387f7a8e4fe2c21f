"""From predictions to tables: accuracy, diversity, calibration and joint failures of all ensembles.

`evaluate` is the front door. Each module declares its tables with `table`; all modules of this package are
imported with it, so a new table is one new module.
"""

from importlib import import_module
from pkgutil import iter_modules

from .evaluate import Inputs, evaluate, evaluate_inputs
from .registry import TABLES, shared, table
from .result import Result

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["TABLES", "Inputs", "Result", "evaluate", "evaluate_inputs", "shared", "table"]
