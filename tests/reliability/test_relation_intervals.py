"""The interval of a relation is its formula written as loops, and says when it is none."""

import math

import pytest
import torch
from scipy import stats

from nversion.core import UserError
from nversion.ensembles import Ensembles
from nversion.reliability import relation, relation_interval

nan = math.nan
SEVEN = Ensembles.all_of(7, 3)


def numbers(ensembles, num_blocks, seed, noise=1.0):
    """Three correlated numbers of each ensemble: sums of member values, with and without each block."""
    rng = torch.Generator().manual_seed(seed)
    member_3M = torch.randn(3, ensembles.num_models, generator=rng, dtype=torch.float64)
    member_3M[1] += member_3M[0]
    whole_3E = member_3M[:, ensembles.members_EK].sum(-1)
    whole_3E = whole_3E + noise * torch.randn(whole_3E.shape, generator=rng)
    shift = 0.02 * torch.randn(num_blocks, *whole_3E.shape, generator=rng)
    return whole_3E, (whole_3E + shift).transpose(0, 1)


def interval_of(ensembles, num_blocks=10, seed=0, noise=1.0, **options):
    (x, y, z), (xb, yb, zb) = numbers(ensembles, num_blocks, seed, noise)
    members_EK, num_models = ensembles.members_EK, ensembles.num_models
    return relation_interval(x, y, z, xb, yb, zb, members_EK, num_models, **options)


@pytest.mark.parametrize("name", ["pearson", "spearman", "partial", "slope"])
def test_the_interval_is_its_formula_written_as_loops(name):
    whole, without = numbers(SEVEN, 10, seed=0)
    scale, back = (float, float) if name == "slope" else (math.atanh, math.tanh)
    of_blocks = [scale(relation(*without[:, block])[name]) for block in range(10)]
    of_models = [scale(relation(*whole[:, SEVEN.without_model(model)])[name]) for model in range(7)]
    variance = 0.0
    for replicates in (of_blocks, of_models):
        mean = sum(replicates) / len(replicates)
        variance += sum((r - mean) ** 2 for r in replicates) * (1 - 1 / len(replicates))
    half = stats.t.ppf(0.95, 6) * math.sqrt(variance)
    centre = scale(relation(*whole)[name])

    estimate = interval_of(SEVEN, confidence=0.9)[name]
    assert estimate.value == pytest.approx(back(centre), abs=1e-12)
    assert (estimate.low, estimate.high) == pytest.approx(
        (back(centre - half), back(centre + half)), abs=1e-9
    )
    assert (estimate.n_ensembles, estimate.note) == (35, "")


def test_without_z_there_is_no_partial_correlation():
    (x, y, _), (xb, yb, _) = numbers(SEVEN, 5, seed=1)
    estimates = relation_interval(x, y, None, xb, yb, None, SEVEN.members_EK, 7)
    assert set(estimates) == {"pearson", "spearman", "slope"}


@pytest.mark.parametrize("name", ["pearson", "spearman", "partial"])
def test_an_interval_of_a_correlation_stays_within_one(name):
    estimate = interval_of(Ensembles.all_of(5, 2), seed=3, noise=0.1, confidence=0.999)[name]
    assert -1 <= estimate.low <= estimate.value <= estimate.high <= 1


def test_an_ensemble_with_a_nan_is_dropped_and_said_so():
    (x, y, z), (xb, yb, zb) = numbers(SEVEN, 5, seed=1)
    x[4], xb[:, 4] = nan, nan
    estimate = relation_interval(x, y, z, xb, yb, zb, SEVEN.members_EK, 7)["pearson"]
    assert estimate.n_ensembles == 34
    assert estimate.note == "dropped 1 of 35 ensembles with an undefined number"
    kept = torch.arange(35) != 4
    members_EK = SEVEN.members_EK[kept]
    expected = relation_interval(
        x[kept], y[kept], z[kept], xb[:, kept], yb[:, kept], zb[:, kept], members_EK, 7
    )["pearson"]
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_numbers_on_a_line_everywhere_have_the_interval_of_one_point():
    (x, _, _), (xb, _, _) = numbers(SEVEN, 5, seed=2)
    estimates = relation_interval(x, 1 - 3 * x, None, xb, 1 - 3 * xb, None, SEVEN.members_EK, 7)
    for name in ("pearson", "spearman"):
        assert (estimates[name].low, estimates[name].high) == (-1.0, -1.0)
        assert estimates[name].note == "all points lie on a line, without any block or model too"
    assert (estimates["slope"].low, estimates["slope"].high) == pytest.approx((-3, -3))


