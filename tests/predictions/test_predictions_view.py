"""The view gives the same numbers in chunks of any size, and blocks that are fair and shared."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nversion.predictions import Predictions, block_of_each_sample


def view(num_samples=11, num_models=3, num_classes=4, dtype=np.float16):
    rng = np.random.default_rng(0)
    logits = tuple(rng.normal(size=(num_samples + 2, num_classes)).astype(dtype) for _ in range(num_models))
    rows_N = np.delete(np.arange(num_samples + 2), [1, 5])
    blocks_N = block_of_each_sample([f"s{i}" for i in rows_N], 4)
    return Predictions("d/clean", ("a", "b", "c"), logits, rows_N, rows_N % num_classes, blocks_N)


@pytest.mark.parametrize(("budget_bytes", "lengths"), [(48 * 4, [4, 4, 3]), (1, [1] * 11), (1 << 20, [11])])
def test_a_chunk_holds_as_many_samples_as_the_budget_allows(budget_bytes, lengths):
    chunks = list(view().chunks(budget_bytes))  # 3 models × 4 classes × 4 bytes = 48 bytes a sample
    assert [len(chunk.labels_N) for chunk in chunks] == lengths
    assert [chunk.start for chunk in chunks] == np.cumsum([0, *lengths[:-1]]).tolist()
    assert all(chunk.logits_MNC.numel() * 4 <= max(budget_bytes, 48) for chunk in chunks)


@pytest.mark.parametrize("budget_bytes", [1, 100, 333, 1 << 20])
def test_chunks_of_any_budget_join_to_the_readable_rows(budget_bytes):
    predictions = view()
    chunks = list(predictions.chunks(budget_bytes))
    joined_MNC = torch.cat([chunk.logits_MNC for chunk in chunks], dim=1)
    stored_MNC = np.stack(predictions.logits)[:, predictions.rows_N].astype(np.float32)
    assert joined_MNC.dtype == torch.float32
    assert np.array_equal(joined_MNC.numpy(), stored_MNC)
    assert torch.cat([c.labels_N for c in chunks]).tolist() == predictions.labels_N.tolist()
    assert torch.cat([c.blocks_N for c in chunks]).tolist() == predictions.blocks_N.tolist()


def test_a_view_knows_its_sizes():
    predictions = view()
    assert (len(predictions), predictions.num_classes, predictions.num_blocks) == (11, 4, 4)


@given(st.integers(1, 300), st.integers(2, 60))
def test_blocks_differ_by_one_sample_at_most_and_none_is_empty(num_samples, num_blocks):
    sizes = np.bincount(block_of_each_sample([str(i) for i in range(num_samples)], num_blocks))
    assert len(sizes) == min(num_samples, num_blocks)
    assert sizes.max() - sizes.min() <= 1


def test_the_blocks_of_a_number_of_samples_are_always_the_same_ones():
    ids = [str(i) for i in range(8)]
    assert block_of_each_sample(ids, 4).tolist() == block_of_each_sample(ids, 4).tolist()
    assert sorted(block_of_each_sample(ids, 4).tolist()) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert block_of_each_sample(ids, 4).tolist() != [0, 0, 1, 1, 2, 2, 3, 3]
