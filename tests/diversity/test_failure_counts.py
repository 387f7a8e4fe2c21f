"""Failure counts agree with counting by hand, add up, leave blocks out, and hold for many models."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from nversion.core import UserError
from nversion.diversity import FailureCounts, PairCounts
from nversion.ensembles import Ensembles


def random_right(num_models, num_samples, num_blocks, seed):
    rng = torch.Generator().manual_seed(seed)
    right_MN = torch.rand(num_models, num_samples, generator=rng) < 0.6
    return right_MN, torch.randint(num_blocks, (num_samples,), generator=rng)


def counted_by_hand(right_MN, blocks_N, num_blocks, ensembles):
    right_MN, blocks_N = right_MN.numpy(), blocks_N.numpy()
    counts = np.zeros((num_blocks, len(ensembles), ensembles.size + 1))
    for e, members in enumerate(ensembles.members_EK.tolist()):
        num_failing_N = (~right_MN[members]).sum(0)
        for block in range(num_blocks):
            counts[block, e] = np.bincount(num_failing_N[blocks_N == block], minlength=ensembles.size + 1)
    return torch.from_numpy(counts)


@given(st.integers(2, 6), st.data(), st.integers(0, 40), st.integers(1, 6), st.integers(0, 999))
@settings(max_examples=40)
def test_counts_are_those_of_a_loop_over_ensembles(num_models, data, num_samples, num_blocks, seed):
    ensembles = Ensembles.all_of(num_models, data.draw(st.integers(1, num_models)))
    right_MN, blocks_N = random_right(num_models, num_samples, num_blocks, seed)
    ours = FailureCounts.from_right(right_MN, blocks_N, num_blocks, ensembles)
    assert torch.equal(ours.counts_BEK1, counted_by_hand(right_MN, blocks_N, num_blocks, ensembles))


@pytest.mark.parametrize("num_models", [31, 32, 33, 63, 64, 65, 70, 130])
def test_more_models_than_an_integer_has_bits_are_told_apart(num_models):
    right_MN, blocks_N = random_right(num_models, 300, 4, seed=num_models)
    # Copies that differ in one model each: the first, the last, those beside each boundary.
    right_MN = right_MN[:, :1].repeat(1, 300)
    flipped_N = torch.arange(300) % num_models
    right_MN[flipped_N, torch.arange(300)] ^= True
    ensembles = Ensembles.sample(num_models, 5, 200, seed=0)
    ours = FailureCounts.from_right(right_MN, blocks_N, 4, ensembles)
    assert torch.equal(ours.counts_BEK1, counted_by_hand(right_MN, blocks_N, 4, ensembles))


@pytest.mark.parametrize("budget_bytes", [1, 3_000, 100_000, 1 << 30])
def test_the_byte_budget_changes_no_count(budget_bytes):
    right_MN, blocks_N = random_right(7, 500, 5, seed=1)
    ensembles = Ensembles.all_of(7, 3)
    ours = FailureCounts.from_right(right_MN, blocks_N, 5, ensembles, budget_bytes=budget_bytes)
    assert torch.equal(ours.counts_BEK1, counted_by_hand(right_MN, blocks_N, 5, ensembles))


@given(st.integers(0, 60), st.integers(0, 999))
@settings(max_examples=25)
def test_counts_of_two_parts_add_up_to_the_whole(cut, seed):
    right_MN, blocks_N = random_right(4, 60, 5, seed)
    triples = Ensembles.all_of(4, 3)
    whole = FailureCounts.from_right(right_MN, blocks_N, 5, triples)
    first = FailureCounts.from_right(right_MN[:, :cut], blocks_N[:cut], 5, triples)
    second = FailureCounts.from_right(right_MN[:, cut:], blocks_N[cut:], 5, triples)
    assert torch.equal((first + second).counts_BEK1, whole.counts_BEK1)


def test_counts_without_a_block_are_the_counts_of_the_other_samples():
    right_MN, blocks_N = random_right(5, 80, 4, seed=3)
    triples = Ensembles.all_of(5, 3)
    without_BEK1 = FailureCounts.from_right(right_MN, blocks_N, 4, triples).without_each_block()
    for block in range(4):
        kept_N = blocks_N != block
        rest = FailureCounts.from_right(right_MN[:, kept_N], blocks_N[kept_N], 4, triples)
        assert torch.equal(without_BEK1[block], rest.total())


def test_every_sample_is_counted_once_for_every_ensemble():
    right_MN, blocks_N = random_right(6, 90, 3, seed=4)
    counts = FailureCounts.from_right(right_MN, blocks_N, 3, Ensembles.all_of(6, 4))
    per_block_B = torch.bincount(blocks_N, minlength=3).double()
    assert torch.equal(counts.counts_BEK1.sum(-1), per_block_B[:, None].expand(3, 15))


def test_pairs_fail_as_their_pair_counts_say():
    right_MN, blocks_N = random_right(5, 70, 3, seed=5)
    pairs = Ensembles.all_of(5, 2)
    first_E, second_E = pairs.members_EK.T
    n11, n10, n01, n00 = PairCounts.from_right(right_MN, blocks_N, 3).total()
    expected_3MM = torch.stack([n11, n10 + n01, n00])
    total_EK1 = FailureCounts.from_right(right_MN, blocks_N, 3, pairs).total()
    assert torch.equal(total_EK1.T, expected_3MM[:, first_E, second_E])


def test_ensembles_of_one_member_count_its_failures():
    right_MN, blocks_N = random_right(3, 40, 2, seed=6)
    counts = FailureCounts.from_right(right_MN, blocks_N, 2, Ensembles.all_of(3, 1))
    assert counts.size == 1
    assert torch.equal(counts.total()[:, 1], (~right_MN).sum(1).double())


def test_right_must_be_of_the_ensembles_models():
    right_MN, blocks_N = random_right(3, 9, 2, seed=0)
    with pytest.raises(UserError, match=r"expected right and wrong of 4 models.*found 3 models"):
        FailureCounts.from_right(right_MN, blocks_N, 2, Ensembles.all_of(4, 2))


def test_a_block_out_of_range_is_named():
    right_MN, _ = random_right(3, 3, 1, seed=0)
    with pytest.raises(UserError, match="expected blocks in 0 to 1, found 0 to 2"):
        FailureCounts.from_right(right_MN, torch.tensor([0, 1, 2]), 2, Ensembles.all_of(3, 2))


def test_counts_of_other_ensembles_do_not_add():
    right_MN, blocks_N = random_right(4, 9, 2, seed=0)
    two, three = (FailureCounts.from_right(right_MN, blocks_N, 2, Ensembles.all_of(4, k)) for k in (2, 3))
    with pytest.raises(UserError, match="expected counts of the same blocks and ensembles"):
        two + three
