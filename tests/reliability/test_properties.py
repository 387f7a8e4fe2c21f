"""The three properties are judged by whole intervals, and the interaction is the analysis of variance's."""

import itertools
import math

import pytest
import torch

from nversion.core import UserError
from nversion.diversity import PairCounts
from nversion.reliability import (
    Methodologies,
    SimulatedMethodologies,
    logically_unrelated,
    methodology_tables,
    pair_properties,
)

NUM_BLOCKS = 20


def counts_of(fails_MN):
    blocks_N = torch.arange(fails_MN.shape[1]) % NUM_BLOCKS
    counts = PairCounts.from_right(~fails_MN, blocks_N, NUM_BLOCKS)
    return counts.both_wrong_BMM, counts.count_B


def pair_of(simulated, num_models=5, num_images=4000, **settings_):
    fails_MN = simulated.draw((num_models, num_models), num_images, torch.Generator().manual_seed(0))
    methodologies = Methodologies.of_labels(["a"] * num_models + ["b"] * num_models)
    return {
        check.property: check for check in pair_properties(*counts_of(fails_MN), methodologies, **settings_)
    }


def crossed(theta_CN, per_cell=3, seed=0):
    """Failures of models of 2 × 2 cells with given chances, and their two labels."""
    rng = torch.Generator().manual_seed(seed)
    chances_MN = theta_CN.repeat_interleave(per_cell, 0)
    fails_MN = torch.rand(chances_MN.shape, generator=rng, dtype=torch.float64) < chances_MN
    labels = [pair for pair in itertools.product("AB", "st") for _ in range(per_cell)]
    return fails_MN, [first for first, _ in labels], [second for _, second in labels]


def test_methodologies_of_one_failure_rate_are_indifferent():
    check = pair_of(SimulatedMethodologies((4.0, 4.0), (0.8, 0.8)), margin=0.05)["indifference"]
    assert check.holds is True
    assert -0.05 < check.low <= check.value <= check.high < 0.05


def test_a_superior_methodology_is_no_matter_of_indifference():
    check = pair_of(SimulatedMethodologies((4.0, 1.0), (0.8, 0.8)), margin=0.05)["indifference"]
    assert check.holds is False
    assert check.value == pytest.approx(1 / 5 - 1 / 2, abs=0.03)


def test_an_interval_over_the_margin_decides_nothing():
    check = pair_of(SimulatedMethodologies((4.0, 4.0), (0.8, 0.8)), margin=1e-6)["indifference"]
    assert check.holds is None
    assert check.note == "undecided: the interval reaches over the margin"


def test_factors_differ_where_difficulty_is_opposite():
    check = pair_of(SimulatedMethodologies((2.0, 2.0), (0.9, -0.9)))["different_factors"]
    assert check.holds is True
    assert check.high < 0


def test_factors_are_the_same_where_difficulty_is_shared():
    check = pair_of(SimulatedMethodologies((2.0, 2.0), (1.0, 1.0)))["different_factors"]
    assert check.holds is False
    assert check.high == pytest.approx(1.0, abs=0.05)


def test_two_models_say_nothing_of_a_methodology():
    checks = pair_of(SimulatedMethodologies((4.0, 1.0), (0.8, 0.8)), num_models=2)
    assert [check.holds for check in checks.values()] == [None, None]
    assert checks["indifference"].note == "fewer than 3 models: the interval covers other images only"


def test_a_correlation_of_single_models_is_not_identified():
    check = pair_of(SimulatedMethodologies((4.0, 1.0), (0.8, 0.8)), num_models=1)["different_factors"]
    assert math.isnan(check.value)
    assert check.holds is None
    assert check.note.startswith("not identified")


def test_the_interaction_is_the_double_centred_difficulty():
    # A million images' worth: known chances, with pairs of distinct models in expectation.
    theta_CN = torch.tensor([[0.1, 0.8], [0.5, 0.2], [0.3, 0.4], [0.9, 0.6]], dtype=torch.float64)
    fails_MN, first, second = crossed(theta_CN.repeat(1, 20_000))
    check = logically_unrelated(*counts_of(fails_MN), first, second)
    interaction_N = (theta_CN[0] - theta_CN[1] - theta_CN[2] + theta_CN[3]) / 4
    assert check.value == pytest.approx((interaction_N**2).mean().sqrt().item(), abs=0.005)
    assert check.low < check.value < check.high
    assert check.holds is False


def test_the_interactions_square_is_that_of_the_tables_of_cells():
    fails_MN, first, second = crossed(torch.rand(4, 300, generator=torch.Generator().manual_seed(1)).double())
    check = logically_unrelated(*counts_of(fails_MN), first, second)
    cells = Methodologies.of_labels([a + b for a, b in zip(first, second, strict=True)])
    together_MM = fails_MN.double() @ fails_MN.double().T
    joint_CC = methodology_tables(together_MM, torch.tensor(300.0), cells.membership_GM).joint_GG
    contrast_C = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64) / 4
    assert check.value**2 == pytest.approx((contrast_C @ joint_CC @ contrast_C).item())


def test_choices_whose_chances_add_up_are_unrelated():
    rng = torch.Generator().manual_seed(0)
    first_2N, second_2N = torch.rand(2, 2, 20_000, generator=rng, dtype=torch.float64) / 2
    theta_CN = torch.stack([first_2N[a] + second_2N[b] for a in (0, 1) for b in (0, 1)])
    fails_MN, first, second = crossed(theta_CN, per_cell=4, seed=1)
    check = logically_unrelated(
        *counts_of(fails_MN), first, second, choices=("architecture", "training"), margin=0.03
    )
    assert check.holds is True
    assert (check.methodology_a, check.methodology_b, check.property) == (
        "architecture",
        "training",
        "logically_unrelated",
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("AAABBB", "ssssss"),  # one level
        ("AAABBB", "ssttst"),  # a cell with one model
        ("AAAABB", "sstt  "),  # unknown
    ],
)
def test_without_a_crossing_nothing_is_identified(first, second):
    fails_MN = torch.rand(6, 100, generator=torch.Generator().manual_seed(0)) < 0.3
    check = logically_unrelated(*counts_of(fails_MN), list(first), [s.strip() for s in second])
    assert math.isnan(check.value)
    assert check.holds is None
    assert check.note == "not identified: no 2 × 2 levels of the two choices with two models in each cell"


def test_levels_outside_the_complete_crossing_are_dropped_and_said_so():
    fails_MN = torch.rand(9, 200, generator=torch.Generator().manual_seed(0)) < 0.3
    first, second = list("AABBAABBC"), list("ssssttttu")
    check = logically_unrelated(*counts_of(fails_MN), first, second)
    alone = logically_unrelated(*counts_of(fails_MN[:8]), first[:8], second[:8])
    assert (check.value, check.low, check.high) == (alone.value, alone.low, alone.high)
    assert "from the complete part of the crossing: A, B × s, t" in check.note


def test_labels_of_other_models_are_refused():
    fails_MN = torch.rand(4, 100, generator=torch.Generator().manual_seed(0)) < 0.3
    with pytest.raises(UserError, match="expected pair counts of 20 blocks and 5 models"):
        logically_unrelated(*counts_of(fails_MN), list("AABBA"), list("stste"))
