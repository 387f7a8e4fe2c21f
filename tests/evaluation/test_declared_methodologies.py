"""Models are grouped by what their cards state, never by what a name lets one guess."""

from dataclasses import replace

import pytest
import torch

from nversion.core import LabelSpace
from nversion.ensembles import Ensembles
from nversion.evaluation.design import groupings, stated
from nversion.models import Card
from nversion.reliability import predict_from_other_models
from nversion.study.spec import ReliabilityTable

BLANK = Card("", "CNN", "supervised", 1, 1, LabelSpace("x", 2), "test", 8)
ASKED = ReliabilityTable(group_by=["family", "training", "architecture"])


def test_a_guessed_fact_is_not_stated():
    assert stated(BLANK, "family") == ""
    assert stated(replace(BLANK, family_declared=True), "family") == "CNN"
    assert stated(replace(BLANK, architecture="resnet50"), "architecture") == "resnet50"


def test_guessed_families_make_no_methodologies():
    cards = [replace(BLANK, name=name, training_declared=True) for name in "ab"]
    assert set(groupings(cards, ASKED)) == {"training"}


def test_a_model_whose_family_was_guessed_is_in_no_group():
    cards = [replace(BLANK, name="a", family_declared=True), replace(BLANK, name="b")]
    groups = groupings(cards, ASKED)["family"]
    assert groups.membership_GM.tolist() == [[True, False]]


@pytest.mark.parametrize("system", ["all_fail", "majority_fail"])
def test_an_ensemble_with_an_undeclared_member_is_not_predicted_from_its_kind(system):
    cards = [replace(BLANK, name=name, family_declared=name != "e") for name in "abcde"]
    groups = groupings(cards, ASKED)["family"]
    right_MN = torch.rand(5, 40, generator=torch.Generator().manual_seed(0)) < 0.5
    found = predict_from_other_models(right_MN, Ensembles.all_of(5, 2), groups)[system]
    undeclared_E = (Ensembles.all_of(5, 2).members_EK == 4).any(1)
    assert found.predicted_E.isnan().tolist() == undeclared_E.tolist()
    assert {note for note, is_one in zip(found.notes, undeclared_E.tolist(), strict=True) if is_one} != {""}
