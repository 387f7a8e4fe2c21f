"""Centered kernel alignment against the formula in loops, a published number, and its invariances."""

import numpy as np
import pytest
import torch
from torch import Tensor

from nversion.core import UserError
from nversion.diversity import CKASums, hsic1, linear_gram, matched_depth_cka, u_centred


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def grams(*features: Tensor) -> Tensor:
    return torch.stack([linear_gram(features_NP) for features_NP in features])


def cka(*features: Tensor) -> Tensor:
    sums = CKASums.zeros(1, len(features))
    sums.update(grams(*features))
    return sums.cka()


def hsic1_in_loops(k_NN: list[list[float]], l_NN: list[list[float]]) -> float:
    """Eq. 5 of Song et al. (2012), term by term."""
    n = len(k_NN)
    trace = total_k = total_l = middle = 0.0
    for i in range(n):
        for j in range(n):
            if i == j:
                continue
            trace += k_NN[i][j] * l_NN[j][i]
            total_k += k_NN[i][j]
            total_l += l_NN[i][j]
            for m in range(n):
                middle += k_NN[i][j] * l_NN[j][m] if m != j else 0.0
    return (trace + total_k * total_l / ((n - 1) * (n - 2)) - 2 / (n - 2) * middle) / (n * (n - 3))


