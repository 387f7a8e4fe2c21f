"""Every registered ensemble metric: published numbers, definitions sample by sample, identities, bounds."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from nversion.core import UserError
from nversion.diversity import (
    METRICS,
    FailureCounts,
    PairCounts,
    ensemble_mean,
    evaluate_failures,
    metric,
    metrics_of,
)
from nversion.ensembles import Ensembles

# Kuncheva and Whitaker, "Measures of diversity in classifier ensembles", Machine Learning 51, 2003:
# their example of 15 samples (rows) × 10 classifiers (columns), 1 = right.
KUNCHEVA_WHITAKER = """
1000001000 0100101000 1011010110 1001110011 1101110001
1111010000 1010001011 0000100001 0010011001 0100100000
0000010011 1011000001 0101100110 1011111010 1111001001
"""
PUBLISHED = {
    "kohavi_wolpert": 0.2200,
    "kappa": 0.0079,
    "entropy": 0.7200,
    "difficulty": 0.0264,
    "generalised_diversity": 0.4365,
    "coincident_failure": 0.4889,
}

every_metric = pytest.mark.parametrize(
    "metric", metrics_of("failure counts").values(), ids=list(metrics_of("failure counts"))
)
every_size = pytest.mark.parametrize("size", [2, 3, 4, 5])
histogram = st.lists(st.integers(0, 30), min_size=3, max_size=7)


def random_right(num_models, num_samples, num_blocks, seed):
    """Models of different accuracy that fail together more often than by chance."""
    rng = np.random.default_rng(seed)
    ease_N = rng.normal(size=num_samples)
    right_MN = (
        ease_N + rng.normal(size=(num_models, num_samples)) + np.linspace(0, 1, num_models)[:, None] > 0
    )
    return torch.from_numpy(right_MN), torch.from_numpy(rng.integers(num_blocks, size=num_samples))


def values_of(right_MN, ensembles):
    blocks_N = torch.zeros(right_MN.shape[1], dtype=torch.int64)
    return {
        name: values.full_E
        for name, values in evaluate_failures(
            FailureCounts.from_right(right_MN, blocks_N, 1, ensembles)
        ).items()
    }


def pair_means(right_MN, ensembles, name):
    blocks_N = torch.zeros(right_MN.shape[1], dtype=torch.int64)
    table = PairCounts.from_right(right_MN, blocks_N, 1).total()
    return ensemble_mean(METRICS[name].function(*table), ensembles)[0]


def sample_by_sample(right_KN):
    """The definitions as loops over samples; l is the number of right members of a sample."""
    size, num_samples = right_KN.shape
    right_N = right_KN.sum(0)
    accuracy = right_KN.mean()
    chance = accuracy**2 + (1 - accuracy) ** 2
    # Fleiss: agreeing pairs of members on each sample, against chance.
    pairs = size * (size - 1)
    agreeing = np.mean([(n * (n - 1) + (size - n) * (size - n - 1)) / pairs for n in right_N])
    one_fails = np.mean([(size - n) / size for n in right_N])
    two_fail = np.mean([(size - n) * (size - n - 1) / pairs for n in right_N])
    somebody_failed = right_N[right_N < size]
    return {
        "entropy": np.mean([min(n, size - n) / (size - int(np.ceil(size / 2))) for n in right_N]),
        "kohavi_wolpert": sum(n * (size - n) for n in right_N) / (num_samples * size**2),
        "kappa": (agreeing - chance) / (1 - chance),
        "difficulty": np.var(right_N / size),
        "generalised_diversity": 1 - two_fail / one_fails,
        "coincident_failure": np.mean([n / (size - 1) for n in somebody_failed]),
    }


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_example_gives_the_published_value(name):
    rows = [[int(digit) for digit in row] for row in KUNCHEVA_WHITAKER.split()]
    right_MN = torch.tensor(rows, dtype=torch.bool).T
    assert round(values_of(right_MN, Ensembles.all_of(10, 10))[name].item(), 4) == PUBLISHED[name]


@every_size
@pytest.mark.parametrize("name", PUBLISHED)
def test_values_are_the_definitions_sample_by_sample(name, size):
    right_MN, _ = random_right(7, 60, 1, seed=size)
    ensembles = Ensembles.all_of(7, size)
    expected = [sample_by_sample(right_MN.numpy()[m])[name] for m in ensembles.members_EK.tolist()]
    np.testing.assert_allclose(values_of(right_MN, ensembles)[name], expected, atol=1e-12)


@every_size
@given(seed=st.integers(0, 9999))
@settings(max_examples=20)
def test_kohavi_wolpert_is_its_share_of_the_mean_disagreement(size, seed):
    right_MN, _ = random_right(6, 40, 1, seed)
    ensembles = Ensembles.all_of(6, size)
    expected_E = (size - 1) / (2 * size) * pair_means(right_MN, ensembles, "disagreement")
    torch.testing.assert_close(values_of(right_MN, ensembles)["kohavi_wolpert"], expected_E)


@every_size
@given(seed=st.integers(0, 9999))
@settings(max_examples=20)
def test_difficulty_and_kohavi_wolpert_share_the_variance_of_right_and_wrong(size, seed):
    right_MN, _ = random_right(6, 40, 1, seed)
    ensembles = Ensembles.all_of(6, size)
    values = values_of(right_MN, ensembles)
    accuracy_E = right_MN.double().mean(1)[ensembles.members_EK].mean(1)
    total_E = values["difficulty"] + values["kohavi_wolpert"]
    torch.testing.assert_close(total_E, accuracy_E * (1 - accuracy_E))


@every_size
@given(seed=st.integers(0, 9999))
@settings(max_examples=20)
def test_kappa_is_disagreement_over_what_chance_gives(size, seed):
    right_MN, _ = random_right(6, 40, 1, seed)
    ensembles = Ensembles.all_of(6, size)
    accuracy_E = right_MN.double().mean(1)[ensembles.members_EK].mean(1)
    disagreement_E = pair_means(right_MN, ensembles, "disagreement")
    expected_E = 1 - disagreement_E / (2 * accuracy_E * (1 - accuracy_E))
    torch.testing.assert_close(values_of(right_MN, ensembles)["kappa"], expected_E)


@every_size
@given(seed=st.integers(0, 9999))
@settings(max_examples=20)
def test_generalised_diversity_is_double_fault_over_the_mean_failure(size, seed):
    right_MN, _ = random_right(6, 40, 1, seed)
    ensembles = Ensembles.all_of(6, size)
    failure_E = (~right_MN).double().mean(1)[ensembles.members_EK].mean(1)
    expected_E = 1 - pair_means(right_MN, ensembles, "double_fault") / failure_E
    torch.testing.assert_close(values_of(right_MN, ensembles)["generalised_diversity"], expected_E)


@pytest.mark.parametrize(("size", "values"), [(2, [0, 1, 0]), (3, [0, 1, 1, 0]), (4, [0, 0.5, 1, 0.5, 0])])
def test_entropy_is_one_where_the_minority_is_as_large_as_it_can_be(size, values):
    one_sample_K1 = torch.eye(size + 1, dtype=torch.float64)
    assert METRICS["entropy"].function(one_sample_K1).tolist() == values


def test_p0_is_the_share_on_which_none_fails():
    two_right_one_alone = torch.tensor([2.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    assert METRICS["coincident_failure"].function(two_right_one_alone) == 1.0
    assert METRICS["generalised_diversity"].function(two_right_one_alone) == 1.0


@every_metric
@given(histogram)
@settings(max_examples=50)
def test_values_are_nan_or_within_the_stated_bounds(metric, counts):
    low, high = metric.bounds(len(counts) - 1)
    value = metric.function(torch.tensor(counts, dtype=torch.float64))
    assert value.isnan() or low - 1e-12 <= value <= high + 1e-12


@every_metric
@every_size
def test_both_bounds_are_attained(metric, size):
    alike_K1 = torch.zeros(size + 1, dtype=torch.float64)
    alike_K1[[0, size]] = 5.0
    values = metric.function(torch.vstack([torch.eye(size + 1, dtype=torch.float64), alike_K1]))
    defined = values[~values.isnan()]
    assert (defined.min().item(), defined.max().item()) == pytest.approx(metric.bounds(size), abs=1e-12)


@every_metric
@every_size
def test_the_bounds_of_pairs_hold_for_every_size(metric, size):
    (widest_low, widest_high), (low, high) = metric.bounds(), metric.bounds(size)
    assert widest_low <= low < high <= widest_high


@every_metric
@every_size
def test_identical_models_are_the_least_diverse(metric, size):
    right_MN = torch.tensor([[True, False, True, False]]).repeat(size, 1)
    low, high = metric.bounds(size)
    least = low if metric.higher_is_more_diverse else high
    assert values_of(right_MN, Ensembles.all_of(size, size))[metric.name].item() == least


@every_metric
@every_size
def test_failing_one_at_a_time_is_more_diverse_than_failing_together(metric, size):
    together, apart = torch.zeros(2, size + 1, dtype=torch.float64)
    together[0], together[size] = 3 * size, 2  # both lines: 2·size failures on 3·size + 2 samples
    apart[0], apart[1] = size + 2, 2 * size
    more_diverse = metric.function(apart) > metric.function(together)
    assert more_diverse == metric.higher_is_more_diverse


@every_metric
def test_no_sample_gives_nan(metric):
    assert metric.function(torch.zeros(4, dtype=torch.float64)).isnan()


@pytest.mark.parametrize(
    ("name", "all_right", "all_wrong"),
    [
        ("entropy", 0.0, 0.0),
        ("kohavi_wolpert", 0.0, 0.0),
        ("kappa", np.nan, np.nan),
        ("difficulty", 0.0, 0.0),
        ("generalised_diversity", np.nan, 0.0),
        ("coincident_failure", 0.0, 0.0),
    ],
)
def test_models_that_are_all_right_or_all_wrong(name, all_right, all_wrong):
    ends = torch.tensor([[7.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 7.0]], dtype=torch.float64)
    np.testing.assert_array_equal(METRICS[name].function(ends), [all_right, all_wrong])


@every_metric
def test_leaving_a_block_out_is_evaluating_the_other_samples(metric):
    right_MN, blocks_N = random_right(6, 120, 4, seed=8)
    triples = Ensembles.all_of(6, 3)
    counts = FailureCounts.from_right(right_MN, blocks_N, 4, triples)
    values = evaluate_failures(counts, [metric.name])[metric.name]
    for block in range(4):
        rest_E = values_of(right_MN[:, blocks_N != block], triples)[metric.name]
        assert torch.equal(values.without_BE[block], rest_E)


@every_metric
def test_a_single_member_has_no_diversity(metric):
    with pytest.raises(UserError, match="expected ensembles of at least 2 members, found size 1"):
        metric.function(torch.tensor([3.0, 2.0]))


def test_all_metrics_are_evaluated_unless_named():
    right_MN, blocks_N = random_right(4, 30, 2, seed=9)
    counts = FailureCounts.from_right(right_MN, blocks_N, 2, Ensembles.all_of(4, 2))
    everything = evaluate_failures(counts)
    assert list(everything) == list(metrics_of("failure counts"))
    assert everything["kappa"].without_BE.shape == (2, 6)
    assert list(evaluate_failures(counts, ["kappa", "entropy"])) == ["kappa", "entropy"]


def test_an_unknown_metric_is_answered_with_the_nearest_name():
    right_MN, blocks_N = random_right(3, 9, 2, seed=0)
    counts = FailureCounts.from_right(right_MN, blocks_N, 2, Ensembles.all_of(3, 2))
    with pytest.raises(UserError, match="did you mean 'kohavi_wolpert'"):
        evaluate_failures(counts, ["kohavi_wolper"])


def test_one_decorator_adds_a_metric_and_a_taken_name_is_refused():
    file = metric(
        "entropy",
        of="failure counts",
        low=0,
        high=1,
        higher_is_more_diverse=True,
        formula="p_0",
        undefined_when="never",
    )
    with pytest.raises(UserError, match="expected a new name for a diversity metric, found 'entropy'"):
        file(lambda counts_K1: counts_K1[..., 0])


@every_metric
def test_a_reader_is_told_formula_and_undefined_cases(metric):
    assert METRICS[metric.name] is metric
    assert "p_i" in metric.formula
    assert metric.undefined_when
