"""The module of small networks beside the tests."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def networks():
    """Builders of small networks."""
    spec = importlib.util.spec_from_file_location("networks", Path(__file__).with_name("networks.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
