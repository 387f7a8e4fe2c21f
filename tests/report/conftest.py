"""Studies for the report's tests: made-up ones on disk, and hand-made ones in memory."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nversion.report.tables import Study


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


having = _load("having")
_load("synthetic_benchmark")
_load("synthetic_gains")
_load("synthetic_extra")  # synthetic.py imports it, also where pytest looks for its doctests


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    """The generator of made-up study folders: `write_study(folder, Shape(...))`."""
    return _load("synthetic")


@pytest.fixture(scope="session")
def small_study(synthetic: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight models, one data set, clean and two corruptions, ensembles of 2 and 3."""
    shape = synthetic.Shape(num_models=8, num_images=200, datasets=("val",), num_corruptions=2, sizes=(2, 3))
    folder: Path = synthetic.write_study(tmp_path_factory.mktemp("study"), shape)
    return folder


MODELS = {"a": 0.8, "b": 0.7, "c": 0.6}
METRICS = ["disagreement", "q"] + [
    f"attribution_{method}_{target}_{scale}{subset}"
    for method in ("saliency", "grad_cam")
    for target in ("predicted", "label")
    for scale in ("none", "l2")
    for subset in ("", "_all_right", "_some_right", "_none_right")
]


def _hand_made(
    improvements: dict[str, float] | None = None,
    pearson: dict[str, tuple[float, float, float]] | None = None,
    note: str = "",
    manifest: dict[str, Any] | None = None,
    stderr: float = 0.01,
    num_models: int = 3,
) -> Study:
    """Models a, b, c on 1,000 images, clean and `d/lines-1` (0.2 lower); pairs combined by averaging.

    More models than three are worse than these and in no ensemble.
    """
    improvements = {"a + b": 0.03, "a + c": -0.01} if improvements is None else improvements
    conditions = [
        {"condition": "d/clean", "dataset": "d", "corruption": None, "severity": None},
        {"condition": "d/lines-1", "dataset": "d", "corruption": "lines", "severity": 1.0},
    ]
    conditions = [row | {"seed": 0, "n": 1000, "excluded": 0} for row in conditions]
    models, ensembles = [], []
    for condition, loss in (("d/clean", 0.0), ("d/lines-1", 0.2)):
        more = {f"more {i}": 0.5 - 0.01 * i for i in range(num_models - len(MODELS))}
        for i, (model, top1) in enumerate((MODELS | more).items()):
            models.append(
                {"model": model, "family": "CNN", "training": "supervised", "params": 10**6 * (i + 1)}
                | {"family_declared": True, "training_declared": True}
                | {"macs": 10**9 * (i + 1), "condition": condition, "n": 1000, "top1": top1 - loss}
                | {"top1_low": top1 - loss - 0.02, "top1_high": top1 - loss + 0.02, "top5": 0.9}
                | {"nll": 1.0 - top1 / 2, "ece": 0.05}
            )
        for name, gain in improvements.items():
            best = max(MODELS[m] for m in name.split(" + ")) - loss
            ensembles.append(
                {"ensemble": name, "members": name.split(" + "), "size": 2, "consensus": "average"}
                | {
                    "condition": condition,
                    "top1": best + gain,
                    "best_member_top1": best,
                    "mean_member_top1": best - 0.05,
                }
                | {"improvement": gain, "improvement_stderr": stderr, "ties": 0, "params": 3 * 10**6}
                | {"macs": 3 * 10**9}
            )
    diversity = [
        {"ensemble": name, "size": 2, "condition": c["condition"], "metric": "disagreement"}
        | {"value": 0.1 * (k + 1), "n_undefined": 0}
        for k, name in enumerate(improvements)
        for c in conditions
    ]
    correlations = [
        {"metric": metric, "size": 2, "consensus": "average", "statistic": "pearson", "n_ensembles": 2}
        | {"diversity_condition": c["condition"], "accuracy_condition": c["condition"]}
        | {"value": value, "low": low, "high": high, "note": note}
        for metric, (value, low, high) in (pearson or {}).items()
        for c in conditions
    ]
    frames = {
        "conditions": conditions,
        "models": models,
        "ensembles": ensembles,
        "diversity": diversity,
        "correlations": correlations,
    }
    tables = {name: having.table(name, rows) for name, rows in frames.items()}
    return Study(Path("study"), manifest or {}, tables | {"metrics": having.metrics(METRICS)})


@pytest.fixture
def hand_made() -> Callable[..., Study]:
    """A builder of studies small enough to check by hand."""
    return _hand_made
