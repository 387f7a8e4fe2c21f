"""Small data sets and classifiers in memory, and counters of what the loop does with them."""

import importlib.util
from collections import Counter
from pathlib import Path

import pytest

from nversion.data.arrays import Arrays
from nversion.models import Classifier


@pytest.fixture(scope="session")
def tiny():
    """The module of builders beside this file."""
    spec = importlib.util.spec_from_file_location("tiny_parts", Path(__file__).with_name("tiny_parts.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def decoded(monkeypatch):
    """How often each image was decoded."""
    counts = Counter()
    original = Arrays.decode

    def decode(self, index):
        counts[index] += 1
        return original(self, index)

    monkeypatch.setattr(Arrays, "decode", decode)
    return counts


@pytest.fixture
def forwards(monkeypatch):
    """How many batches went through each classifier."""
    counts = Counter()
    original = Classifier.forward

    def forward(self, images_N3HW):
        counts[self.name] += 1
        return original(self, images_N3HW)

    monkeypatch.setattr(Classifier, "forward", forward)
    return counts
