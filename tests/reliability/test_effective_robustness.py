"""Effective robustness: the line by numpy, known residuals, intervals by definition, their coverage."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from nversion.core import UserError
from nversion.reliability import effective_robustness, group_robustness

NUM_BLOCKS = 20


def counts(rng, x_M, y_M, num_images=2000, shared=0.7):
    """Right answers per block of models with probits x (clean) and y: images are hard for all alike."""
    hard_N = math.sqrt(shared) * rng.normal(size=num_images)

    def right_BM(probit_M):
        own_MN = math.sqrt(1 - shared) * rng.normal(size=(len(probit_M), num_images))
        right_MN = hard_N + own_MN < np.asarray(probit_M)[:, None]
        return torch.from_numpy(right_MN.reshape(len(probit_M), NUM_BLOCKS, -1).sum(-1).T.astype(float))

    count_B = torch.full((NUM_BLOCKS,), num_images / NUM_BLOCKS, dtype=torch.float64)
    return right_BM(x_M), right_BM(y_M), count_B


def by_numpy(clean_M, right_M, n):
    """The oracle: probits by scipy, the line by numpy."""
    x_M, y_M = (stats.norm.ppf((k + 0.5) / (n + 1)) for k in (np.asarray(clean_M), np.asarray(right_M)))
    slope, intercept = np.polyfit(x_M, y_M, 1)
    line_M = intercept + slope * x_M
    points_M = (np.asarray(right_M) + 0.5) / n - stats.norm.cdf(line_M) * (n + 1) / n
    return slope, intercept, y_M - line_M, points_M


@pytest.fixture
def pool():
    rng = np.random.default_rng(0)
    x_M = rng.normal(0.5, 0.4, 8)
    return counts(rng, x_M, -0.4 + 0.9 * x_M + rng.normal(0, 0.1, 8))


def test_residuals_are_those_of_numpys_line(pool):
    clean_BM, right_BM, _ = pool
    found = effective_robustness(*pool)
    slope, intercept, probit_M, points_M = by_numpy(clean_BM.sum(0), right_BM.sum(0), 2000)
    assert (found.slope, found.intercept) == pytest.approx((slope, intercept))
    assert found.residual_probit_M.tolist() == pytest.approx(probit_M.tolist())
    assert found.residual_points_M.tolist() == pytest.approx(points_M.tolist())
    assert found.residual_points_M.equal(found.top1_M - found.expected_top1_M)
    assert found.top1_M.tolist() == pytest.approx((right_BM.sum(0) / 2000).tolist())


def test_models_on_a_line_have_no_residual_and_one_above_it_has_its_own():
    # Probits as exact as a billion images hold them: the line y = x − 1 and one model 0.3 above.
    n, x_M = 1e9, np.linspace(-1, 1, 9)
    y_M = x_M - 1 + np.where(np.arange(9) == 4, 0.3, 0)
    clean_BM, right_BM = (
        torch.from_numpy(np.tile(np.round(stats.norm.cdf(p) * n) / NUM_BLOCKS, (NUM_BLOCKS, 1)))
        for p in (x_M, y_M)
    )
    found = effective_robustness(clean_BM, right_BM, torch.full((NUM_BLOCKS,), n / NUM_BLOCKS))
    # The middle one lifts the whole line by a ninth of 0.3 and does not turn it.
    expected_M = np.where(np.arange(9) == 4, 0.3 * 8 / 9, -0.3 / 9)
    assert found.slope == pytest.approx(1, abs=1e-6)
    assert found.residual_probit_M.tolist() == pytest.approx(expected_M.tolist(), abs=1e-6)
    assert found.residual_points_M[4].item() == pytest.approx(
        stats.norm.cdf(-1 + 0.3) - stats.norm.cdf(-1 + 0.3 / 9), abs=1e-6
    )


def test_the_interval_is_that_of_both_jackknives_by_loops(pool):
    clean_BM, right_BM, _ = pool
    found = effective_robustness(*pool)
    full_M = by_numpy(clean_BM.sum(0), right_BM.sum(0), 2000)[3]
    blocks = np.array(
        [
            by_numpy(clean_BM.sum(0) - clean_BM[b], right_BM.sum(0) - right_BM[b], 1900)[3]
            for b in range(NUM_BLOCKS)
        ]
    )
    variance_M = (NUM_BLOCKS - 1) / NUM_BLOCKS * ((blocks - blocks.mean(0)) ** 2).sum(0)
    x_M, y_M = (stats.norm.ppf((k.sum(0).numpy() + 0.5) / 2001) for k in (clean_BM, right_BM))
    models = []
    for m in range(8):
        others = np.arange(8) != m
        line_M = np.polyval(np.polyfit(x_M[others], y_M[others], 1), x_M)
        models.append(stats.norm.cdf(y_M) - stats.norm.cdf(line_M) * 2001 / 2000)
    variance_M += 7 / 8 * ((models - np.mean(models, 0)) ** 2).sum(0)
    reach_M = stats.t.ppf(0.975, 6) * np.sqrt(variance_M)
    assert found.low_M.tolist() == pytest.approx((full_M - reach_M).tolist())
    assert found.high_M.tolist() == pytest.approx((full_M + reach_M).tolist())


def test_all_and_no_images_right_stay_finite():
    clean_BM = torch.tensor([[50.0, 30, 20, 10]] * 2)
    right_BM = torch.tensor([[50.0, 20, 10, 0]] * 2)
    found = effective_robustness(clean_BM, right_BM, torch.tensor([50.0, 50.0]))
    _, _, probit_M, _ = by_numpy([100, 60, 40, 20], [100, 40, 20, 0], 100)
    assert found.residual_probit_M.tolist() == pytest.approx(probit_M.tolist())
    assert found.residual_points_M.isfinite().all() and found.low_M.isfinite().all()
    assert (found.expected_top1_M >= 0).all() and (found.expected_top1_M <= 1).all()


def test_two_models_have_no_line():
    found = effective_robustness(*(x[..., :2] for x in counts(np.random.default_rng(0), [0, 1], [0, 1])[:2]),
                                 torch.full((NUM_BLOCKS,), 100.0))  # fmt: skip
    assert found.note == "fewer than 3 models: no line to be above or below"
    for numbers in (found.residual_points_M, found.residual_probit_M, found.expected_top1_M, found.low_M):
        assert numbers.isnan().all()
    assert found.top1_M.isfinite().all()
    (group,) = group_robustness(found, ["CNN", "CNN"])
    assert math.isnan(group.residual_points) and group.note == found.note


def test_equal_clean_accuracies_have_no_line():
    right_BM = torch.tensor([[5.0, 6, 7]] * 4)
    found = effective_robustness(torch.full((4, 3), 8.0), right_BM, torch.full((4,), 10.0))
    assert found.note == "all models have the same clean accuracy: no line"
    assert found.residual_points_M.isnan().all() and math.isnan(found.slope)


def test_a_groups_mean_and_interval_by_hand(pool):
    found = effective_robustness(*pool)
    groups = ["CNN", "ViT", "CNN", "CNN", "ViT", "MLP", "ViT", "CNN"]
    by_name = {group.group: group for group in group_robustness(found, groups)}
    assert list(by_name) == ["CNN", "ViT", "MLP"]
    chosen = [0, 2, 3, 7]
    residuals = found.residual_points_M[chosen].numpy()
    without = found.residual_points_BM[:, chosen].mean(1).numpy()
    images = (NUM_BLOCKS - 1) / NUM_BLOCKS * ((without - without.mean()) ** 2).sum()
    reach = stats.t.ppf(0.975, 3) * math.sqrt(residuals.var(ddof=1) / 4 + images)
    cnn = by_name["CNN"]
    assert (cnn.n_models, cnn.note) == (4, "")
    assert (cnn.low, cnn.high) == pytest.approx((residuals.mean() - reach, residuals.mean() + reach))
    assert cnn.residual_points == pytest.approx(residuals.mean())


def test_a_group_of_one_has_the_images_interval_and_says_so(pool):
    found = effective_robustness(*pool)
    alone = group_robustness(found, ["a"] * 7 + ["b"])[1]
    assert alone.note == "fewer than 3 models: the interval covers other images only"
    without = found.residual_points_BM[:, 7].numpy()
    stderr = math.sqrt((NUM_BLOCKS - 1) / NUM_BLOCKS * ((without - without.mean()) ** 2).sum())
    assert alone.high - alone.low == pytest.approx(2 * stats.t.ppf(0.975, NUM_BLOCKS - 1) * stderr)


def test_one_group_of_all_models_has_no_interval(pool):
    (everyone,) = group_robustness(effective_robustness(*pool), ["CNN"] * 8)
    assert everyone.note == "all models are in this group: their mean residual is zero by construction"
    assert abs(everyone.residual_points) < 0.005 and math.isnan(everyone.low)


def test_residuals_in_probits_have_mean_zero(pool):
    assert effective_robustness(*pool).residual_probit_M.mean().item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("num_models", [4, 8, 14])
def test_coverage_of_95_percent_intervals(num_models):
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(100):
        x_M = rng.normal(0.5, 0.4, num_models)
        y_M = -0.4 + 0.9 * x_M + rng.normal(0, 0.1, num_models)
        found = effective_robustness(*counts(rng, x_M, y_M))
        true_M = stats.norm.cdf(y_M) - stats.norm.cdf(-0.4 + 0.9 * x_M)
        covered.append((found.low_M.numpy() <= true_M) & (true_M <= found.high_M.numpy()))
    print(f"M = {num_models}: {np.mean(covered):.3f}")
    assert 0.93 <= np.mean(covered) <= 0.995


def test_shapes_that_do_not_fit_are_refused(pool):
    clean_BM, right_BM, count_B = pool
    with pytest.raises(UserError, match=r"a count for each block, found \(20, 8\), \(20, 7\), \(20,\)"):
        effective_robustness(clean_BM, right_BM[:, :7], count_B)
    with pytest.raises(UserError, match="a group for each of 8 models, found 2"):
        group_robustness(effective_robustness(*pool), ["a", "b"])
