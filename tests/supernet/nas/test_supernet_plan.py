"""A specification is checked as a whole before anything is trained: stages, subnets, loss, search."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from nversion.core import UserError
from nversion.supernet.nas import opened, rehearse_supernet
from nversion.supernet.nas.bootstrapnas import read_bootstrapnas
from nversion.supernet.nas.spec import parse_spec


@pytest.fixture
def planned(tables):
    def plan(**changes):
        spec = parse_spec(tables(**changes), "a test")
        return rehearse_supernet(spec, opened(spec, Path()), Path())

    return plan


def test_what_is_given_back_is_untrained(planned):
    network, preprocessing = planned()
    (again, _) = planned()
    assert preprocessing.input_size == 16
    for key, value in network.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"optimizer": {"name": "sdg"}}, "a known optimizer, found 'sdg'; did you mean 'sgd'"),
        ({"schedule": {"name": "cosin"}}, "a known schedule, found 'cosin'; did you mean 'cosine'"),
        (
            {"train": {"batch_sise": 3}},
            r"keys that a recipe knows in the supernet 'tiny', found train\.batch_s",
        ),
        ({"subnets": [{"name": "a", "depth": [9]}]}, "expected .* for the dimension 'depth' of the supernet"),
        (
            {"search": {"corruptions": {"linse": 1.0}}},
            "a known corruption, found 'linse'; did you mean 'lines'",
        ),
        ({"search": {"corruptions": {"lines": -1.0}}}, "a severity .* for lines, found -1.0"),
        ({"search": {"count": 61}}, "a count of 1 to 60 images of the data set"),
        (
            {"supernet": {"args": {"name": "resnet50", "num_classes": 7}}},
            "expected 10 outputs of 'python:.*', one a class of the data, found 7",
        ),
    ],
)
def test_what_is_wrong_is_told_before_the_training(planned, changes, sentence):
    with pytest.raises(UserError, match=sentence):
        planned(**changes)


def test_mutated_specifications_are_planned_or_refused_in_one_sentence(mutations, tables):
    def plan(mutant):
        spec = parse_spec(mutant, "a test")
        rehearse_supernet(spec, opened(spec, Path()), Path())

    document = tables(
        supernet={"random_subnets": 0},
        search={"population": 4, "evaluations": 8, "corruptions": {"lines": 2.0}, "count": 20},
    )
    ends = [mutations.outcome(plan, one, what) for what, one in mutations.mutations_of(document, 4, 60)]
    assert ends.count("read") > 2 and ends.count("refused") > 20


LISTING = {
    "bootstrapNAS": {
        "training": {
            "progressivity_of_elasticity": ["depth", "width"],
            "batchnorm_adaptation": {"num_bn_adaptation_samples": 1500},
            "schedule": {"list_stage_descriptions": [{"train_dims": ["depth"], "epochs": 25}]},
            "elasticity": {
                "available_elasticity_dims": ["width", "depth"],
                "width": {"max_num_widths": 3, "min_width": 32, "width_multipliers": [1, 0.8]},
            },
        },
        "search": {"algorithm": "NSGA2", "num_evals": 1000, "population": 50},
    }
}


def test_mutated_configurations_are_read_or_refused_in_one_sentence(mutations, tmp_path):
    path = tmp_path / "nas.json"
    for what, mutant in mutations.mutations_of(LISTING, seed=1, count=400, nulls=True):
        path.write_text(json.dumps(mutant, default=str))
        mutations.outcome(read_bootstrapnas, path, what)
    for what, content in mutations.damaged_texts(json.dumps(LISTING, indent=1), seed=1, count=100):
        path.write_bytes(content)
        mutations.outcome(read_bootstrapnas, path, what)
