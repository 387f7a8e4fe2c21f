"""The correlations table on relations whose answer is known."""

from types import SimpleNamespace

import pytest
import torch

from nversion.ensembles import Ensembles, Replicated
from nversion.evaluation.trends import correlations


def result(condition, diversity_E, gain_E, mean_E):
    """What correlations are made of: one metric and one rule of all pairs of five models."""

    def measured(values_E):
        values_E = torch.as_tensor(values_E, dtype=torch.float64)
        return Replicated(values_E, values_E.expand(4, -1))

    of_size = SimpleNamespace(
        ensembles=Ensembles.all_of(5, 2),
        improvement={"vote": measured(gain_E)},
        mean_member=measured(mean_E),
        diversity={"disagreement": measured(diversity_E)},
    )
    return SimpleNamespace(condition=condition, sizes=[of_size])


RAMP = torch.arange(10.0)
BENT = RAMP**3
WAVE = torch.tensor([0.0, 3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0])


def value(frame, **columns):
    return frame.filter(**columns)["value"].item()


def test_a_perfect_line_has_correlations_of_one_and_its_slope():
    frame = correlations(result("d/clean", RAMP, 2 * RAMP, WAVE), None)
    for statistic in ("pearson", "spearman", "partial"):
        assert value(frame, metric="disagreement", statistic=statistic) == pytest.approx(1.0)
    assert value(frame, metric="disagreement", statistic="slope") == pytest.approx(2.0)


def test_spearman_sees_order_only():
    frame = correlations(result("d/clean", RAMP, BENT, WAVE), None)
    assert value(frame, metric="disagreement", statistic="spearman") == pytest.approx(1.0)
    assert value(frame, metric="disagreement", statistic="pearson") < 0.95


def test_mean_member_accuracy_is_a_metric_without_partial_correlation():
    frame = correlations(result("d/clean", WAVE, -RAMP, RAMP), None)
    of_mean = frame.filter(metric="mean_member_accuracy")
    assert of_mean["statistic"].to_list() == ["pearson", "spearman", "slope"]
    assert value(of_mean, statistic="pearson") == pytest.approx(-1.0)


def test_a_corrupted_condition_has_rows_for_its_own_and_for_clean_diversity():
    clean, corrupted = result("d/clean", RAMP, WAVE, WAVE), result("d/lines-1", WAVE, 3 * RAMP, BENT)
    frame = correlations(corrupted, clean)
    of_corrupted = frame.filter(accuracy_condition="d/lines-1", metric="disagreement", statistic="pearson")
    assert of_corrupted["diversity_condition"].to_list() == ["d/lines-1", "d/clean"]
    assert of_corrupted["value"].to_list()[1] == pytest.approx(1.0)


def test_a_study_without_clean_images_relates_each_condition_to_itself():
    frame = correlations(result("d/lines-1", RAMP, RAMP, WAVE), None)
    assert frame["diversity_condition"].unique().to_list() == ["d/lines-1"]


def test_constant_diversity_is_undefined_and_says_so():
    frame = correlations(result("d/clean", torch.ones(10), RAMP, WAVE), None)
    row = frame.filter(metric="disagreement", statistic="pearson")
    assert torch.tensor(row["value"].item()).isnan()
    assert "undefined: too few ensembles or constant numbers" in row["note"].item()
