"""The interval over models and images: exact in its special cases, and covering in simulations."""

import math

import pytest
import torch
from scipy import integrate, stats

from nversion.diversity import PairCounts
from nversion.reliability import (
    Methodologies,
    SimulatedMethodologies,
    block_jackknife_stderr,
    methodology_estimates,
    models_and_images_interval,
)

NUM_BLOCKS = 20


def interval_of_mean(cells_MB, groups=None):
    """The mean over models and blocks of cell values, every block of one image."""
    groups = torch.ones(1, len(cells_MB)) if groups is None else groups

    def mean(membership_GM):
        rate_M = torch.cat([cells_MB.mean(1, keepdim=True), without_each_block], 1).T
        return (rate_M @ membership_GM.T.double()) / membership_GM.sum(1)

    num_blocks = cells_MB.shape[1]
    without_each_block = (cells_MB.sum(1, keepdim=True) - cells_MB) / (num_blocks - 1)
    return models_and_images_interval(mean, groups, torch.ones(num_blocks))


def random_cells(num_models, seed=0):
    return torch.rand(num_models, NUM_BLOCKS, generator=torch.Generator().manual_seed(seed)).double()


def test_models_that_differ_alone_give_students_interval_of_their_means():
    ability_M = torch.tensor([0.1, 0.5, 0.2, 0.4]).double()
    found = interval_of_mean(ability_M[:, None].expand(4, NUM_BLOCKS))
    low, high = stats.t.interval(0.95, 3, ability_M.mean(), stats.sem(ability_M))
    assert (found.low.item(), found.high.item()) == pytest.approx((low, high))


def test_images_that_differ_alone_give_students_interval_of_their_means():
    difficulty_B = random_cells(1)[0]
    found = interval_of_mean(difficulty_B.expand(5, NUM_BLOCKS))
    low, high = stats.t.interval(0.95, NUM_BLOCKS - 1, difficulty_B.mean(), stats.sem(difficulty_B))
    assert (found.low.item(), found.high.item()) == pytest.approx((low, high))


def test_the_chance_of_a_model_on_an_image_is_counted_once_as_in_a_two_way_table():
    cells_MB = random_cells(4) + torch.linspace(0, 2, NUM_BLOCKS)  # so that images vary more than chance
    m, blocks = cells_MB.shape
    row_M, column_B, mean = cells_MB.mean(1), cells_MB.mean(0), cells_MB.mean()
    residual_MB = cells_MB - row_M[:, None] - column_B + mean
    models = row_M.var() / m
    images = column_B.var() / blocks
    both = (residual_MB**2).sum() / ((m - 1) * (blocks - 1)) / (m * blocks)
    half = math.sqrt(
        stats.t.ppf(0.975, m - 1) ** 2 * models + stats.t.ppf(0.975, blocks - 1) ** 2 * (images - both)
    )
    found = interval_of_mean(cells_MB)
    assert (found.high - found.value).item() == pytest.approx(half)


def test_two_models_leave_the_interval_of_other_images():
    cells_MB = random_cells(2)
    found = interval_of_mean(cells_MB)
    half = stats.t.ppf(0.975, NUM_BLOCKS - 1) * stats.sem(cells_MB.mean(0))
    assert (found.high - found.value).item() == pytest.approx(half)


def test_an_empty_block_changes_nothing():
    cells_MB = random_cells(4)
    without_block = (cells_MB.sum(1, keepdim=True) - cells_MB) / (NUM_BLOCKS - 1)

    def mean(membership_GM, columns):
        rate_M = torch.cat([cells_MB.mean(1, keepdim=True), columns], 1).T
        return (rate_M @ membership_GM.T) / membership_GM.sum(1)

    padded = torch.cat([without_block, cells_MB.mean(1, keepdim=True)], 1)
    count_B = torch.cat([torch.ones(NUM_BLOCKS), torch.zeros(1)])
    group = torch.ones(1, 4)
    found = models_and_images_interval(lambda g: mean(g, padded), group, count_B)
    plain = models_and_images_interval(lambda g: mean(g, without_block), group, count_B[:-1])
    assert found.low.item() == pytest.approx(plain.low.item())


