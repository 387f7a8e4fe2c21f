"""What tests need from outside: real images and weights, a browser, a GPU.

A test that lacks its need is skipped on a laptop; under CI=true only a missing GPU skips, because CI
is where the others are known to be there.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import pytest
import torch

# The first example of a test compiles and loads; a deadline on it says nothing about the code.
hypothesis.settings.register_profile("nversion", deadline=None, print_blob=True)
hypothesis.settings.load_profile("nversion")

SHARED = Path(__file__).parents[2] / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    in_ci = os.environ.get("CI") == "true"
    lacks = {
        "shared": not (SHARED / "weights").is_dir() and not in_ci,
        "browser": shutil.which("chromium") is None and not in_ci,
        "gpu": not torch.cuda.is_available(),
    }
    for item in items:
        for marker, lacking in lacks.items():
            if lacking and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=f"needs {marker}: see CONTRIBUTING.md"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real images and weights."""
    return SHARED


def _beside(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def mutations() -> ModuleType:
    """The module `tests/mutations.py`: documents with slips and damage."""
    return _beside("mutations")


@pytest.fixture(scope="session")
def fields() -> ModuleType:
    """The module `tests/fields.py`: every field of a pydantic model, each changed to another valid value."""
    return _beside("fields")


@pytest.fixture(scope="session")
def demo_networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[torch.nn.Module, Any]]:
    """The demo's untrained members with their preprocessing, by name."""
    from nversion.study.demo import write_demo
    from nversion.training import read_recipe
    from nversion.training.members import build_members

    recipe, _ = write_demo(tmp_path_factory.mktemp("demo"))
    built = [build_members(variant, 10, 0, recipe.parent) for variant in read_recipe(recipe).values()]
    return {
        fact.name: (module.eval(), fact.preprocessing)
        for modules, facts in built
        for module, fact in zip(modules, facts, strict=True)
    }


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Tests run side by side; more threads than cores would only make them wait."""
    torch.set_num_threads(1)
