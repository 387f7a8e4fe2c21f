"""Attribution diversity from the Gram matrix equals the variance of the maps themselves."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from nversion.diversity import attribution_diversity
from nversion.ensembles import Ensembles


def random_maps(num_models, num_pixels, seed):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(num_models, num_pixels, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("size", [2, 3, 5])
def test_diversity_is_the_summed_variance_of_the_maps(size, unbiased):
    maps_MP = random_maps(6, 12, seed=size)
    ensembles = Ensembles.all_of(6, size)
    ours = attribution_diversity(maps_MP @ maps_MP.T, ensembles, unbiased=unbiased)
    variance_EP = maps_MP[ensembles.members_EK].var(1, correction=int(unbiased))
    torch.testing.assert_close(ours, variance_EP.sum(-1), rtol=1e-12, atol=1e-12)


def test_diversity_is_trace_over_k_minus_sum_over_k_squared():
    maps_MP = random_maps(5, 7, seed=1)
    gram_MM = maps_MP @ maps_MP.T
    expected = [
        gram_MM[row][:, row].trace() / 3 - gram_MM[row][:, row].sum() / 9
        for row in Ensembles.all_of(5, 3).members_EK
    ]
    ours = attribution_diversity(gram_MM, Ensembles.all_of(5, 3))
    torch.testing.assert_close(ours, torch.stack(expected), rtol=1e-12, atol=1e-12)


@given(st.integers(2, 6), st.integers(1, 8), st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_diversity_is_never_negative(num_models, num_pixels, seed):
    maps_MP = random_maps(num_models, num_pixels, seed)
    assert (attribution_diversity(maps_MP @ maps_MP.T, Ensembles.all_of(num_models, 2)) >= 0).all()


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=9))
@settings(max_examples=25, deadline=None)
def test_identical_maps_have_exactly_zero_diversity(map_P):
    square = (torch.tensor(map_P, dtype=torch.float64) ** 2).sum()
    assert attribution_diversity(square.expand(4, 4), Ensembles.all_of(4, 3)).tolist() == [0.0] * 4


def test_a_common_part_of_all_maps_changes_nothing():
    maps_MP = random_maps(4, 9, seed=2)
    shifted_MP = maps_MP + 100 * random_maps(1, 9, seed=3)
    ensembles = Ensembles.all_of(4, 3)
    shifted = attribution_diversity(shifted_MP @ shifted_MP.T, ensembles)
    torch.testing.assert_close(
        shifted, attribution_diversity(maps_MP @ maps_MP.T, ensembles), rtol=1e-8, atol=0
    )


def test_doubling_every_map_quadruples_the_diversity():
    maps_MP = random_maps(4, 9, seed=4)
    ensembles = Ensembles.all_of(4, 2)
    once = attribution_diversity(maps_MP @ maps_MP.T, ensembles)
    twice = attribution_diversity(4 * maps_MP @ maps_MP.T, ensembles)
    torch.testing.assert_close(twice, 4 * once)


def test_blocks_of_samples_add_up():
    maps_NMP = torch.stack([random_maps(4, 5, seed) for seed in range(6)])
    gram_NMM = maps_NMP @ maps_NMP.mT
    ensembles = Ensembles.all_of(4, 3)
    of_each = attribution_diversity(gram_NMM, ensembles)
    torch.testing.assert_close(attribution_diversity(gram_NMM.sum(0), ensembles), of_each.sum(0))


def test_a_model_without_a_map_makes_only_its_ensembles_undefined():
    gram_MM = torch.eye(3)
    gram_MM[2, :] = gram_MM[:, 2] = torch.nan
    of_pairs = attribution_diversity(gram_MM, Ensembles.all_of(3, 2))
    assert of_pairs[0] == 0.5
    assert of_pairs[1:].isnan().all()
    assert attribution_diversity(gram_MM, Ensembles.all_of(3, 3)).isnan().all()
