"""A specification of a supernet that trains in seconds."""

import copy
from typing import Any

import pytest

from nversion.supernet.nas import SupernetSpec

TINY: dict[str, Any] = {
    "supernet": {
        "name": "tiny",
        "arch": "python:nversion.training.small_networks:build",
        "args": {"name": "resnet50", "num_classes": 10},
        "random_subnets": 1,
        "batch_norm_samples": 64,
    },
    "data": {
        "train": {"source": "digits", "split": "train", "count": 128},
        "validation": {"source": "digits", "split": "test", "count": 60},
    },
    "canonical": {"size": 16, "mode": "squash"},
    "augment": {"crop_scale": [0.8, 1.0], "flip": 0.0},
    "elasticity": {"max_skips": 2, "width_multipliers": [1.0, 0.75, 0.5]},
    "train": {"batch_size": 32, "device": "cpu", "checkpoint_steps": 2},
    "optimizer": {"name": "adabelief", "learning_rate": 0.01},
    "stages": [{"epochs": 1}, {"dims": ["depth", "width", "expansion"], "epochs": 2, "reorganise": True}],
    "subnets": [{"name": "narrow", "width": [0.5]}],
}


@pytest.fixture(scope="session")
def tables():
    """The tables of the specification, with some replaced or, where both are tables, completed."""

    def changed(**changes: Any) -> dict[str, Any]:
        content = copy.deepcopy(TINY)
        for table, value in changes.items():
            content[table] = content.get(table, {}) | value if isinstance(value, dict) else value
        return content

    return changed


@pytest.fixture(scope="session")
def tiny(tables):
    """The specification, changed as `tables` are."""
    return lambda **changes: SupernetSpec.model_validate(tables(**changes))
