"""The small study, its inputs, and one run of it that the tests of its tables share."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def small():
    """The module of builders beside this file."""
    spec = importlib.util.spec_from_file_location("small_study", Path(__file__).with_name("small_study.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def inputs(small, tmp_path):
    """A folder with images and models, for a run of one's own."""
    return small.write_inputs(tmp_path)


@pytest.fixture(scope="session")
def finished(small, tmp_path_factory):
    """The folder of a finished study; not to be changed."""
    folder = small.write_inputs(tmp_path_factory.mktemp("finished"))
    small.run(folder)
    return folder / "out"
