"""Every registered pairwise metric: published numbers, oracles, identities and laws."""

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from deslib.util import diversity as deslib
from hypothesis import given, settings
from sklearn.metrics import cohen_kappa_score

from nversion.core import UserError
from nversion.diversity import METRICS, PairCounts, ensemble_mean, metric, metrics_of
from nversion.ensembles import Ensembles

# Kuncheva and Whitaker, "Measures of diversity in classifier ensembles", Machine Learning 51, 2003:
# their example of 15 samples (rows) × 10 classifiers (columns), 1 = right.
KUNCHEVA_WHITAKER = """
1000001000 0100101000 1011010110 1001110011 1101110001
1111010000 1010001011 0000100001 0010011001 0100100000
0000010011 1011000001 0101100110 1011111010 1111001001
"""
PUBLISHED = {"q": 0.0231, "rho": 0.0156, "disagreement": 0.4889, "double_fault": 0.3156}

DESLIB = {
    "q": deslib.Q_statistic,
    "rho": deslib.correlation_coefficient,
    "disagreement": deslib.disagreement_measure,
    "double_fault": deslib.double_fault,
    "ratio_of_errors": deslib.ratio_errors,
}

every_metric = pytest.mark.parametrize("metric", metrics_of("pairs").values(), ids=list(metrics_of("pairs")))
cell = st.integers(0, 50)


def kuncheva_whitaker_right():
    rows = [[int(digit) for digit in row] for row in KUNCHEVA_WHITAKER.split()]
    return torch.tensor(rows, dtype=torch.bool).T


def table_of(right_MN):
    return PairCounts.from_right(right_MN, torch.zeros(right_MN.shape[1], dtype=torch.int64), 1).total()


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_example_gives_the_published_mean(name):
    values_MM = METRICS[name].function(*table_of(kuncheva_whitaker_right()))
    mean_E, num_undefined_E = ensemble_mean(values_MM, Ensembles.all_of(10, 10))
    assert round(mean_E.item(), 4) == PUBLISHED[name]
    assert num_undefined_E.item() == 0


@pytest.mark.parametrize("name", DESLIB)
def test_values_of_predicted_labels_are_deslibs(name):
    rng = np.random.default_rng(0)
    labels_N = rng.integers(4, size=150)
    guesses_MN = rng.integers(4, size=(5, 150))
    predicted_MN = np.where(rng.random((5, 150)) < [[0.3], [0.5], [0.6], [0.7], [0.8]], labels_N, guesses_MN)
    ours = METRICS[name].function(*table_of(torch.from_numpy(predicted_MN == labels_N)))
    for i, k in itertools.permutations(range(5), 2):
        expected = DESLIB[name](labels_N, predicted_MN[i], predicted_MN[k])
        assert ours[i, k].item() == pytest.approx(expected, abs=1e-12)


def test_error_consistency_is_cohens_kappa_of_right_and_wrong():
    right_MN = kuncheva_whitaker_right()
    ours = METRICS["error_consistency"].function(*table_of(right_MN))
    for i, k in itertools.permutations(range(10), 2):
        expected = cohen_kappa_score(right_MN[i].numpy(), right_MN[k].numpy())
        assert ours[i, k].item() == pytest.approx(expected, abs=1e-12)


def test_error_consistency_of_independent_models_is_zero_whatever_their_accuracies():
    # 0.9 and 0.6: expected agreement 0.58, and 0.58 is observed.
    assert METRICS["error_consistency"].function(*torch.tensor([54.0, 36.0, 6.0, 4.0])).item() == 0.0


def test_models_that_never_fail_together_have_no_ratio_of_errors():
    never_together = torch.tensor([[5.0, 2.0, 1.0, 0.0], [5.0, 0.0, 0.0, 0.0]])
    assert METRICS["ratio_of_errors"].function(*never_together.T).isnan().all()


def test_ensembles_say_how_many_pairs_have_no_ratio_of_errors():
    right_MN = torch.tensor([[True, False, False], [True, True, False], [False, True, True]])
    values_MM = METRICS["ratio_of_errors"].function(*table_of(right_MN))
    mean_E, num_undefined_E = ensemble_mean(values_MM, Ensembles.all_of(3, 3))
    assert (mean_E.item(), num_undefined_E.item()) == (1.0, 2)


@pytest.mark.parametrize("corner", [[8.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 8.0]])
def test_models_that_are_both_always_right_or_wrong_have_no_error_consistency(corner):
    assert METRICS["error_consistency"].function(*torch.tensor(corner)).isnan()


def test_a_model_that_is_always_right_is_consistent_as_by_chance():
    assert METRICS["error_consistency"].function(*torch.tensor([5.0, 3.0, 0.0, 0.0])).item() == 0.0


def test_rho_is_numpys_correlation_of_right_and_wrong():
    right_MN = kuncheva_whitaker_right()
    ours = METRICS["rho"].function(*table_of(right_MN)).numpy()
    np.testing.assert_allclose(ours, np.corrcoef(right_MN.numpy().astype(float)), atol=1e-12)


