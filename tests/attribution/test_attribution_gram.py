"""The Gram matrix of attribution maps against variances taken from the maps themselves."""

from itertools import combinations

import pytest
import torch
from torch import Tensor

from nversion.attribution import NORMALISATIONS, gram
from nversion.core import UserError
from nversion.diversity import attribution_diversity
from nversion.ensembles import Ensembles


def random_maps(num_members: int, num_samples: int, size: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    scale_M = torch.logspace(-1, 1, num_members).reshape(-1, 1, 1, 1, 1)
    return scale_M * torch.randn(num_members, num_samples, 3, size, size, generator=generator)


def direct_variance(maps_MNP: Tensor, subset: tuple[int, ...]) -> Tensor:
    """Eq. 7 of one ensemble, sample by sample, in float64."""
    return maps_MNP.double()[list(subset)].var(dim=0, unbiased=False).sum(dim=-1)


def from_gram(gram_NMM: Tensor, subset: tuple[int, ...]) -> Tensor:
    part_NKK = gram_NMM[:, list(subset)][:, :, list(subset)]
    size = len(subset)
    return part_NKK.diagonal(dim1=1, dim2=2).sum(-1) / size - part_NKK.sum((1, 2)) / size**2


def normalised(maps_MN3HW: Tensor, normalise: str) -> Tensor:
    values_MNP = maps_MN3HW.double().flatten(2)
    if normalise == "l2":
        return values_MNP / values_MNP.square().sum(-1, keepdim=True).sqrt()
    if normalise == "sum":
        return values_MNP / values_MNP.abs().sum(-1, keepdim=True)
    return values_MNP


@pytest.mark.parametrize("normalise", NORMALISATIONS)
def test_every_ensembles_variance_follows_from_one_matrix(normalise):
    maps_MN3HW = random_maps(5, 3, 8)
    gram_NMM = gram(maps_MN3HW, normalise)
    assert gram_NMM.dtype == torch.float64
    for size in (2, 3, 5):
        for subset in combinations(range(5), size):
            expected_N = direct_variance(normalised(maps_MN3HW, normalise), subset)
            torch.testing.assert_close(from_gram(gram_NMM, subset), expected_N, rtol=1e-12, atol=0)


@pytest.mark.parametrize("normalise", NORMALISATIONS)
def test_a_common_part_a_thousand_times_the_differences_costs_no_digits(normalise):
    common_N3HW = random_maps(1, 2, 64, seed=1)[0] / random_maps(1, 2, 64, seed=1)[0].std()
    maps_MN3HW = common_N3HW + 1e-3 * torch.randn(4, 2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    gram_NMM = gram(maps_MN3HW, normalise)
    for subset in combinations(range(4), 2):
        expected_N = direct_variance(normalised(maps_MN3HW, normalise), subset)
        torch.testing.assert_close(from_gram(gram_NMM, subset), expected_N, rtol=1e-9, atol=0)


def test_without_the_mean_map_float32_products_would_lose_digits():
    common_N3HW = random_maps(1, 1, 64, seed=1)[0]
    maps_MN3HW = common_N3HW + 1e-4 * torch.randn(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    expected_N = direct_variance(maps_MN3HW.flatten(2), (0, 1))
    raw_NMM = torch.einsum("mnp,knp->nmk", maps_MN3HW.flatten(2), maps_MN3HW.flatten(2))
    assert (from_gram(raw_NMM, (0, 1)) / expected_N - 1).abs().item() > 0.05
    torch.testing.assert_close(from_gram(gram(maps_MN3HW), (0, 1)), expected_N, rtol=1e-9, atol=0)


def test_flat_members_keep_their_digits_beside_a_steep_one():
    maps_MN3HW = random_maps(3, 2, 16)
    maps_MN3HW[2] *= 1e5
    expected_N = direct_variance(maps_MN3HW.flatten(2), (0, 1))
    torch.testing.assert_close(from_gram(gram(maps_MN3HW), (0, 1)), expected_N, rtol=1e-4, atol=0)


def test_the_diversity_of_all_ensembles_is_algebra_on_the_mean_matrix():
    maps_MN3HW = random_maps(6, 4, 8)
    ensembles = Ensembles.all_of(6, 3)
    expected_E = [direct_variance(maps_MN3HW.flatten(2), s).mean() for s in combinations(range(6), 3)]
    diversity_E = attribution_diversity(gram(maps_MN3HW).mean(dim=0), ensembles)
    torch.testing.assert_close(diversity_E, torch.stack(expected_E), rtol=1e-12, atol=0)


def test_identical_maps_differ_by_nothing():
    maps_N3HW = random_maps(1, 2, 8)[0]
    assert gram([maps_N3HW, maps_N3HW], "l2").abs().max() == 0


def test_the_matrix_does_not_depend_on_the_slices():
    maps_MN3HW = random_maps(3, 2, 16)
    torch.testing.assert_close(
        gram(maps_MN3HW, "l2", budget_bytes=1000), gram(maps_MN3HW, "l2"), rtol=1e-12, atol=1e-15
    )


def test_a_list_of_maps_is_as_good_as_one_tensor():
    maps_MN3HW = random_maps(3, 2, 8)
    assert torch.equal(gram(list(maps_MN3HW), "sum"), gram(maps_MN3HW, "sum"))


@pytest.mark.parametrize("normalise", ["l2", "sum"])
def test_normalised_maps_forget_their_scale(normalise):
    maps_MN3HW = random_maps(3, 2, 8)
    scaled_MN3HW = maps_MN3HW * torch.tensor([1e-20, 1.0, 1e15]).reshape(3, 1, 1, 1, 1)
    torch.testing.assert_close(
        gram(scaled_MN3HW, normalise), gram(maps_MN3HW, normalise), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("normalise", ["l2", "sum"])
def test_a_zero_map_has_no_normalised_form_and_spoils_only_its_own_row(normalise):
    maps_MN3HW = random_maps(3, 2, 8)
    maps_MN3HW[1, 0] = 0
    gram_NMM = gram(maps_MN3HW, normalise)
    assert gram_NMM[0].isnan().tolist() == [[False, True, False], [True, True, True], [False, True, False]]
    assert not gram_NMM[1].isnan().any()
    expected_N = direct_variance(normalised(maps_MN3HW, normalise), (0, 2))
    torch.testing.assert_close(from_gram(gram_NMM, (0, 2)), expected_N, rtol=1e-12, atol=0)


def test_a_zero_map_is_a_map_where_nothing_is_normalised():
    maps_MN3HW = random_maps(2, 1, 4)
    maps_MN3HW[1] = 0
    expected_N = maps_MN3HW[0].double().square().sum((1, 2, 3)) / 4
    torch.testing.assert_close(from_gram(gram(maps_MN3HW), (0, 1)), expected_N, rtol=1e-12, atol=0)


def test_an_unknown_normalisation_is_answered_with_the_closest():
    with pytest.raises(UserError, match=r"found 'l1'; did you mean 'l2'\?"):
        gram(random_maps(2, 1, 4), "l1")
