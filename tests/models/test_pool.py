"""Pools: one table of settings per classifier, and one label space for all."""

from types import SimpleNamespace

import pytest

from nversion.core import LabelSpace, UserError
from nversion.models import check_label_space, expand_pool


def test_names_make_one_classifier_each():
    pool = {
        "source": "python:zoo.py:build",
        "names": ["a", "b"],
        "families": {"a": "CNN"},
        "trainings": {"b": "distillation"},
        "label_space": "x",
    }
    assert expand_pool([pool, {"source": "timm:c"}]) == [
        {"source": "python:zoo.py:build", "label_space": "x", "name": "a", "family": "CNN"},
        {"source": "python:zoo.py:build", "label_space": "x", "name": "b", "training": "distillation"},
        {"source": "timm:c"},
    ]


def test_the_name_stands_in_the_source():
    pool = {"source": "file:weights/{name}.safetensors", "names": ["a"]}
    assert expand_pool([pool]) == [{"source": "file:weights/a.safetensors", "name": "a"}]


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ([{"source": "timm:a"}, {"source": "torchvision:a"}], "'a' from 'timm:a' and from 'torchvision:a'"),
        ([{"source": "timm:{name}", "names": ["a", "a"]}], "each model name once in a pool, found 'a'"),
        (
            [{"source": "timm:a", "names": ["a"]}],
            "a source that depends on the name, next to `names`, found 'timm:a'",
        ),
        (
            [{"source": "python:f.py:g", "names": ["a"], "name": "b"}],
            "expected `name` or `names` of a model, found both",
        ),
        ([{"source": "python:f.py:g", "names": ["a"], "families": {"b": "x"}}], "in `families`, found 'b'"),
        (
            [{"source": "timm:a", "families": {"a": "x"}}],
            "expected `names = .* next to `families` or `trainings`",
        ),
        (
            [{"source": "timm:{name}", "names": "a"}],
            "expected a valid 'names' of a pool of models, found 'a'",
        ),
        ([{"source": "timm:{name}", "names": []}], "at least one name in `names`"),
    ],
)
def test_contradictory_pools_are_refused(specs, message):
    with pytest.raises(UserError, match=message):
        expand_pool(specs)


def model(name, space):
    return SimpleNamespace(name=name, card=SimpleNamespace(label_space=space))


def test_one_label_space_is_given_back_with_its_class_names():
    named = LabelSpace("pets", 2, ("cat", "dog"))
    data = [SimpleNamespace(name="val", label_space=named)]
    assert check_label_space([model("a", LabelSpace("pets", 2))], data) is named


@pytest.mark.parametrize(
    ("other", "cure"),
    [
        (LabelSpace("pets", 3), "set `num_classes` so that they agree"),
        (LabelSpace("signs", 2), "leave one out"),
    ],
)
def test_two_label_spaces_are_refused(other, cure):
    data = [SimpleNamespace(name="val", label_space=LabelSpace("pets", 2))]
    message = (
        r"found 'pets' of 2 classes \(the data set 'val'\) and "
        rf"'{other.name}' of {other.num_classes} classes "
        rf"\(the model 'b'\); {cure}"
    )
    with pytest.raises(UserError, match=message):
        check_label_space([model("a", LabelSpace("pets", 2)), model("b", other)], data)