@pytest.mark.parametrize("num_samples", [4, 5, 12])
def test_the_table_of_all_pairs_is_the_formula_of_each(num_samples):
    raw = [normal(num_samples, 3, seed=seed) + seed for seed in range(4)]
    kernels = [features_NP @ features_NP.T for features_NP in raw]  # not centred: the formula does not mind
    expected_LL = torch.tensor(
        [[hsic1_in_loops(k.tolist(), m.tolist()) for m in kernels] for k in kernels], dtype=torch.float64
    )
    torch.testing.assert_close(hsic1(torch.stack(kernels)), expected_LL, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(hsic1(grams(*raw)), expected_LL, rtol=1e-9, atol=1e-12)


def test_the_published_example_gives_the_published_number():
    # The demo of Kornblith et al. (2019), "Similarity of Neural Network Representations Revisited".
    rng = np.random.RandomState(1337)
    x = rng.randn(100, 10)
    y = rng.randn(100, 10) + x
    assert round(cka(torch.from_numpy(x), torch.from_numpy(y))[0, 1].item(), 5) == 0.51346


def test_a_layer_is_like_itself():
    assert cka(normal(8, 5), normal(8, 5)).tolist() == [[1.0, pytest.approx(1)], [pytest.approx(1), 1.0]]


def test_rotating_and_scaling_a_layer_changes_nothing():
    x_NP, y_NP = normal(20, 6), normal(20, 9, seed=1)
    rotation_PP = torch.linalg.qr(normal(6, 6, seed=2)).Q
    changed_LL = cka(x_NP @ rotation_PP * 1e-4 + 3.0, y_NP * 700)
    torch.testing.assert_close(changed_LL, cka(x_NP, y_NP), rtol=1e-8, atol=0)


def test_the_order_of_features_does_not_matter():
    features_NCHW = normal(6, 4, 3, 5).float()
    reordered_NP = features_NCHW.permute(0, 2, 3, 1).flatten(1)
    torch.testing.assert_close(
        linear_gram(features_NCHW.flatten(1)), linear_gram(reordered_NP), rtol=1e-6, atol=1e-5
    )


def test_independent_layers_have_no_similarity_on_average():
    values = torch.stack(
        [hsic1(grams(normal(6, 4, seed=s), normal(6, 4, seed=10**6 + s))) for s in range(400)]
    )
    cross = values[:, 0, 1]
    assert abs(cross.mean()) < 3 * cross.std() / 20
    assert (cross < 0).double().mean() > 0.3  # negative in good part: nothing is clipped


def test_hsic1_of_small_batches_is_that_of_all_images_on_average():
    x_NP = normal(1000, 3)
    y_NP = x_NP + normal(1000, 3, seed=1)
    whole = hsic1(grams(x_NP, y_NP))[0, 1]
    small = torch.stack([hsic1(grams(x, y))[0, 1] for x, y in zip(x_NP.split(5), y_NP.split(5), strict=True)])
    assert abs(small.mean() - whole) < 3 * small.std() / len(small) ** 0.5


def test_float32_features_keep_six_digits_under_a_large_common_part():
    x_NP, y_NP = normal(16, 3000), normal(16, 3000, seed=1)
    y_NP = y_NP + x_NP
    exact = hsic1(torch.stack([x_NP @ x_NP.T, y_NP @ y_NP.T]))
    shifted = [(1024 + x.mul(2**10).round() / 2**10).float() for x in (x_NP, y_NP)]
    rounded = [x.mul(2**10).round() / 2**10 for x in (x_NP, y_NP)]
    expected = hsic1(torch.stack([x @ x.T for x in rounded]))
    torch.testing.assert_close(hsic1(grams(*shifted)), expected, rtol=1e-6, atol=0)
    raw = hsic1(torch.stack([(x @ x.T).double() for x in shifted]))
    assert (raw / exact - 1).abs().max() > 1e-3  # what centring avoids


def test_the_gram_matrix_does_not_depend_on_the_slices():
    features_NP = normal(7, 1000).float()
    torch.testing.assert_close(
        linear_gram(features_NP, budget_bytes=500), linear_gram(features_NP), rtol=1e-6, atol=1e-5
    )


def test_sums_of_minibatches_are_the_ratio_of_summed_hsic():
    batches = [grams(normal(n, 4, seed=n), normal(n, 5, seed=n) + 1) for n in (4, 6, 9)]
    sums = CKASums.zeros(3, 2)
    for gram_LNN in batches:
        sums.update(gram_LNN)
    total = sum(hsic1(gram_LNN) for gram_LNN in batches)
    expected = (total[0, 1] / (total[0, 0] * total[1, 1]).sqrt()).item()
    assert sums.cka()[0, 1].item() == pytest.approx(expected, rel=1e-12)
    without_last = sum(hsic1(gram_LNN) for gram_LNN in batches[:2])
    expected = (without_last[0, 1] / (without_last[0, 0] * without_last[1, 1]).sqrt()).item()
    assert sums.without_each_block()[2, 0, 1].item() == pytest.approx(expected, rel=1e-12)
    assert (sums.num_images, sums.batches_B.tolist()) == (19, [1, 1, 1])


def test_streams_of_disjoint_minibatches_add_up():
    first, second, both = (CKASums.zeros(2, 2) for _ in range(3))
    for seed in range(4):
        gram_LNN = grams(normal(6, 3, seed=seed), normal(6, 4, seed=seed + 9))
        (first if seed < 2 else second).update(gram_LNN)
        both.update(gram_LNN)
    joined = first + second
    torch.testing.assert_close(joined.hsic_BLL, both.hsic_BLL, rtol=1e-14, atol=0)
    assert joined.num_images == both.num_images == 24


def test_stored_tables_give_the_sums_of_the_stream():
    sums, stored = CKASums.zeros(2, 2), []
    for seed in range(3):
        gram_LNN = grams(normal(6, 3, seed=seed), normal(6, 4, seed=seed + 9))
        sums.update(gram_LNN)
        stored.append(hsic1(gram_LNN))
    stored.append(torch.full((2, 2), torch.nan))  # of two images: not looked at
    again = CKASums.of(torch.stack(stored), torch.tensor([6, 6, 6, 2]), num_blocks=2)
    assert torch.equal(again.hsic_BLL, sums.hsic_BLL)
    assert (again.num_images, again.num_skipped, again.batches_B.tolist()) == (18, 1, [2, 1])


def test_the_standard_error_is_the_spread_over_repeats():
    def study(seed: int) -> CKASums:
        sums = CKASums.zeros(8, 2)
        for batch in range(8):
            x_NP = normal(16, 5, seed=1000 * seed + batch)
            sums.update(grams(x_NP, x_NP + normal(16, 5, seed=1000 * seed + batch + 500)))
        return sums

    repeats = [study(seed) for seed in range(150)]
    spread = torch.stack([sums.cka()[0, 1] for sums in repeats]).std().item()
    stderr = torch.stack([sums.stderr()[0, 1] for sums in repeats]).mean().item()
    assert stderr == pytest.approx(spread, rel=0.15)


def test_blocks_without_minibatches_do_not_enter_the_standard_error():
    few, many = CKASums.zeros(5, 2), CKASums.zeros(50, 2)
    for seed in range(5):
        gram_LNN = grams(normal(8, 3, seed=seed), normal(8, 3, seed=seed) ** 3)
        few.update(gram_LNN)
        many.update(gram_LNN)
    torch.testing.assert_close(many.stderr(), few.stderr(), rtol=1e-12, atol=1e-15)


def test_four_minibatches_have_no_standard_error_five_have():
    sums = CKASums.zeros(50, 2)
    for seed in range(5):
        assert sums.stderr().isnan().all()
        sums.update(grams(normal(8, 3, seed=seed), normal(8, 3, seed=seed + 9)))
    assert sums.stderr().isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_constant_features_are_undefined_with_a_reason_and_spoil_nothing_else(dtype):
    constant_NP = torch.full((8, 300), 0.1).to(dtype)
    sums = CKASums.zeros(1, 3)
    sums.update(grams(normal(8, 3), constant_NP, normal(8, 3, seed=1)))
    cka_LL = sums.cka()
    assert cka_LL[1].isnan().all()
    assert cka_LL[:, 1].isnan().all()
    assert not cka_LL[0, 2].isnan()
    assert sums.reasons() == ["", "features are constant, or differ for one image alone", ""]


def test_features_that_differ_by_rounding_alone_are_constant():
    noisy_NP = (1 + 3e-8 * normal(8, 300)).float()
    assert (linear_gram(noisy_NP) == 0).all()


def test_one_odd_image_is_no_similarity():
    odd_NP = torch.zeros(8, 3)
    odd_NP[2] = torch.tensor([1.0, 2.0, 3.0])
    assert (u_centred(linear_gram(odd_NP)[None]) == 0).all()
    assert cka(odd_NP, normal(8, 3))[0].isnan().all()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 1e25])
