"""Systems fail as SciPy's distributions, the published formulas and plain enumeration say."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nversion.core import UserError
from nversion.reliability import (
    Methodologies,
    SimulatedMethodologies,
    drawn_failing_distribution,
    drawn_system_failure,
    k_out_of_n_failure,
    num_failing_distribution,
    one_out_of_two,
    system_failure,
    two_out_of_three,
)

BLOCKS = 10


def some_theta(num_methodologies, num_images=50, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(num_methodologies, num_images, generator=rng, dtype=torch.float64)


def system_of(fails_MN, labels, channels, num_needed, **settings_):
    blocks_N = torch.arange(fails_MN.shape[1]) % BLOCKS
    methodologies = Methodologies.of_labels(labels)
    return drawn_system_failure(fails_MN, blocks_N, BLOCKS, methodologies, channels, num_needed, **settings_)


def enumerated(fails_MN, choices, num_needed):
    """Mean over choices of models and over images of "fewer than num_needed work"."""
    working = [len(choice) - fails_MN[list(choice)].sum(0) for choice in choices]
    return np.mean([(w < num_needed).double().mean().item() for w in working])


@pytest.mark.parametrize("num_channels", [1, 2, 5, 12])
def test_equal_chances_give_the_binomial(num_channels):
    found = num_failing_distribution(torch.full((num_channels,), 0.3))
    expected = stats.binom.pmf(np.arange(num_channels + 1), num_channels, np.float32(0.3))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-14)


def test_unequal_chances_give_the_sum_over_all_outcomes():
    chances = [0.1, 0.5, 0.9, 0.35]
    expected = np.zeros(5)
    for outcome in itertools.product([0, 1], repeat=4):
        expected[sum(outcome)] += math.prod(c if o else 1 - c for c, o in zip(chances, outcome, strict=True))
    found = num_failing_distribution(torch.tensor(chances, dtype=torch.float64))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-15)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8))
def test_a_distribution_sums_to_one_with_the_sum_of_chances_as_mean(seed, num_channels):
    chances_NK = some_theta(num_channels, 7, seed).T
    found_NK = num_failing_distribution(chances_NK)
    torch.testing.assert_close(found_NK.sum(1), torch.ones(7, dtype=torch.float64))
    mean_N = found_NK @ torch.arange(num_channels + 1).double()
    torch.testing.assert_close(mean_N, chances_NK.sum(1))


def test_one_out_of_n_fails_as_the_mean_product():
    theta_KN = some_theta(4)
    assert system_failure(theta_KN, 1) == pytest.approx(theta_KN.prod(0).mean().item())


def test_one_out_of_two_is_the_product_of_means_and_the_covariance():
    a_N, b_N = some_theta(2)
    covariance = np.cov(a_N, b_N, bias=True)[0, 1]
    assert one_out_of_two(a_N, b_N) == pytest.approx(a_N.mean().item() * b_N.mean().item() + covariance)


def test_two_out_of_three_is_littlewood_and_millers_formula():
    a_N, b_N, c_N = some_theta(3)
    expected = (a_N * b_N + a_N * c_N + b_N * c_N - 2 * a_N * b_N * c_N).mean().item()
    assert two_out_of_three(a_N, b_N, c_N) == pytest.approx(expected)


def test_all_needed_fails_unless_all_work():
    theta_KN = some_theta(3)
    assert system_failure(theta_KN, 3) == pytest.approx(1 - (1 - theta_KN).prod(0).mean().item())


def test_images_count_by_their_weight():
    theta_KN = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    assert system_failure(theta_KN, 1, torch.tensor([3.0, 1.0])) == 0.25


def test_an_undefined_rate_gives_an_undefined_system():
    assert k_out_of_n_failure(torch.tensor([0.5, torch.nan]), 1).isnan()


@pytest.mark.parametrize(("failing", "models", "drawn"), [(2, 5, 3), (0, 4, 2), (4, 4, 4), (3, 7, 1)])
def test_drawing_from_one_pool_is_hypergeometric(failing, models, drawn):
    found = drawn_failing_distribution(*(torch.tensor([[n]]) for n in (failing, models, drawn)))[0]
    expected = stats.hypergeom.pmf(np.arange(drawn + 1), models, failing, drawn)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-15)


@pytest.mark.parametrize("num_needed", [1, 2, 3])
def test_two_of_one_methodology_and_one_of_another_are_the_mean_over_all_choices(num_needed):
    fails_MN = some_theta(6, 60) < 0.4
    choices = [(i, k, j) for i, k in itertools.combinations(range(4), 2) for j in (4, 5)]
    found = system_of(fails_MN, list("aaaabb"), ("a", "b", "a"), num_needed)
    assert found.value == pytest.approx(enumerated(fails_MN, choices, num_needed))


def test_independence_multiplies_the_mean_rates():
    fails_MN = some_theta(6, 60) < 0.4
    a, b = fails_MN[:4].double().mean().item(), fails_MN[4:].double().mean().item()
    found = system_of(fails_MN, list("aaaabb"), ("a", "a", "b"), 2)
    assert found.independent == pytest.approx(a * a + 2 * a * b - 2 * a * a * b)


def test_drawn_systems_are_unbiased_for_known_difficulty():
    simulated = SimulatedMethodologies((3.0, 1.5), (0.8, -0.5), ability=0.1, taste=0.2)
    rng = torch.Generator().manual_seed(1)
    fails_SMN = torch.stack([simulated.draw((3, 2), 50, rng) for _ in range(1000)])
    failing_SN2 = torch.stack([fails_SMN[:, :3].sum(1), fails_SMN[:, 3:].sum(1)], -1)
    distribution_SNK = drawn_failing_distribution(failing_SN2, torch.tensor([3, 2]), torch.tensor([2, 1]))
    all_fail_S = distribution_SNK[..., 3].mean(1)
    stderr = all_fail_S.std().item() / math.sqrt(1000)
    assert abs(all_fail_S.mean().item() - simulated.moment((2, 1))) < 4 * stderr


@pytest.mark.slow
def test_drawn_systems_cover_the_truth():
    simulated = SimulatedMethodologies((3.0, 1.5), (0.8, -0.5), ability=0.1, taste=0.2)
    rng = torch.Generator().manual_seed(2)
    truth, hits = simulated.moment((2, 1)), 0
    for _ in range(150):
        found = system_of(simulated.draw((5, 4), 500, rng), list("aaaaabbbb"), ("a", "a", "b"), 1)
        hits += found.low <= truth <= found.high
    assert hits / 150 > 0.92 - 2 * math.sqrt(0.92 * 0.08 / 150)


def test_three_of_two_models_are_not_identified():
    found = system_of(some_theta(3, 40) < 0.4, list("aab"), ("a", "a", "a"), 1)
    assert math.isnan(found.value)
    assert found.note == "not identified: needs different models, 3 of a"


def test_a_system_that_never_failed_has_clopper_pearsons_interval():
    found = system_of(torch.zeros(6, 100, dtype=torch.bool), list("aaabbb"), ("a", "b"), 1)
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(stats.binomtest(0, 100).proportion_ci(method="exact").high)
    assert "no failure in 100 images; a rate below 0.001 needs 2995 without one" in found.note


def test_an_unknown_methodology_is_named():
    with pytest.raises(UserError, match="found 'vitt'; did you mean 'vit'"):
        system_of(some_theta(2, 40) < 0.4, ["cnn", "vit"], ("cnn", "vitt"), 1)


@pytest.mark.parametrize("num_needed", [0, 3])
def test_a_system_needs_between_one_and_all_channels(num_needed):
    with pytest.raises(UserError, match="expected a number of working channels needed from 1 to 2"):
        k_out_of_n_failure(torch.tensor([0.1, 0.2]), num_needed)


def test_percentages_are_no_chances():
    with pytest.raises(UserError, match=r"expected chances of failing from 0 to 1, found 0\.5 to 30\.0"):
        num_failing_distribution(torch.tensor([0.5, 30.0]))
