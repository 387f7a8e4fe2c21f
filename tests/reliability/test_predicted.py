"""Predictions are the mean over all choices of other models, or the first half's share."""

import itertools
import math

import pytest
import torch
from scipy import stats

from nversion.core import UserError
from nversion.ensembles import Ensembles
from nversion.reliability import (
    Methodologies,
    SimulatedMethodologies,
    predict_from_half,
    predict_from_other_models,
)

LABELS = list("aaaabbbbc")


def some_right(num_models=9, num_images=80, seed=0):
    return torch.rand(num_models, num_images, generator=torch.Generator().manual_seed(seed)) < 0.6


def rate(right_MN, members, fewest_failing):
    return ((~right_MN[list(members)]).sum(0) >= fewest_failing).double().mean().item()


def enumerated(right_MN, members, fewest_failing):
    """Mean over all choices of different other models of the members' methodologies."""
    pools = [[m for m in range(9) if LABELS[m] == LABELS[i] and m not in members] for i in members]
    choices = [choice for choice in itertools.product(*pools) if len(set(choice)) == len(choice)]
    rates = [rate(right_MN, choice, fewest_failing) for choice in choices]
    return sum(rates) / len(rates) if rates else math.nan


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("system", ["all_fail", "majority_fail"])
def test_other_models_predict_the_mean_over_all_choices_of_them(size, system):
    right_MN, ensembles = some_right(), Ensembles.all_of(9, size)
    found = predict_from_other_models(
        right_MN, ensembles, Methodologies.of_labels(LABELS), budget_bytes=20_000
    )
    fewest = size if system == "all_fail" else size // 2 + 1
    expected = [enumerated(right_MN, members, fewest) for members in ensembles.members_EK.tolist()]
    assert found[system].predicted_E.tolist() == pytest.approx(expected, nan_ok=True)


def test_too_few_other_models_are_nan_and_said_so():
    found = predict_from_other_models(
        some_right(), Ensembles.of([[0, 1, 2], [0, 4, 8], [0, 1, 4]], 9), Methodologies.of_labels(LABELS)
    )["all_fail"]
    assert found.predicted_E.isnan().tolist() == [True, True, False]
    assert found.independent_E.isnan().tolist() == [True, True, False]
    assert found.notes == (
        "not predicted: needs 3 other models of a, has 1",
        "not predicted: needs 1 other models of c, has 0",
        "",
    )


def test_a_member_of_no_methodology_is_not_predicted():
    methodologies = Methodologies.of_labels(["", *LABELS[1:]])
    found = predict_from_other_models(some_right(), Ensembles.of([[0, 1]], 9), methodologies)["all_fail"]
    assert math.isnan(found.predicted_E.item())
    assert found.notes == ("not predicted: a member's methodology is unknown",)


def test_where_nothing_can_be_predicted_it_is_still_observed():
    right_MN = some_right()
    found = predict_from_other_models(
        right_MN, Ensembles.of([[0, 1, 2]], 9), Methodologies.of_labels(LABELS)
    )["all_fail"]
    assert found.observed_E.item() == pytest.approx(rate(right_MN, (0, 1, 2), 3))


def test_independence_of_other_models_multiplies_their_mean_rates():
    right_MN = some_right()
    found = predict_from_other_models(right_MN, Ensembles.of([[0, 4]], 9), Methodologies.of_labels(LABELS))
    a, b = (~right_MN[1:4]).double().mean().item(), (~right_MN[5:8]).double().mean().item()
    assert found["all_fail"].independent_E.item() == pytest.approx(a * b)


def test_half_of_the_images_predicts_its_own_share_and_observes_the_others():
    right_MN, ensembles = some_right(), Ensembles.all_of(9, 3)
    first_N = torch.rand(80, generator=torch.Generator().manual_seed(1)) < 0.5
    found = predict_from_half(right_MN, first_N, ensembles, budget_bytes=2_000)
    for system, fewest in (("all_fail", 3), ("majority_fail", 2)):
        for e, members in enumerate(ensembles.members_EK.tolist()):
            assert found[system].predicted_E[e].item() == pytest.approx(
                rate(right_MN[:, first_N], members, fewest)
            )
            assert found[system].observed_E[e].item() == pytest.approx(
                rate(right_MN[:, ~first_N], members, fewest)
            )
    assert found["all_fail"].n == int((~first_N).sum())


def test_independence_of_a_half_multiplies_its_rates():
    right_MN = some_right()
    first_N = torch.arange(80) < 40
    found = predict_from_half(right_MN, first_N, Ensembles.of([[0, 1, 2]], 9))
    a, b, c = (~right_MN[:3, :40]).double().mean(1).tolist()
    assert found["all_fail"].independent_E.item() == pytest.approx(a * b * c)
    two_or_three = a * b + a * c + b * c - 2 * a * b * c
    assert found["majority_fail"].independent_E.item() == pytest.approx(two_or_three)


def test_many_models_are_told_apart():
    right_MN, first_N = some_right(70, 300), torch.arange(300) < 150
    found = predict_from_half(right_MN, first_N, Ensembles.of([[0, 35], [1, 69]], 70))["all_fail"]
    assert found.predicted_E.tolist() == pytest.approx(
        [rate(right_MN[:, :150], members, 2) for members in ((0, 35), (1, 69))]
    )


def test_observed_intervals_are_scipys_exact_ones():
    found = predict_from_half(some_right(), torch.arange(80) < 30, Ensembles.all_of(9, 2), confidence=0.9)
    system = found["all_fail"]
    for e in range(0, 36, 7):
        exact = stats.binomtest(round(system.observed_E[e].item() * 50), 50).proportion_ci(0.9, "exact")
        ends = system.observed_low_E[e].item(), system.observed_high_E[e].item()
        assert ends == pytest.approx((exact.low, exact.high))


def test_with_shared_difficulty_the_model_predicts_what_independence_does_not():
    simulated = SimulatedMethodologies((3.0, 3.0), (0.9, 0.9))
    right_MN = ~simulated.draw((7, 7), 20_000, torch.Generator().manual_seed(0))
    ensembles = Ensembles.of([[0, 1, 7], [2, 8, 9]], 14)
    methodologies = Methodologies.of_labels(["a"] * 7 + ["b"] * 7)
    found = predict_from_other_models(right_MN, ensembles, methodologies)["all_fail"]
    assert found.predicted_E.tolist() == pytest.approx(found.observed_E.tolist(), rel=0.1)
    assert (found.independent_E < 0.5 * found.observed_E).all()


def test_a_half_without_images_is_refused():
    with pytest.raises(UserError, match="expected two halves of 80 images, each with some"):
        predict_from_half(some_right(), torch.ones(80, dtype=torch.bool), Ensembles.all_of(9, 2))


def test_other_models_than_the_ensembles_are_refused():
    with pytest.raises(UserError, match="expected a bool matrix of 8 models × images"):
        predict_from_half(some_right(), torch.arange(80) < 40, Ensembles.all_of(8, 2))
    with pytest.raises(UserError, match="expected methodologies of 9 models"):
        predict_from_other_models(some_right(), Ensembles.all_of(9, 2), Methodologies.of_labels(["a", "b"]))
