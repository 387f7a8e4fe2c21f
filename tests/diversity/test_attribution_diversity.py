"""Attribution diversity from the Gram matrix equals the variance of the maps themselves."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from nversion.core import UserError
from nversion.diversity import STRATA, attribution_diversity, conditional_attribution_sums
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


NUM_MODELS, NUM_SAMPLES, NUM_BLOCKS = 5, 23, 4
BLOCKS_N = torch.arange(NUM_SAMPLES) % NUM_BLOCKS


def maps_and_right(seed=0):
    """maps_NMP and right_MN; models agree so often that every stratum has samples."""
    maps_NMP = torch.stack([random_maps(NUM_MODELS, 6, 100 * seed + j) for j in range(NUM_SAMPLES)])
    rng = torch.Generator().manual_seed(seed)
    ease_N = torch.rand(NUM_SAMPLES, generator=rng)
    return maps_NMP, torch.rand(NUM_MODELS, NUM_SAMPLES, generator=rng) < (3 * ease_N - 1)


def conditioned(maps_NMP, right_MN, ensembles, **settings):
    gram_NMM = maps_NMP @ maps_NMP.mT
    return conditional_attribution_sums(gram_NMM, right_MN, BLOCKS_N, NUM_BLOCKS, ensembles, **settings)


def stratum_of(num_right, size):
    return "all" if num_right == size else "none" if num_right == 0 else "some"


@pytest.mark.parametrize("size", [2, 3])
def test_conditioned_diversity_is_the_mean_variance_over_the_samples_of_the_stratum(size):
    maps_NMP, right_MN = maps_and_right()
    ensembles = Ensembles.all_of(NUM_MODELS, size)
    sums = conditioned(maps_NMP, right_MN, ensembles)
    result, count_SE = sums.result(), sums.count_SBE.sum(1)
    seen = set()
    for e, members in enumerate(ensembles.members_EK.tolist()):
        by_hand = {name: [] for name in STRATA}
        for j in range(NUM_SAMPLES):
            num_right = sum(bool(right_MN[i, j]) for i in members)
            variance = float(maps_NMP[j, members].var(0, correction=0).sum())
            by_hand[stratum_of(num_right, size)].append((j % NUM_BLOCKS, variance))
        for name, found in by_hand.items():
            assert count_SE[STRATA.index(name), e] == len(found)
            values = [variance for _, variance in found]
            torch.testing.assert_close(
                float(result[name].full_E[e]),
                sum(values) / len(values) if values else float("nan"),
                equal_nan=True,
            )
            for left_out in range(NUM_BLOCKS):
                rest = [variance for block, variance in found if block != left_out]
                mean = sum(rest) / len(rest) if rest else float("nan")
                torch.testing.assert_close(float(result[name].without_BE[left_out, e]), mean, equal_nan=True)
            seen |= {name} if values else set()
    assert seen == set(STRATA)


@given(st.integers(0, 99), st.integers(2, 5))
@settings(max_examples=20, deadline=None)
def test_the_strata_weighted_by_their_counts_are_the_whole(seed, size):
    maps_NMP, right_MN = maps_and_right(seed)
    ensembles = Ensembles.all_of(NUM_MODELS, size)
    sums = conditioned(maps_NMP, right_MN, ensembles)
    count_SE, values = sums.count_SBE.sum(1), sums.result().values()
    weighted_E = sum((value.full_E * n_E).nan_to_num() for value, n_E in zip(values, count_SE, strict=True))
    count_E = count_SE.sum(0)
    assert count_E.tolist() == [NUM_SAMPLES] * len(ensembles)
    whole_E = attribution_diversity((maps_NMP @ maps_NMP.mT).mean(0), ensembles)
    torch.testing.assert_close(weighted_E / count_E, whole_E, rtol=1e-12, atol=1e-12)


def test_chunks_of_samples_and_ensembles_change_nothing():
    maps_NMP, right_MN = maps_and_right()
    ensembles = Ensembles.all_of(NUM_MODELS, 3)
    whole = conditioned(maps_NMP, right_MN, ensembles)
    tiny = conditioned(maps_NMP, right_MN, ensembles, budget_bytes=32 * 9)
    halves = [
        conditional_attribution_sums(
            maps_NMP[part] @ maps_NMP[part].mT, right_MN[:, part], BLOCKS_N[part], NUM_BLOCKS, ensembles
        )
        for part in (slice(0, 9), slice(9, None))
    ]
    for other in (tiny, halves[0] + halves[1]):
        torch.testing.assert_close(other.diversity_SBE, whole.diversity_SBE, rtol=1e-12, atol=1e-12)
        assert torch.equal(other.count_SBE, whole.count_SBE)


def test_a_sample_with_an_undefined_map_is_left_out_for_all_and_counted():
    maps_NMP, right_MN = maps_and_right()
    ensembles = Ensembles.all_of(NUM_MODELS, 2)
    gram_NMM = maps_NMP @ maps_NMP.mT
    gram_NMM[6, 2, :] = gram_NMM[6, :, 2] = torch.nan
    found = conditional_attribution_sums(gram_NMM, right_MN, BLOCKS_N, NUM_BLOCKS, ensembles)
    rest_N = torch.arange(NUM_SAMPLES) != 6
    without = conditional_attribution_sums(
        gram_NMM[rest_N], right_MN[:, rest_N], BLOCKS_N[rest_N], NUM_BLOCKS, ensembles
    )
    torch.testing.assert_close(found.diversity_SBE, without.diversity_SBE, rtol=1e-12, atol=1e-12)
    assert torch.equal(found.count_SBE, without.count_SBE)
    assert found.left_out_B.tolist() == [0, 0, 1, 0]


def test_right_or_wrong_of_other_models_is_refused():
    maps_NMP, right_MN = maps_and_right()
    with pytest.raises(
        UserError, match=r"expected 23 Grams of 5 models, .* found shapes \(23, 5, 5\) and \(4, 23\)"
    ):
        conditioned(maps_NMP, right_MN[:4], Ensembles.all_of(NUM_MODELS, 2))


def test_a_single_model_has_no_conditioned_diversity():
    maps_NMP, right_MN = maps_and_right()
    with pytest.raises(UserError, match=r"at least 2 members, found size 1"):
        conditioned(maps_NMP, right_MN, Ensembles.all_of(NUM_MODELS, 1))
