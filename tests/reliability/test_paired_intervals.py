"""Tango's score interval: published numbers, its definition by brute force, its coverage; best members."""

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from nversion.core import UserError
from nversion.reliability.paired import (
    compare_with_best_member,
    holm,
    mcnemar_p_value,
    paired_difference_interval,
)


def interval(a, b, n, **options):
    low_E, high_E = paired_difference_interval(torch.tensor([a]), torch.tensor([b]), n, **options)
    return low_E.item(), high_E.item()


def test_the_airway_data_have_the_published_interval():
    # Fagerland, Lydersen and Laake 2014 (BMC Med Res Methodol 14:134), Tango's: −0.517 to −0.026.
    assert interval(1.0, 7.0, 21) == pytest.approx((-0.517, -0.026), abs=5e-4)


@pytest.mark.parametrize(("a", "b", "n"), [(12, 5, 60), (3, 0, 40), (0, 9, 30), (40, 40, 100)])
def test_both_ends_are_where_the_score_test_just_rejects(a, b, n):
    for delta in interval(float(a), float(b), n):

        def loss(q, delta=delta):  # minus the log-likelihood of the share that only b gets right
            cells = np.array([q + delta, q, 1 - 2 * q - delta])
            return -(stats.multinomial.logpmf([a, b, n - a - b], n, cells / cells.sum()))

        found = optimize.minimize_scalar(
            loss,
            bounds=(max(0, -delta) + 1e-12, (1 - delta) / 2 - 1e-12),
            method="bounded",
            options={"xatol": 1e-12},
        )
        q = found.x
        z = (a - b - n * delta) / np.sqrt(n * (2 * q + delta * (1 - delta)))
        assert abs(z) == pytest.approx(1.959964, abs=2e-3)


def test_no_discordant_image_leaves_an_interval_by_hand():
    z2 = 1.959964**2
    assert interval(0.0, 0.0, 50) == pytest.approx((-z2 / (50 + z2), z2 / (50 + z2)), abs=1e-6)


def test_every_image_discordant_reaches_the_end():
    low, high = interval(30.0, 0.0, 30)
    assert high == 1.0 and 0.7 < low < 1


def test_who_is_who_turns_the_interval():
    low, high = interval(12.0, 4.5, 80)
    assert interval(4.5, 12.0, 80) == pytest.approx((-high, -low))


def test_the_interval_leaves_out_zero_where_the_normal_mcnemar_test_rejects():
    for a in range(25, 50):
        low, high = interval(float(a), 25.0, 1000)
        assert (low > 0) == ((a - 25) ** 2 / (a + 25) > 1.959964**2)
        assert low < (a - 25) / 1000 < high


@pytest.mark.parametrize("num_images", [20, 50, 200, 1000])
@pytest.mark.parametrize(
    ("only_a", "only_b"), [(0.3, 0.3), (0.2, 0.1), (0.05, 0.02), (0.02, 0.0), (0.01, 0.01), (0.0, 0.005)]
)
def test_coverage_of_95_percent_intervals(num_images, only_a, only_b):
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(num_images, [only_a, only_b, 1 - only_a - only_b], size=4000)
    a_E, b_E, _ = torch.from_numpy(drawn).double().T
    low_E, high_E = paired_difference_interval(a_E, b_E, num_images)
    coverage = ((low_E <= only_a - only_b) & (only_a - only_b <= high_E)).double().mean().item()
    print(f"{num_images} images, {only_a} and {only_b} discordant: {coverage:.3f}")
    assert coverage >= 0.925
    if num_images * (only_a + only_b) >= 10:
        assert coverage <= 0.97


def test_more_discordant_images_than_images_are_refused():
    with pytest.raises(UserError, match=r"no more .* than there are, found up to 12 of 10"):
        interval(8.0, 4.0, 10)
    with pytest.raises(UserError, match="a confidence between 0 and 1"):
        interval(1.0, 1.0, 10, confidence=95)


