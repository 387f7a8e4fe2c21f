"""`nversion.select` on the result of `nversion.evaluate`: no files, no second evaluation."""

import numpy as np
import pytest

import nversion as nv
from nversion.core import UserError
from nversion.core.reporter import Silent
from nversion.ensembles import Evaluator
from nversion.selection import Request
from nversion.selection.select import select_in

NAMES = ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def result():
    rng = np.random.default_rng(3)
    labels_N = rng.integers(0, 4, 240)
    signal_NC = 2 * np.eye(4)[labels_N]
    logits = {
        name: noise * rng.normal(size=(4, 240, 4)) + signal_NC
        for name, noise in {"clean": 1, "fog-3": 2, "lines-1": 1.5, "snow-2": 2.2}.items()
    }
    return nv.evaluate(nv.Predictions.from_arrays(logits, labels_N, models=NAMES), sizes=[2, 3])


@pytest.mark.parametrize("consensus", ["average", "vote"])
def test_the_choice_is_that_of_logits_read_again(result, consensus):
    request = Request(consensus=consensus, unseen=("fog*",))
    study = result.stored()
    study.credits.clear()
    again = select_in(study, request, Silent())
    ours = nv.select(result, consensus=consensus, unseen=["fog*"])
    assert ours.table.equals(again.table) and ours.splits.equals(again.splits)
    assert ours.chosen == again.chosen and ours.verdict in repr(ours)


def test_ensembles_are_not_evaluated_a_second_time(result, monkeypatch):
    monkeypatch.setattr(Evaluator, "update", lambda *_: pytest.fail("evaluated again"))
    assert nv.select(result, criterion="mean", unseen="fog*").unseen == ("data/fog-3",)


def test_unknown_costs_leave_out_what_needs_them(result):
    selection = nv.select(result)
    assert selection.front.is_empty() and selection.table["params"].null_count() == selection.table.height
    assert "same_cost_model" not in set(selection.table["role"])
    with pytest.raises(UserError, match="known parameters and MACs for max_params or max_macs, found logits"):
        nv.select(result, max_params=10)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"unseen": ["fgo*"]}, "found --unseen 'fgo\\*'"),
        ({"criterion": "wrost"}, "a known criterion, found 'wrost'; did you mean 'worst'"),
        ({"consensus": "mean"}, "a known consensus rule, found 'mean'; did you mean 'average'"),
        ({"size": 4}, "a size of this study: 2, 3, found .*4"),
        ({"unseen": ["*"]}, "conditions to choose on and others to hold out, found all 4 held out"),
        ({"cost": "mac"}, "a known cost, found 'mac'"),
    ],
)
def test_a_wrong_option_is_one_sentence(result, options, sentence):
    with pytest.raises(UserError, match=sentence):
        nv.select(result, **options)


def test_one_condition_and_few_images_are_one_sentence():
    logits_MNC = np.random.default_rng(0).normal(size=(3, 3, 4))
    one = nv.evaluate(nv.Predictions.from_arrays(logits_MNC, [0, 1, 2]), sizes=[2])
    with pytest.raises(UserError, match="at least 2 conditions"):
        nv.select(one)
    both = nv.Predictions.from_arrays({"clean": logits_MNC, "fog-1": logits_MNC}, [0, 1, 2])
    with pytest.raises(UserError, match="at least 4 blocks of images"):
        nv.select(nv.evaluate(both, sizes=[2]))