def test_features_that_are_not_finite_are_undefined_with_a_reason(value):
    broken_NP = normal(8, 3).float()
    broken_NP[0, 1] = value
    sums = CKASums.zeros(1, 2)
    sums.update(grams(broken_NP, normal(8, 3, seed=1)))
    assert sums.cka().isnan().tolist() == [[True, True], [True, False]]
    assert sums.reasons() == ["features are not finite", ""]


def test_minibatches_of_fewer_than_four_images_are_skipped_and_counted():
    sums = CKASums.zeros(2, 2)
    sums.update(grams(normal(3, 3), normal(3, 3, seed=1)))
    assert (sums.num_skipped, sums.num_images) == (1, 0)
    assert sums.cka().isnan().all()
    assert sums.reasons() == ["no minibatch of at least 4 images"] * 2
    with pytest.raises(UserError, match="Gram matrices of at least 4 samples, found 3; use larger batches"):
        hsic1(torch.zeros(2, 3, 3))


def test_equally_deep_models_are_compared_layer_by_layer():
    table_TT = torch.rand(6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    table_TT = (table_TT + table_TT.T) / 2
    similarity_MM = matched_depth_cka(table_TT.fill_diagonal_(1), [3, 3])
    assert similarity_MM[0, 1].item() == pytest.approx(table_TT[:3, 3:].diagonal().mean().item())
    assert similarity_MM.diagonal().tolist() == [1.0, 1.0]


def test_the_shallower_model_waits_at_its_nearest_layer():
    # 3 layers at shares 0, 1/2, 1 of the depth; 6 at 0, 1/5, … : nearest are 0 0 1 1 2 2.
    table_TT = torch.eye(9, dtype=torch.float64)
    matched = list(zip([0, 0, 1, 1, 2, 2], range(3, 9), strict=True))
    for weight, (shallow, deep) in enumerate(matched):
        table_TT[shallow, deep] = table_TT[deep, shallow] = 2.0**weight
    similarity_MM = matched_depth_cka(table_TT, [3, 6])
    assert (similarity_MM[0, 1] * 6).item() == 63.0
    assert torch.equal(similarity_MM, similarity_MM.T)


def test_a_single_layer_is_compared_with_all_layers_of_the_other():
    table_TT = torch.eye(4, dtype=torch.float64)
    table_TT[0, 1:] = table_TT[1:, 0] = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    # Step 0 stands at share 0 of the depth, where the single layer is, and so do the others.
    assert matched_depth_cka(table_TT, [1, 3])[0, 1].item() == pytest.approx(0.2)


def test_an_undefined_layer_makes_its_pairs_undefined():
    table_TT = torch.eye(5, dtype=torch.float64)
    table_TT[1] = table_TT[:, 1] = torch.nan
    undefined_MM = matched_depth_cka(table_TT, [2, 2, 1]).isnan()
    assert undefined_MM.tolist() == [[True, True, True], [True, False, False], [True, False, False]]
    several_BTT = torch.stack([table_TT, torch.eye(5, dtype=torch.float64)])
    assert matched_depth_cka(several_BTT, [2, 2, 1]).isnan().any(-1).any(-1).tolist() == [True, False]
