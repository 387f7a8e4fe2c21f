"""McNemar's exact test and Holm's correction against scipy's binomial test and numbers by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nversion.core import UserError
from nversion.reliability.paired import bootstrap_difference, holm, mcnemar_p_value


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), min_size=1, max_size=8))
def test_mcnemar_is_the_two_sided_binomial_test_of_the_discordant_images(counts):
    a_E, b_E = torch.tensor(counts).double().T
    expected = [stats.binomtest(a, a + b).pvalue if a + b else 1.0 for a, b in counts]
    assert mcnemar_p_value(a_E, b_E).tolist() == pytest.approx(expected, rel=1e-9)


def test_mcnemar_of_the_airway_data_is_the_published_value():
    # 21 children, 1 and 7 discordant: p = 0.0703 (Fagerland, Lydersen and Laake 2014, Table 4).
    assert mcnemar_p_value(torch.tensor(1), torch.tensor(7)).item() == pytest.approx(0.0703, abs=5e-5)


def test_fractional_counts_lie_between_their_neighbours():
    a_E = torch.tensor([3.0, 3.25, 3.5, 3.75, 4.0])
    p_E = mcnemar_p_value(a_E, torch.full((5,), 20.0))
    assert (p_E.diff() > 0).all()


def test_mcnemar_does_not_care_who_is_who():
    a_E, b_E = torch.tensor([2.0, 0.5, 9.0]), torch.tensor([8.0, 0.0, 9.0])
    assert mcnemar_p_value(a_E, b_E).equal(mcnemar_p_value(b_E, a_E))


def test_without_a_discordant_image_p_is_one():
    assert mcnemar_p_value(torch.zeros(2, 3), torch.zeros(2, 3)).eq(1).all()


def test_counts_below_zero_are_refused():
    with pytest.raises(UserError, match=r"none below 0, found a count of -1"):
        mcnemar_p_value(torch.tensor([-1.0]), torch.tensor([2.0]))


def test_holm_by_hand():
    # Sorted .005 .011 .02 .04 .13, times 5 4 3 2 1: .025 .044 .06 .08 .13.
    p_E = torch.tensor([0.02, 0.005, 0.13, 0.011, 0.04], dtype=torch.float64)
    assert holm(p_E).tolist() == pytest.approx([0.06, 0.025, 0.13, 0.044, 0.08])


def test_holm_stays_in_order_and_at_most_one():
    p_E = torch.tensor([0.3, 0.31, 0.9, 1.0], dtype=torch.float64)
    assert holm(p_E).tolist() == pytest.approx([1.0, 1.0, 1.0, 1.0])
    assert holm(p_E[:0]).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_rejects_by_stepping_down(p_values):
    # The method's definition: smallest first, stop at the first p above α/(tests left).
    rejected = set()
    for step, index in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[index] * (len(p_values) - step) > 0.05:
            break
        rejected.add(int(index))
    assert set((holm(torch.tensor(p_values).double()) <= 0.05).nonzero().flatten().tolist()) == rejected


def test_holm_keeps_the_chance_of_any_false_rejection():
    rng = np.random.default_rng(0)
    false = 0
    for _ in range(400):  # 30 comparisons without a difference, 100 discordant images each
        a_E = torch.from_numpy(rng.binomial(100, 0.5, size=30)).double()
        false += bool((holm(mcnemar_p_value(a_E, 100 - a_E)) <= 0.05).any())
    assert false / 400 <= 0.07


def test_the_bootstrap_is_scipys():
    rng = np.random.default_rng(1)
    right_a_N, right_b_N = (rng.random((2, 300)) < [[0.8], [0.7]]).astype(float)
    right_a_N[:20] = 1 / 3  # shared ties
    low, high = bootstrap_difference(torch.tensor(right_a_N), torch.tensor(right_b_N), rng)
    theirs = stats.bootstrap(
        (right_a_N - right_b_N,), np.mean, method="percentile", n_resamples=9999, rng=2
    ).confidence_interval
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.003)


def test_the_bootstrap_is_seeded():
    right_a_N, right_b_N = torch.tensor([1.0, 0, 1, 1]), torch.tensor([0.0, 0, 1, 0])
    first, again = (bootstrap_difference(right_a_N, right_b_N, np.random.default_rng(3)) for _ in range(2))
    assert first == again


def test_equal_differences_leave_the_bootstrap_without_an_interval():
    right_N = torch.tensor([1.0, 0.0, 1.0])
    assert np.isnan(bootstrap_difference(right_N, right_N, np.random.default_rng(0))).all()


def test_the_bootstrap_wants_the_same_images():
    with pytest.raises(UserError, match=r"on the same images, .* found shapes \(3,\) and \(2,\)"):
        bootstrap_difference(torch.ones(3), torch.ones(2), np.random.default_rng(0))
