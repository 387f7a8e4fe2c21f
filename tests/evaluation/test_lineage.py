"""Shared ancestry of models and ensembles: equal facts, teachers among members, and what unknowns claim."""

from dataclasses import replace
from itertools import combinations

import polars as pl
import pytest

from nversion.core import LabelSpace
from nversion.ensembles import Ensembles
from nversion.evaluation.lineage import KINDS, lineage_table, shared_lineage
from nversion.models import Card

BLANK = Card("", "CNN", "supervised", 1, 1, LabelSpace("x", 2), "test", 8)


def cards(**facts):
    return [replace(BLANK, name=name, **of_model) for name, of_model in facts.items()]


POOL = cards(
    net={"architecture": "resnet50", "training_data": ("imagenet-1k",), "seed": 1},
    twin={"architecture": "resnet50", "training_data": ("imagenet-21k", "imagenet-1k"), "seed": 1},
    student={"architecture": "vit", "teacher": "resnet50", "training_data": ("imagenet-21k",)},
    pupil={"architecture": "levit", "teacher": "resnet50"},
    tuned={"architecture": "mixer", "initial_weights": "net"},
    stranger={},
)
PAIRS = {
    ("net", "twin", "architecture", "resnet50"),
    ("net", "tuned", "initial_weights", "net"),
    ("net", "student", "teacher", "resnet50"),
    ("net", "pupil", "teacher", "resnet50"),
    ("twin", "student", "teacher", "resnet50"),
    ("twin", "pupil", "teacher", "resnet50"),
    ("student", "pupil", "teacher", "resnet50"),
    ("net", "twin", "training_data", "imagenet-1k"),
    ("twin", "student", "training_data", "imagenet-21k"),
}


def test_pairs_share_equal_facts_and_teachers_among_them():
    table = lineage_table(POOL)
    assert set(table.iter_rows()) == PAIRS
    assert table.height == len(PAIRS)
    assert table.schema == dict.fromkeys(("model_a", "model_b", "kind", "value"), pl.String)


@pytest.mark.parametrize("size", [2, 3, 4, 6])
def test_an_ensemble_shares_what_some_two_of_its_members_share(size):
    ensembles = Ensembles.all_of(len(POOL), size)
    for members, text in zip(ensembles.members_EK.tolist(), shared_lineage(POOL, ensembles), strict=True):
        names = [POOL[m].name for m in members]
        expected = {f"{kind}: {value}" for a, b, kind, value in PAIRS if (a, b) in combinations(names, 2)}
        assert set(text.split("; ")) - {""} == expected


def test_kinds_stand_in_one_order():
    (text,) = shared_lineage(POOL, Ensembles.all_of(6, 6))
    assert text == (
        "architecture: resnet50; initial_weights: net; teacher: resnet50; "
        "training_data: imagenet-1k; training_data: imagenet-21k"
    )
    assert [part.partition(":")[0] for part in text.split("; ")] == sorted(
        (part.partition(":")[0] for part in text.split("; ")), key=KINDS.index
    )


def test_nothing_is_shared_where_nothing_is_known():
    unknown = cards(a={}, b={}, c={"seed": 3}, d={"seed": 3})
    assert lineage_table(unknown).height == 0
    assert shared_lineage(unknown, Ensembles.all_of(4, 2)) == [""] * 6


def test_one_model_that_taught_itself_shares_nothing_with_others():
    pool = cards(a={"architecture": "vit", "teacher": "vit"}, b={"architecture": "mixer"})
    assert shared_lineage(pool, Ensembles.all_of(2, 2)) == [""]


def test_two_of_a_teachers_architecture_share_no_teacher():
    pool = cards(a={"architecture": "net"}, b={"architecture": "net"}, c={"teacher": "net"})
    texts = shared_lineage(pool, Ensembles.all_of(3, 2))
    assert texts == ["architecture: net", "teacher: net", "teacher: net"]


def test_a_teacher_is_known_by_its_name():
    pool = cards(a={"teacher": "b"}, b={}, c={})
    assert [row[:3] for row in lineage_table(pool).iter_rows()] == [("a", "b", "teacher")]