def test_numbers_on_a_line_that_other_images_leave_have_no_interval():
    (x, _, _), (xb, yb, _) = numbers(SEVEN, 5, seed=2)
    estimate = relation_interval(x, 2 * x, None, xb, yb, None, SEVEN.members_EK, 7)["pearson"]
    assert estimate.value == 1.0
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)
    assert estimate.note == "no interval: all points lie on a line"


def test_a_replicate_on_a_line_leaves_the_correlation_open():
    (x, y, _), (xb, yb, _) = numbers(SEVEN, 5, seed=2)
    yb = yb.clone()
    yb[3] = xb[3]
    estimate = relation_interval(x, y, None, xb, yb, None, SEVEN.members_EK, 7)["pearson"]
    assert (estimate.low, estimate.high) == (-1.0, 1.0)
    assert estimate.note == "all points lie on a line without some block or model"


def test_constant_numbers_have_no_relation():
    (x, _, _), (xb, _, _) = numbers(SEVEN, 5, seed=2)
    same, same_b = torch.full_like(x, 0.1), torch.full_like(xb, 0.1)
    estimate = relation_interval(same, x, None, same_b, xb, None, SEVEN.members_EK, 7)["slope"]
    assert math.isnan(estimate.value)
    assert estimate.note == "undefined: too few ensembles or constant numbers"


def test_two_models_give_the_interval_over_images_only():
    members_EK = torch.tensor([[0], [1], [0], [1], [0]])
    x = torch.tensor([1.0, 2.0, 4.0, 3.0, 5.0])
    xb, yb = x + torch.tensor([[0.1], [-0.1], [0.0]]) * x**2, x.sin().expand(3, 5)
    estimate = relation_interval(x, x.sin(), None, xb, yb, None, members_EK, 2)["slope"]
    assert estimate.note == "fewer than 3 models: the interval covers other images only"
    of_blocks = relation(xb, yb)["slope"]
    stderr = math.sqrt(2 / 3 * ((of_blocks - of_blocks.mean()) ** 2).sum())
    half = stats.t.ppf(0.975, 2) * stderr
    assert estimate.high - estimate.low == pytest.approx(2 * half)


def test_too_few_ensembles_without_one_model_give_no_interval():
    estimate = interval_of(Ensembles.all_of(4, 3))["pearson"]
    assert math.isfinite(estimate.value)
    assert math.isnan(estimate.low)
    assert estimate.note == (
        "undefined without one model in 4 of 4 cases; "
        "no interval: too few ensembles without one model or block"
    )


def test_some_undefined_replicates_are_said_in_the_note():
    (x, y, _), (xb, yb, _) = numbers(SEVEN, 8, seed=4)
    xb = xb.clone()
    xb[2] = 0.5
    estimate = relation_interval(x, y, None, xb, yb, None, SEVEN.members_EK, 7)["pearson"]
    assert estimate.low < estimate.value < estimate.high
    assert estimate.note == "undefined without one block of images in 1 of 8 cases"


def test_renaming_the_models_changes_no_interval():
    (x, y, z), (xb, yb, zb) = numbers(SEVEN, 6, seed=5)
    renamed_EK = torch.tensor([3, 5, 0, 6, 1, 2, 4])[SEVEN.members_EK]
    estimates = relation_interval(x, y, z, xb, yb, zb, SEVEN.members_EK, 7)
    renamed = relation_interval(x, y, z, xb, yb, zb, renamed_EK, 7)
    for name, estimate in estimates.items():
        assert (renamed[name].low, renamed[name].high) == pytest.approx((estimate.low, estimate.high))


def test_numbers_of_other_ensembles_are_refused():
    (x, y, _), (xb, yb, _) = numbers(SEVEN, 5, seed=1)
    with pytest.raises(UserError, match=r"expected x, y, z of shape \(E,\).*found \(35,\), \(34,\), None"):
        relation_interval(x, y[1:], None, xb, yb, None, SEVEN.members_EK, 7)


def test_z_without_its_replicates_is_refused():
    (x, y, z), (xb, yb, _) = numbers(SEVEN, 5, seed=1)
    with pytest.raises(UserError, match="replicates of each"):
        relation_interval(x, y, z, xb, yb, None, SEVEN.members_EK, 7)


def test_a_member_outside_the_models_is_refused():
    (x, y, _), (xb, yb, _) = numbers(SEVEN, 5, seed=1)
    with pytest.raises(UserError, match="expected members in 0 to 5, found 0 to 6"):
        relation_interval(x, y, None, xb, yb, None, SEVEN.members_EK, 6)


def test_one_block_is_not_enough():
    with pytest.raises(UserError, match="expected at least two blocks with samples, found 1"):
        interval_of(SEVEN, num_blocks=1)


def test_a_percentage_is_no_confidence():
    with pytest.raises(UserError, match="expected a confidence between 0 and 1, found 95"):
        interval_of(SEVEN, confidence=95)