def test_an_undefined_replicate_is_left_out_and_counted():
    cells_MB = random_cells(5)
    without_block = (cells_MB.sum(1, keepdim=True) - cells_MB) / (NUM_BLOCKS - 1)

    def mean(membership_GM):
        rate_M = torch.cat([cells_MB.mean(1, keepdim=True), without_block], 1).T
        value = (rate_M @ membership_GM.T) / membership_GM.sum(1)
        return torch.full_like(value, torch.nan) if not membership_GM[0, 2] else value

    found = models_and_images_interval(mean, torch.ones(1, 5), torch.ones(NUM_BLOCKS))
    assert found.num_undefined.item() == 1
    assert found.low.isfinite().all()


def test_simulated_moments_are_the_beta_distributions():
    simulated = SimulatedMethodologies((4.0, 1.5), (0.8, 0.3))
    assert simulated.moment((3, 0)) == pytest.approx(stats.beta(1, 4).moment(3), abs=1e-9)
    assert simulated.covariance(1, 1) == pytest.approx(stats.beta(1, 1.5).var(), abs=1e-9)


def test_simulated_opposites_have_the_joint_moment_of_opposite_quantiles():
    simulated = SimulatedMethodologies((4.0, 3.0), (1.0, -1.0))
    quantile = [stats.beta(1, b).ppf for b in (4.0, 3.0)]
    expected, _ = integrate.quad(lambda u: quantile[0](u) * quantile[1](1 - u), 0, 1)
    assert simulated.moment((1, 1)) == pytest.approx(expected, abs=1e-7)


def test_simulated_models_fail_as_often_as_the_difficulty_says():
    simulated = SimulatedMethodologies((4.0, 3.0), (0.8, 0.0), ability=0.1, taste=0.2)
    fails_MN = simulated.draw((400, 400), 2000, torch.Generator().manual_seed(0))
    assert fails_MN[:400].double().mean().item() == pytest.approx(1 / 5, abs=0.02)
    assert fails_MN[400:].double().mean().item() == pytest.approx(1 / 4, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("num_models", [3, 5, 10, 20])
@pytest.mark.parametrize(
    ("num_images", "ability", "taste"), [(1000, 0.0, 0.0), (5000, 0.02, 0.0), (2000, 0.1, 0.2)]
)
def test_intervals_cover_the_truth_about_as_often_as_they_say(num_models, num_images, ability, taste):
    """`recipes/reliability_coverage.py` prints the table, with 500 simulations a row."""
    simulated = SimulatedMethodologies((4.0, 3.0), (0.8, -0.8), ability, taste)
    truth = {
        "mean_failure": simulated.moment((1, 0)),
        "joint_failure": simulated.moment((1, 1)),
        "covariance": simulated.covariance(0, 1),
        "joint_less_two_of_a": simulated.moment((1, 1)) - simulated.moment((2, 0)),
    }
    methodologies = Methodologies.of_labels(["A"] * num_models + ["B"] * num_models)
    rng = torch.Generator().manual_seed(num_models)
    blocks_N = torch.arange(num_images) * 50 // num_images
    hits = dict.fromkeys(truth, 0)
    for _ in range(200):
        right_MN = ~simulated.draw((num_models, num_models), num_images, rng)
        counts = PairCounts.from_right(right_MN, blocks_N, 50)
        for row in methodology_estimates(counts.both_wrong_BMM, counts.count_B, methodologies):
            pair = "AA" if row.quantity == "mean_failure" else "AB"
            if row.quantity in truth and row.methodology_a + row.methodology_b == pair:
                hits[row.quantity] += row.low <= truth[row.quantity] <= row.high
    # Two standard errors of 200 draws below 92 %: the table's 500 are the finer measure.
    assert min(hits.values()) / 200 > 0.92 - 2 * math.sqrt(0.92 * 0.08 / 200)


def test_one_t_for_both_variances_would_be_too_wide_where_images_dominate():
    # Three models that hardly differ: the plain recipe's 4.3 standard errors instead of about 2.
    cells_MB = random_cells(1).repeat(3, 1) + 1e-3 * random_cells(3, seed=1)
    found = interval_of_mean(cells_MB)
    images = block_jackknife_stderr(
        cells_MB.mean(), (cells_MB.mean(0).sum() - cells_MB.mean(0)) / (NUM_BLOCKS - 1)
    ).item()
    assert (found.high - found.value).item() == pytest.approx(2.09 * images, rel=0.02)
