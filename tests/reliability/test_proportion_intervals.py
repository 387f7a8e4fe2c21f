"""Proportion intervals agree with SciPy's, and a sample size shows its rate exactly."""

import pytest
import torch
from scipy import stats

from nversion.core import UserError
from nversion.reliability import proportion_interval, proportion_intervals, samples_to_show_rate

METHODS = {"wilson": "wilson", "clopper_pearson": "exact"}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
@pytest.mark.parametrize(
    ("successes", "trials"), [(0, 1), (0, 40), (1, 1), (3, 7), (39, 40), (70000, 100000)]
)
def test_intervals_are_scipys(successes, trials, confidence, method):
    expected = stats.binomtest(successes, trials).proportion_ci(confidence, METHODS[method])
    interval = proportion_interval(successes, trials, confidence=confidence, method=method)
    assert interval == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_many_intervals_at_once_are_those_of_each(method):
    successes_E, trials_E = torch.tensor([0, 3, 2.5, 7, 0]), torch.tensor([9, 7, 40, 7, 0])
    low_E, high_E = proportion_intervals(successes_E, trials_E, method=method)
    for e in range(4):
        one = proportion_interval(successes_E[e].item(), trials_E[e].item(), method=method)
        assert one == pytest.approx((low_E[e].item(), high_E[e].item()), abs=1e-15)
    assert low_E[4].isnan()
    assert high_E[4].isnan()


@pytest.mark.parametrize("method", METHODS)
def test_the_ends_are_exact(method):
    assert proportion_interval(0, 12, method=method).low == 0.0
    assert proportion_interval(12, 12, method=method).high == 1.0


def test_an_expected_number_of_successes_lies_between_its_neighbours():
    lower, between, upper = (proportion_interval(k, 20).low for k in (7, 7.5, 8))
    assert lower < between < upper


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(successes, trials):
    with pytest.raises(UserError, match=f"found {successes} of {trials}"):
        proportion_interval(successes, trials)


def test_a_percentage_is_no_confidence():
    with pytest.raises(UserError, match="expected a confidence between 0 and 1, found 95"):
        proportion_interval(1, 2, confidence=95)


def test_an_unknown_method_is_refused():
    with pytest.raises(UserError, match="expected the method 'wilson' or 'clopper_pearson', found 'wald'"):
        proportion_interval(1, 2, method="wald")


@pytest.mark.parametrize("rate", [0.5, 0.1, 0.01, 3e-4])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_the_sample_size_is_the_smallest_whose_bound_is_below_the_rate(rate, confidence):
    samples = samples_to_show_rate(rate, confidence=confidence)
    bound, bound_of_one_fewer = (
        stats.beta.ppf(confidence, 1, n) if n else 1.0 for n in (samples, samples - 1)
    )
    assert bound <= rate * (1 + 1e-12)
    assert bound_of_one_fewer > rate


def test_a_rate_of_zero_cannot_be_shown():
    with pytest.raises(UserError, match="expected a failure rate between 0 and 1, found 0"):
        samples_to_show_rate(0)