@pytest.fixture
def pool():
    """Right answers of four models and of pairs that are right where either is: counts by hand below."""
    rng = np.random.default_rng(4)
    right_MN = torch.from_numpy(rng.random((4, 200)) < np.array([[0.7], [0.8], [0.6], [0.75]]))
    members_EK = torch.tensor([[0, 1], [0, 2], [1, 3], [2, 3]])
    right_EN = right_MN[members_EK].any(1)
    return right_MN, members_EK, right_EN


def compare(right_MN, members_EK, right_EN):
    right_MN, right_EN = right_MN.double(), right_EN.double()
    both_EM = right_EN @ right_MN.T
    return compare_with_best_member(right_EN.sum(1), right_MN.sum(1), both_EM, right_MN.shape[1], members_EK)


def test_every_ensemble_meets_its_best_member_on_the_same_images(pool):
    right_MN, members_EK, right_EN = pool
    found = compare(*pool)
    for e, members in enumerate(members_EK.tolist()):
        best = max(members, key=lambda m: int(right_MN[m].sum()))
        only_e = int((right_EN[e] & ~right_MN[best]).sum())
        only_m = int((~right_EN[e] & right_MN[best]).sum())
        assert found.best_member_E[e] == best
        assert (found.only_ensemble_E[e], found.only_member_E[e]) == (only_e, only_m)
        assert found.difference_E[e].item() == pytest.approx((only_e - only_m) / 200)
        assert found.p_value_E[e].item() == pytest.approx(stats.binomtest(only_e, only_e + only_m).pvalue)
        assert (found.low_E[e].item(), found.high_E[e].item()) == interval(float(only_e), float(only_m), 200)


def test_corrected_numbers_are_holms_and_bonferronis(pool):
    found = compare(*pool)
    assert found.p_corrected_E.equal(holm(found.p_value_E))
    expected = paired_difference_interval(
        found.only_ensemble_E, found.only_member_E, 200, confidence=1 - 0.05 / 4
    )
    assert torch.stack([found.low_corrected_E, found.high_corrected_E]).equal(torch.stack(expected))
    assert (found.low_corrected_E < found.low_E).all() and (found.high_E < found.high_corrected_E).all()
    assert found.num_compared == 4


def test_of_equal_members_the_first_is_the_best():
    right_MN = torch.tensor([[1, 0, 1], [1, 1, 0], [0, 1, 1]])
    found = compare(right_MN, torch.tensor([[0, 1], [1, 2]]), torch.ones(2, 3))
    assert found.best_member_E.tolist() == [0, 1]


def test_shared_ties_count_their_expected_accuracy():
    # Three ties of which each is right by a third: one image in expectation, of them the member gets two.
    right_N = torch.tensor([1 / 3, 1 / 3, 1 / 3, 1.0], dtype=torch.float64)
    member_N = torch.tensor([1.0, 1, 0, 1], dtype=torch.float64)
    found = compare_with_best_member(
        right_N.sum()[None], torch.stack([member_N.sum(), torch.tensor(1.0)]),
        torch.stack([right_N @ member_N, torch.tensor(0.0)])[None], 4, torch.tensor([[0, 1]]),
    )  # fmt: skip
    assert found.only_ensemble_E.item() == pytest.approx(1 / 3)
    assert found.only_member_E.item() == pytest.approx(4 / 3)
    assert found.p_value_E.equal(mcnemar_p_value(found.only_ensemble_E, found.only_member_E))


def test_an_ensemble_that_is_its_member_differs_by_nothing():
    right_MN = torch.tensor([[1, 0, 1, 1], [0, 0, 1, 0]])
    found = compare(right_MN, torch.tensor([[0, 1]]), right_MN[:1])
    assert found.difference_E.item() == 0 and found.p_value_E.item() == found.p_corrected_E.item() == 1
    assert found.low_E.item() == -found.high_E.item() < 0


def test_counts_of_other_ensembles_are_refused(pool):
    right_MN, members_EK, right_EN = pool
    with pytest.raises(UserError, match=r"of both \(E, M\), .* found \(4,\), \(4,\), \(4, 3\), \(4, 2\)"):
        compare_with_best_member(right_EN.sum(1), right_MN.sum(1), torch.ones(4, 3), 200, members_EK)
