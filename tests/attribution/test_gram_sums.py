"""Streamed sums of Gram matrices: additive, per block, and honest about what they left out."""

import torch
from torch import Tensor

from nversion.attribution import GramSums


def random_grams(num_samples: int, num_models: int) -> Tensor:
    maps_NMP = torch.randn(num_samples, num_models, 7, generator=torch.Generator().manual_seed(0)).double()
    return maps_NMP @ maps_NMP.mT


def test_batches_add_up_to_the_sums_of_all_samples():
    gram_NMM, blocks_N = random_grams(9, 4), torch.tensor([0, 1, 2, 0, 1, 2, 0, 0, 2])
    sums = GramSums.zeros(3, 4)
    for start in (0, 4, 8):
        sums.update(gram_NMM[start : start + 4], blocks_N[start : start + 4])
    for block in range(3):
        torch.testing.assert_close(sums.gram_BMM[block], gram_NMM[blocks_N == block].sum(0))
    assert sums.count_B.tolist() == [4, 2, 3]
    torch.testing.assert_close(sums.mean_gram(), gram_NMM.mean(0))


def test_two_halves_merge_into_the_whole():
    gram_NMM, blocks_N = random_grams(6, 3), torch.tensor([0, 1, 0, 1, 0, 1])
    merged = GramSums.of(gram_NMM[:2], blocks_N[:2], 2) + GramSums.of(gram_NMM[2:], blocks_N[2:], 2)
    whole = GramSums.of(gram_NMM, blocks_N, 2)
    torch.testing.assert_close(merged.gram_BMM, whole.gram_BMM)
    assert merged.count_B.tolist() == whole.count_B.tolist() == [3, 3]


def test_leaving_a_block_out_averages_over_the_other_samples():
    gram_NMM, blocks_N = random_grams(5, 3), torch.tensor([0, 0, 1, 1, 1])
    rest_BMM = GramSums.of(gram_NMM, blocks_N, 2).leave_one_block_out()
    torch.testing.assert_close(rest_BMM, torch.stack([gram_NMM[2:].mean(0), gram_NMM[:2].mean(0)]))


def test_a_sample_with_an_undefined_map_is_left_out_and_counted():
    gram_NMM, blocks_N = random_grams(4, 3), torch.tensor([0, 0, 1, 1])
    gram_NMM[2, 1, :] = gram_NMM[2, :, 1] = torch.nan
    sums = GramSums.of(gram_NMM, blocks_N, 2)
    assert sums.count_B.tolist() == [2, 1]
    assert sums.left_out_B.tolist() == [0, 1]
    assert sums.undefined_BM.tolist() == [[0, 0, 0], [0, 1, 0]]
    torch.testing.assert_close(sums.mean_gram(), gram_NMM[[0, 1, 3]].mean(0))


def test_no_defined_sample_gives_nan_and_not_zero():
    assert GramSums.zeros(2, 3).mean_gram().isnan().all()
    one_block = GramSums.of(random_grams(2, 3), torch.zeros(2, dtype=torch.int64), 1)
    assert one_block.leave_one_block_out().isnan().all()
