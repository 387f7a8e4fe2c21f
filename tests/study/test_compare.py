"""Two contenders on the same images: counts by hand, tests by scipy, and what is refused."""

import numpy as np
import pytest
from scipy import stats

from nversion.core import UserError
from nversion.data import Condition
from nversion.evaluation.compare import compare
from nversion.evaluation.stored import StoredStudy
from nversion.predictions import ConditionPredictions, block_of_each_sample
from nversion.study.spec import EnsemblesTable

CONDITIONS = (Condition("val"), Condition("val", "lines", 1.0), Condition("val", "plasma_noise", 2.0))
NAMES = ("resnet18", "resnet50", "vit", "mixer+")
NUM_SAMPLES, NUM_CLASSES = 120, 4


@pytest.fixture(scope="module")
def labels_N():
    return np.random.default_rng(0).integers(NUM_CLASSES, size=NUM_SAMPLES)


@pytest.fixture(scope="module")
def logits(labels_N):
    rng = np.random.default_rng(1)
    found = {}
    for condition in CONDITIONS:
        logits_MNC = rng.normal(size=(4, NUM_SAMPLES, NUM_CLASSES)).astype(np.float32)
        logits_MNC[:, np.arange(NUM_SAMPLES), labels_N] += np.array([[0.5], [1.0], [1.6], [0.8]])
        found[condition.name] = logits_MNC
    return found


def study_of(logits, labels_N, accepted=None):
    blocks_N = block_of_each_sample([str(i) for i in range(NUM_SAMPLES)], 10)
    predictions = {
        name: ConditionPredictions(
            name, NAMES, tuple(logits_MNC), np.arange(NUM_SAMPLES), labels_N, blocks_N, accepted or {}
        )
        for name, logits_MNC in logits.items()
    }
    ones_M = np.ones(4, np.int64)
    asked = EnsemblesTable(sizes=[2], num_blocks=10)
    return StoredStudy("test", "0", asked, CONDITIONS, NAMES, ones_M, ones_M, predictions)


@pytest.fixture
def study(logits, labels_N):
    return study_of(logits, labels_N)


@pytest.mark.parametrize(
    ("a", "b", "members"),
    [
        ("vit", "resnet18", ([2], [0])),
        ("vit + resnet18", "resnet50", ([0, 2], [1])),
        ("resnet50,vit , mixer+", "resnet18 + vit", ([1, 2, 3], [0, 2])),
    ],
)
def test_counts_and_tests_are_those_of_the_predictions(study, logits, labels_N, a, b, members):
    comparison = compare(study, a, b)
    assert [row["condition"] for row in comparison.rows] == [c.name for c in CONDITIONS]
    for row in comparison.rows:
        a_N, b_N = (logits[row["condition"]][m].mean(0).argmax(-1) == labels_N for m in members)
        only_a, only_b = int((a_N & ~b_N).sum()), int((b_N & ~a_N).sum())
        assert (row["n"], row["only_a"], row["only_b"]) == (NUM_SAMPLES, only_a, only_b)
        assert (row["a_top1"], row["b_top1"]) == pytest.approx((a_N.mean(), b_N.mean()))
        assert row["difference"] == pytest.approx(a_N.mean() - b_N.mean())
        assert row["p_value"] == pytest.approx(stats.binomtest(only_a, only_a + only_b).pvalue)
        assert row["low"] < row["difference"] < row["high"]
        theirs = stats.bootstrap(
            (a_N.astype(float) - b_N,), np.mean, method="percentile", rng=0
        ).confidence_interval
        assert (row["bootstrap_low"], row["bootstrap_high"]) == pytest.approx(tuple(theirs), abs=0.01)


def test_p_values_are_corrected_for_the_number_of_conditions(study):
    rows = compare(study, "vit", "resnet50").rows
    p = np.array([row["p_value"] for row in rows])
    order = p.argsort()
    expected = np.minimum(1, np.maximum.accumulate(p[order] * [3, 2, 1]))
    assert np.array([row["p_corrected"] for row in rows])[order] == pytest.approx(expected)
    (alone,) = compare(study, "vit", "resnet50", patterns=["lines"]).rows
    assert alone["p_corrected"] == alone["p_value"] == p[1]


def test_a_shared_tie_of_a_vote_counts_its_expected_accuracy(study, logits, labels_N):
    row = compare(study, "resnet18 + vit", "vit", consensus="vote", patterns=["clean"]).rows[0]
    first_N, vit_N = (logits["val/clean"][m].argmax(-1) == labels_N for m in (0, 2))
    # Two members: right together 1, one of them ½, for a wrong one wins half of the ties.
    expected_N = (first_N.astype(float) + vit_N) / 2
    assert row["a_top1"] == pytest.approx(expected_N.mean())
    assert row["only_a"] == (first_N & ~vit_N).sum() / 2
    assert row["only_b"] == (vit_N & ~first_N).sum() / 2


def test_further_accepted_labels_count_as_right(logits, labels_N):
    accepted = {i: ((int(labels_N[i]) + 2) % NUM_CLASSES,) for i in range(0, NUM_SAMPLES, 2)}
    for members, name in (([1, 2], "resnet50 + vit"), ([0], "resnet18")):
        predicted_N = logits["val/clean"][members].mean(0).argmax(-1)
        right_N = [p == labels_N[i] or p in accepted.get(i, ()) for i, p in enumerate(predicted_N)]
        row = compare(study_of(logits, labels_N, accepted), name, "mixer+").rows[0]
        assert row["a_top1"] == pytest.approx(np.mean(right_N))


def test_the_bootstrap_does_not_depend_on_which_conditions_are_asked_for(study):
    all_rows = compare(study, "vit", "resnet18").rows
    (lines,) = compare(study, "vit", "resnet18", patterns=["lines-*"]).rows
    assert (lines["bootstrap_low"], lines["high"]) == (all_rows[1]["bootstrap_low"], all_rows[1]["high"])
    (other,) = compare(study, "vit", "resnet18", patterns=["lines-*"], seed=1).rows
    assert other["bootstrap_low"] == pytest.approx(lines["bootstrap_low"], abs=0.02)


def test_contenders_that_no_image_tells_apart_have_p_one_and_no_bootstrap(logits, labels_N):
    same = {name: np.stack([x[0], x[0], x[2], x[3]]) for name, x in logits.items()}
    for row in compare(study_of(same, labels_N), "resnet18", "resnet50").rows:
        assert (row["difference"], row["p_value"], row["p_corrected"]) == (0, 1, 1)
        assert np.isnan([row["bootstrap_low"], row["bootstrap_high"]]).all()
        assert row["low"] == -row["high"] < 0


def test_members_are_named_in_the_order_of_the_study(study):
    comparison = compare(study, "vit, resnet18", "mixer+")
    assert (comparison.a, comparison.b) == ("resnet18 + vit", "mixer+")


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        ("resnet", "vit", {}, "found 'resnet'; did you mean 'resnet50' or 'resnet18'"),
        ("vit + resnt50", "vit", {}, "members joined by .* found 'resnt50'; did you mean 'resnet50'"),
        ("vit + vit", "resnet18", {}, "each member once, found 'vit \\+ vit'"),
        ("vit, resnet18", "resnet18 + vit", {}, "two different .* found resnet18 \\+ vit twice"),
        ("vit", "resnet18", {"patterns": ["lin"]}, "found --condition 'lin'; did you mean 'lines"),
        ("vit", "resnet18", {"consensus": "averge"}, "found 'averge'; did you mean 'average'"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(study, a, b, options, message):
    with pytest.raises(UserError, match=message):
        compare(study, a, b, **options)
