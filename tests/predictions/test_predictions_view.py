"""The view gives the same numbers in chunks of any size, and blocks that are fair and shared."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nversion.ensembles import CONSENSUS, Ensembles, evaluate_sizes
from nversion.predictions import ConditionPredictions, block_of_each_sample


def view(num_samples=11, num_models=3, num_classes=4, dtype=np.float16, accepted=None):
    rng = np.random.default_rng(0)
    logits = tuple(rng.normal(size=(num_samples + 2, num_classes)).astype(dtype) for _ in range(num_models))
    rows_N = np.delete(np.arange(num_samples + 2), [1, 5])
    blocks_N = block_of_each_sample([f"s{i}" for i in rows_N], 4)
    return ConditionPredictions(
        "d/clean", ("a", "b", "c"), logits, rows_N, rows_N % num_classes, blocks_N, accepted or {}
    )


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


# --- further accepted labels


def further(predictions):
    """Every second sample accepts the next class, every fourth the one after, too."""
    labels_N, num_classes = predictions.labels_N, predictions.num_classes
    return {
        i: tuple((labels_N[i] + k) % num_classes for k in range(1, 2 + (i % 4 == 0))) for i in range(0, 11, 2)
    }


def test_a_sample_has_one_label_unless_told_otherwise():
    predictions = view()
    assert all(chunk.known_right_MN is None for chunk in predictions.chunks(100))
    assert list(predictions.alternative_chunks()) == []
    predicted_MN = torch.arange(11).expand(3, 11) % 4
    assert torch.equal(
        predictions.accepted_sets.right_MN(predicted_MN),
        predicted_MN == torch.from_numpy(predictions.labels_N),
    )


@pytest.mark.parametrize("budget_bytes", [1, 100, 333, 1 << 20])
def test_models_are_right_about_every_label_that_a_sample_accepts(budget_bytes):
    accepted = further(view())
    predictions = view(accepted=accepted)
    predicted_MN = torch.from_numpy(np.stack(predictions.logits)[:, predictions.rows_N].argmax(-1))
    expected = [
        [label in {predictions.labels_N[i], *accepted.get(i, ())} for i, label in enumerate(row)]
        for row in predicted_MN.tolist()
    ]
    right_MN = torch.cat([chunk.right_MN for chunk in predictions.chunks(budget_bytes)], dim=1)
    assert right_MN.tolist() == expected
    assert predictions.accepted_sets.right_MN(predicted_MN).tolist() == expected


@pytest.mark.parametrize("budget_bytes", [1, 333, 1 << 20])
def test_alternatives_are_the_samples_once_more_with_each_further_label(budget_bytes):
    accepted = further(view())
    predictions = view(accepted=accepted)
    chunks = list(predictions.alternative_chunks(budget_bytes))
    whole = next(predictions.chunks(1 << 20))
    samples = [sample for sample in accepted for _ in accepted[sample]]
    assert torch.cat([c.labels_N for c in chunks]).tolist() == [x for i in accepted for x in accepted[i]]
    assert torch.equal(torch.cat([c.logits_MNC for c in chunks], 1), whole.logits_MNC[:, samples])
    assert torch.equal(torch.cat([c.blocks_N for c in chunks]), whole.blocks_N[samples])
    assert torch.equal(torch.cat([c.right_MN for c in chunks], 1), whole.right_MN[:, samples])
    assert [c.start for c in chunks] == np.cumsum([0, *[len(c.labels_N) for c in chunks[:-1]]]).tolist()


def neighbours_accept():
    """Runs of samples with further labels: 0 to 3 (0 and 1 have two), 5, 9 and 10."""
    labels_N = view().labels_N
    return {
        i: tuple((labels_N[i] + k) % 4 for k in range(1, 3 if i < 2 else 2)) for i in (0, 1, 2, 3, 5, 9, 10)
    }


@pytest.mark.parametrize(("budget_bytes", "starts"), [(1 << 20, [0, 5, 9, 0]), (100, [0, 2, 5, 9, 0])])
def test_alternatives_may_keep_the_index_of_their_sample(budget_bytes, starts):
    predictions = view(accepted=neighbours_accept())
    chunks = list(predictions.alternative_chunks(budget_bytes, in_place=True))
    assert [chunk.start for chunk in chunks] == starts
    whole = next(predictions.chunks())
    for chunk in chunks:
        samples = slice(chunk.start, chunk.start + len(chunk.labels_N))
        assert torch.equal(chunk.logits_MNC, whole.logits_MNC[:, samples])
    found = [(chunk.start + i, label) for chunk in chunks for i, label in enumerate(chunk.labels_N.tolist())]
    assert sorted(found) == [(i, x) for i, labels in neighbours_accept().items() for x in sorted(labels)]


@pytest.mark.parametrize("draw_seed", [0, 1, 2])
def test_a_drawn_winner_is_right_about_one_of_the_labels_at_most(draw_seed):
    everything = {i: tuple(x for x in range(4) if x != label) for i, label in enumerate(view().labels_N)}
    predictions = view(accepted=everything)  # any winner is right, if each sample draws one winner only

    def right_BE(chunks):
        ensembles = [Ensembles.all_of(3, 2)]
        of_size = evaluate_sizes(chunks, ensembles, ["vote"], predictions.num_blocks, draw_seed=draw_seed)
        return of_size[0]["vote"].correct_BE

    summed_BE = right_BE(predictions.chunks()) + right_BE(predictions.alternative_chunks(in_place=True))
    assert summed_BE.sum(0).tolist() == [11.0] * 3


@pytest.mark.parametrize("rule", CONSENSUS)
def test_right_answers_about_both_kinds_of_chunks_add_to_those_of_all_accepted_labels(rule):
    accepted = further(view())
    predictions = view(accepted=accepted)
    ensembles = [Ensembles.all_of(3, 2)]  # pairs: a vote of two ties often, and its ties are shared

    def right_BE(chunks):
        return evaluate_sizes(chunks, ensembles, [rule], predictions.num_blocks)[0][rule].correct_BE

    summed_BE = right_BE(predictions.chunks()) + right_BE(predictions.alternative_chunks())
    expected_BE = torch.zeros_like(summed_BE)
    for label in range(4):  # the probability that this class wins, sample by sample
        relabelled = view()
        relabelled.labels_N[:] = label
        for sample in range(11):
            if label in {predictions.labels_N[sample], *accepted.get(sample, ())}:
                (chunk,) = [c for c in relabelled.chunks(1) if c.start == sample]
                expected_BE += right_BE([chunk])
    assert torch.allclose(summed_BE, expected_BE, rtol=0, atol=1e-12)
