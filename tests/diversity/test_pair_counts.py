"""Pair counts agree with counting by hand, add up, and leave blocks out."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from nversion.core import UserError
from nversion.diversity import PairCounts, leave_one_block_out


def random_right(num_models, num_samples, num_blocks, seed):
    rng = torch.Generator().manual_seed(seed)
    right_MN = torch.rand(num_models, num_samples, generator=rng) < 0.6
    return right_MN, torch.randint(num_blocks, (num_samples,), generator=rng)


def counted_by_hand(right_MN, blocks_N, num_blocks):
    num_models = len(right_MN)
    tables = torch.zeros(4, num_blocks, num_models, num_models, dtype=torch.float64)
    for right_M, block in zip(right_MN.T.tolist(), blocks_N.tolist(), strict=True):
        for i, first in enumerate(right_M):
            for k, second in enumerate(right_M):
                cell = [(True, True), (True, False), (False, True), (False, False)].index((first, second))
                tables[cell, block, i, k] += 1
    return tables


@given(st.integers(1, 5), st.integers(0, 40), st.integers(1, 6), st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_counts_are_those_of_a_loop_over_samples_and_pairs(num_models, num_samples, num_blocks, seed):
    right_MN, blocks_N = random_right(num_models, num_samples, num_blocks, seed)
    counts = PairCounts.from_right(right_MN, blocks_N, num_blocks)
    expected = counted_by_hand(right_MN, blocks_N, num_blocks)
    assert torch.equal(torch.stack(counts.each_block()), expected)


def test_very_unequal_blocks_are_counted_too():
    right_MN, _ = random_right(3, 500, 1, seed=1)
    blocks_N = torch.where(torch.arange(500) < 3, torch.arange(500), 7)
    counts = PairCounts.from_right(right_MN, blocks_N, 9)
    assert torch.equal(torch.stack(counts.each_block()), counted_by_hand(right_MN, blocks_N, 9))


@given(st.integers(0, 60), st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_counts_of_two_parts_add_up_to_the_whole(cut, seed):
    right_MN, blocks_N = random_right(4, 60, 5, seed)
    whole = PairCounts.from_right(right_MN, blocks_N, 5)
    first = PairCounts.from_right(right_MN[:, :cut], blocks_N[:cut], 5)
    second = PairCounts.from_right(right_MN[:, cut:], blocks_N[cut:], 5)
    assert torch.equal((first + second).both_right_BMM, whole.both_right_BMM)
    assert torch.equal((first + second).both_wrong_BMM, whole.both_wrong_BMM)


def test_counts_without_a_block_are_the_counts_of_the_other_samples():
    right_MN, blocks_N = random_right(3, 50, 4, seed=3)
    without = PairCounts.from_right(right_MN, blocks_N, 4).without_each_block()
    for block in range(4):
        kept_N = blocks_N != block
        rest = PairCounts.from_right(right_MN[:, kept_N], blocks_N[kept_N], 4).total()
        for cell, expected in zip(without, rest, strict=True):
            assert torch.equal(cell[block], expected)


def test_leave_one_block_out_is_the_total_minus_the_block():
    sums_BE = torch.tensor([[1.0, 5.0], [2.0, 6.0], [4.0, 7.0]])
    assert leave_one_block_out(sums_BE).tolist() == [[6.0, 13.0], [5.0, 12.0], [3.0, 11.0]]


def test_each_models_own_count_is_its_number_right():
    right_MN, blocks_N = random_right(3, 40, 2, seed=5)
    counts = PairCounts.from_right(right_MN, blocks_N, 2)
    assert torch.equal(counts.right_BM.sum(0), right_MN.sum(1).double())


def test_right_must_be_a_bool_matrix():
    with pytest.raises(UserError, match=r"expected a bool matrix of models × samples, found torch.float32"):
        PairCounts.from_right(torch.ones(2, 3), torch.zeros(3, dtype=torch.int64), 1)


def test_blocks_must_fit_the_samples():
    with pytest.raises(UserError, match="expected one block for each of 3 samples"):
        PairCounts.from_right(torch.ones(2, 3, dtype=torch.bool), torch.zeros(4, dtype=torch.int64), 1)


def test_a_block_out_of_range_is_named():
    with pytest.raises(UserError, match="expected blocks in 0 to 1, found 0 to 2"):
        PairCounts.from_right(torch.ones(2, 3, dtype=torch.bool), torch.tensor([0, 1, 2]), 2)


def test_counts_of_other_models_do_not_add():
    two, three = (PairCounts.from_right(*random_right(m, 9, 2, 0), 2) for m in (2, 3))
    with pytest.raises(UserError, match="expected counts of the same blocks and models"):
        two + three
