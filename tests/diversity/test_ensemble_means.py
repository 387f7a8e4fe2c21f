"""Means over pairs: all ensembles at once equal a loop over ensembles and pairs."""

import itertools
import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from nversion.core import UserError
from nversion.diversity import ensemble_mean
from nversion.ensembles import Ensembles


def random_table(num_models, seed, undefined=0.0, leading=()):
    rng = torch.Generator().manual_seed(seed)
    values = torch.rand(*leading, num_models, num_models, generator=rng, dtype=torch.float64)
    values = (values + values.mT) / 2
    holes = torch.rand(num_models, num_models, generator=rng) < undefined
    return values.masked_fill(holes | holes.T, torch.nan)


def mean_by_loop(values_MM, members):
    pairs = [values_MM[i, k].item() for i, k in itertools.combinations(members, 2)]
    defined = [value for value in pairs if not math.isnan(value)]
    mean = sum(defined) / len(defined) if defined else math.nan
    return mean, len(pairs) - len(defined)


@given(st.integers(2, 7), st.data())
@settings(max_examples=25, deadline=None)
def test_means_and_undefined_pairs_are_those_of_a_loop(num_models, data):
    size = data.draw(st.integers(2, num_models))
    values_MM = random_table(num_models, data.draw(st.integers(0, 99)), undefined=0.3)
    ensembles = Ensembles.all_of(num_models, size)
    mean_E, num_undefined_E = ensemble_mean(values_MM, ensembles)
    expected = [mean_by_loop(values_MM, members) for members in ensembles.members_EK.tolist()]
    assert mean_E.tolist() == pytest.approx([mean for mean, _ in expected], abs=1e-12, nan_ok=True)
    assert num_undefined_E.tolist() == [undefined for _, undefined in expected]


def test_blocks_on_a_leading_axis_are_averaged_one_by_one():
    values_BMM = random_table(6, seed=2, leading=(4,))
    ensembles = Ensembles.all_of(6, 3)
    mean_BE, num_undefined_BE = ensemble_mean(values_BMM, ensembles)
    one_by_one = torch.stack([ensemble_mean(values_MM, ensembles)[0] for values_MM in values_BMM])
    torch.testing.assert_close(mean_BE, one_by_one, rtol=0, atol=1e-14)
    assert num_undefined_BE.shape == (4, 20)


def test_a_small_budget_gives_the_same_means():
    values_BMM = random_table(8, seed=3, leading=(3,), undefined=0.1)
    ensembles = Ensembles.all_of(8, 4)
    whole, _ = ensemble_mean(values_BMM, ensembles)
    parts, _ = ensemble_mean(values_BMM, ensembles, budget_bytes=2000)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-14, equal_nan=True)


def test_one_undefined_pair_leaves_the_mean_of_the_others():
    values_MM = torch.tensor([[0.0, 0.2, torch.nan], [0.2, 0.0, 0.4], [torch.nan, 0.4, 0.0]])
    mean_E, num_undefined_E = ensemble_mean(values_MM, Ensembles.all_of(3, 3))
    assert mean_E.item() == pytest.approx(0.3)
    assert num_undefined_E.item() == 1


def test_an_ensemble_without_a_defined_pair_is_undefined():
    mean_E, num_undefined_E = ensemble_mean(torch.full((2, 2), torch.nan), Ensembles.all_of(2, 2))
    assert mean_E.isnan().all()
    assert num_undefined_E.tolist() == [1]


def test_an_infinite_pair_counts_as_undefined_and_poisons_no_other_ensemble():
    values_MM = torch.tensor([[0.0, torch.inf, 1.0], [torch.inf, 0.0, 1.0], [1.0, 1.0, 0.0]])
    mean_E, num_undefined_E = ensemble_mean(values_MM, Ensembles.all_of(3, 2))
    assert mean_E.tolist() == pytest.approx([math.nan, 1.0, 1.0], nan_ok=True)
    assert num_undefined_E.tolist() == [1, 0, 0]


def test_a_one_way_table_is_averaged_over_both_directions():
    mean_E, _ = ensemble_mean(torch.tensor([[9.0, 1.0], [3.0, 9.0]]), Ensembles.all_of(2, 2))
    assert mean_E.item() == 2.0


@given(st.permutations(range(6)), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_renaming_the_models_permutes_the_ensembles(order, seed):
    values_MM = random_table(6, seed)
    ensembles = Ensembles.all_of(6, 3)
    renamed = Ensembles.of([[order[m] for m in row] for row in ensembles.members_EK.tolist()], 6)
    inverse = torch.tensor(order).argsort()
    mean_E, _ = ensemble_mean(values_MM, ensembles)
    renamed_mean_E, _ = ensemble_mean(values_MM[inverse][:, inverse], renamed)
    torch.testing.assert_close(renamed_mean_E, mean_E, rtol=0, atol=1e-14)


def test_a_table_of_other_models_is_refused():
    with pytest.raises(UserError, match=r"expected a table of 4 × 4 models, found shape \(3, 3\)"):
        ensemble_mean(torch.zeros(3, 3), Ensembles.all_of(4, 2))


def test_a_single_member_has_no_pairs():
    with pytest.raises(UserError, match="expected ensembles of at least 2 members, found size 1"):
        ensemble_mean(torch.zeros(3, 3), Ensembles.all_of(3, 1))