def test_disagreement_and_double_fault_are_counts_over_the_samples():
    right_MN = kuncheva_whitaker_right()
    table = table_of(right_MN)
    for i, k in itertools.combinations(range(10), 2):
        differ = (right_MN[i] != right_MN[k]).double().mean()
        both_wrong = (~right_MN[i] & ~right_MN[k]).double().mean()
        assert METRICS["disagreement"].function(*table)[i, k] == differ
        assert METRICS["double_fault"].function(*table)[i, k] == both_wrong


def test_kohavi_wolpert_variance_is_its_share_of_the_mean_disagreement():
    right_MN = kuncheva_whitaker_right()
    kohavi_wolpert = right_MN.double().var(0, correction=0).mean()
    values_MM = METRICS["disagreement"].function(*table_of(right_MN))
    mean_E, _ = ensemble_mean(values_MM, Ensembles.all_of(10, 10))
    assert (10 - 1) / (2 * 10) * mean_E.item() == pytest.approx(kohavi_wolpert.item(), abs=1e-12)


def test_mean_double_fault_is_the_chance_that_two_random_members_fail():
    failures_N = (~kuncheva_whitaker_right()).sum(0).double()
    expected = (failures_N * (failures_N - 1) / (10 * 9)).mean()
    values_MM = METRICS["double_fault"].function(*table_of(kuncheva_whitaker_right()))
    mean_E, _ = ensemble_mean(values_MM, Ensembles.all_of(10, 10))
    assert mean_E.item() == pytest.approx(expected.item(), abs=1e-12)


@every_metric
@given(cell, cell, cell, cell)
@settings(max_examples=50, deadline=None)
def test_values_are_nan_or_within_the_stated_bounds(metric, n11, n10, n01, n00):
    value = metric.function(*torch.tensor([n11, n10, n01, n00]).double())
    assert value.isnan() or metric.low <= value <= metric.high


@every_metric
@given(cell, cell, cell, cell)
@settings(max_examples=25, deadline=None)
def test_exchanging_the_two_models_changes_nothing(metric, n11, n10, n01, n00):
    value = metric.function(*torch.tensor([n11, n10, n01, n00]).double())
    exchanged = metric.function(*torch.tensor([n11, n01, n10, n00]).double())
    assert torch.allclose(value, exchanged, rtol=0, atol=0, equal_nan=True)


@every_metric
def test_more_diverse_points_the_stated_way(metric):
    alike = metric.function(*torch.tensor([6.0, 1.0, 1.0, 2.0]))
    diverse = metric.function(*torch.tensor([3.0, 3.0, 3.0, 1.0]))
    assert (diverse > alike) == metric.higher_is_more_diverse


@every_metric
def test_both_bounds_are_attained(metric):
    corners = torch.tensor(
        [[5.0, 0, 0, 5.0], [0, 5.0, 5.0, 0], [10.0, 0, 0, 0], [0, 0, 0, 10.0], [5.0, 5.0, 0, 0]]
    )
    values = metric.function(*corners.T)
    defined = values[values.isfinite()]
    assert defined.min() == metric.low
    assert defined.max() == metric.high or metric.high == np.inf


@every_metric
def test_an_infinite_bound_is_approached(metric):
    values = metric.function(*torch.tensor([0.0, 1e6, 1e6, 1.0]))
    assert values.isfinite()
    assert values > 1e6 or metric.high < np.inf


@every_metric
def test_no_sample_gives_nan(metric):
    assert metric.function(*torch.zeros(4, dtype=torch.float64)).isnan()


@every_metric
def test_a_reader_is_told_formula_and_undefined_cases(metric):
    assert METRICS[metric.name] is metric
    assert "N" in metric.formula
    assert metric.undefined_when


@given(st.lists(st.booleans(), min_size=1, max_size=30))
@settings(max_examples=25, deadline=None)
def test_identical_members_have_zero_disagreement(right_N):
    values_MM = METRICS["disagreement"].function(*table_of(torch.tensor([right_N, right_N, right_N])))
    mean_E, _ = ensemble_mean(values_MM, Ensembles.all_of(3, 3))
    assert mean_E.item() == 0.0


@pytest.mark.parametrize("name", ["q", "rho", "error_consistency"])
def test_identical_members_with_right_and_wrong_answers_are_fully_correlated(name):
    right_N = [True, False, True, True]
    assert METRICS[name].function(*table_of(torch.tensor([right_N, right_N])))[0, 1] == 1.0


@pytest.mark.parametrize("name", ["q", "rho"])
def test_a_model_that_is_always_right_has_no_correlation(name):
    right_MN = torch.tensor([[True, True, True], [True, False, True]])
    assert METRICS[name].function(*table_of(right_MN))[0, 1].isnan()


def test_one_decorator_adds_a_metric_and_a_taken_name_is_refused():
    file = metric(
        "disagreement",
        of="pairs",
        low=0,
        high=1,
        higher_is_more_diverse=True,
        formula="N",
        undefined_when="never",
    )
    with pytest.raises(UserError, match="expected a new name for a diversity metric, found 'disagreement'"):
        file(lambda n11, n10, n01, n00: n11)


def test_an_unknown_metric_is_answered_with_the_nearest_name():
    with pytest.raises(UserError, match="did you mean 'disagreement'"):
        METRICS["disagrement"]
