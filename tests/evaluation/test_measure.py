"""Measures of one condition against loops in NumPy, and leave-one-block-out against leaving out."""

from itertools import combinations

import numpy as np
import pytest
import torch

from nversion.diversity import attribution_metric, metrics_of
from nversion.ensembles import Ensembles
from nversion.evaluation.measure import AttributedGrams, measure_condition
from nversion.predictions import ConditionPredictions, block_of_each_sample
from nversion.study.spec import EnsemblesTable

N, M, C, B = 40, 4, 3, 5
MAPS = attribution_metric("saliency", "label", "none")
RULES = ["average", "probability", "vote"]
FAMILIES = [Ensembles.all_of(M, 2), Ensembles.all_of(M, 3)]


def case(keep=None):
    """Random logits, labels, blocks and Grams; `keep` takes some of the samples, with their blocks."""
    rng = np.random.default_rng(7)
    labels_N = rng.integers(0, C, N)
    logits_MNC = rng.normal(size=(M, N, C)).astype(np.float32)
    logits_MNC[:, np.arange(N), labels_N] += 0.8
    maps_NMP = rng.normal(size=(N, M, 6))
    blocks_N = block_of_each_sample([str(i) for i in range(N)], B)
    rows_N = np.arange(N) if keep is None else np.flatnonzero(keep)
    predictions = ConditionPredictions(
        "d/clean", tuple("abcd"), tuple(logits_MNC), rows_N, labels_N[rows_N], blocks_N[rows_N]
    )
    maps_NMP = maps_NMP[rows_N]
    grams = {MAPS: stored(np.einsum("nip,njp->nij", maps_NMP, maps_NMP))}
    return predictions, grams, logits_MNC[:, rows_N], labels_N[rows_N], maps_NMP


def stored(gram_NMM):
    """Gram matrices of every sample of a condition."""
    return AttributedGrams(gram_NMM, np.arange(len(gram_NMM)), torch.arange(len(gram_NMM)))


def asked(consensus=RULES, **settings):
    return EnsemblesTable(sizes=[2, 3], consensus=consensus, num_blocks=B, **settings)


def measured(keep=None):
    predictions, grams, *_ = case(keep)
    return measure_condition(predictions, FAMILIES, asked(), grams)


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def accuracy_by_loop(rule, logits_KNC, labels_N):
    right = 0.0
    for n, label in enumerate(labels_N):
        if rule == "vote":
            votes = np.bincount(logits_KNC[:, n].argmax(-1), minlength=C)
            right += (votes[label] == votes.max()) / (votes == votes.max()).sum()
        else:
            values = logits_KNC[:, n] if rule == "average" else softmax(logits_KNC[:, n])
            right += values.mean(0).argmax() == label
    return right / len(labels_N)


@pytest.mark.parametrize("rule", RULES)
def test_accuracy_and_improvement_are_those_of_a_loop(rule):
    _, _, logits_MNC, labels_N, _ = case()
    alone_M = (logits_MNC.argmax(-1) == labels_N).mean(1)
    for result in measured().sizes:
        for e, members in enumerate(result.ensembles.members_EK.tolist()):
            together = accuracy_by_loop(rule, logits_MNC[members], labels_N)
            assert result.evaluations[rule].accuracy.full_E[e].item() == pytest.approx(together)
            assert result.improvement[rule].full_E[e].item() == pytest.approx(
                together - alone_M[members].max()
            )
            assert result.best_member_E[e].item() == pytest.approx(alone_M[members].max())
            assert result.mean_member.full_E[e].item() == pytest.approx(alone_M[members].mean())


def test_disagreement_and_double_fault_are_those_of_a_loop():
    _, _, logits_MNC, labels_N, _ = case()
    right_MN = logits_MNC.argmax(-1) == labels_N
    for result in measured().sizes:
        for e, members in enumerate(result.ensembles.members_EK.tolist()):
            pairs = list(combinations(members, 2))
            disagreement = np.mean([(right_MN[i] != right_MN[j]).mean() for i, j in pairs])
            double_fault = np.mean([(~right_MN[i] & ~right_MN[j]).mean() for i, j in pairs])
            assert result.diversity["disagreement"].full_E[e].item() == pytest.approx(disagreement)
            assert result.diversity["double_fault"].full_E[e].item() == pytest.approx(double_fault)


def test_attribution_diversity_is_the_variance_of_the_maps():
    *_, maps_NMP = case()
    for result in measured().sizes:
        for e, members in enumerate(result.ensembles.members_EK.tolist()):
            variance = maps_NMP[:, members].var(axis=1).sum(-1).mean()
            assert result.diversity[MAPS.name].full_E[e].item() == pytest.approx(variance)


@pytest.mark.parametrize("block", range(B))
def test_without_a_block_is_what_the_other_images_give(block):
    blocks_N = block_of_each_sample([str(i) for i in range(N)], B)
    full, rest = measured(), measured(blocks_N != block)
    assert set(metrics_of()) < set(full.sizes[0].diversity)
    for of_all, of_rest in zip(full.sizes, rest.sizes, strict=True):
        pairs = [(of_all.mean_member, of_rest.mean_member)]
        pairs += [(of_all.evaluations[rule].accuracy, of_rest.evaluations[rule].accuracy) for rule in RULES]
        for kind in ("improvement", "diversity"):
            pairs += [(m, getattr(of_rest, kind)[name]) for name, m in getattr(of_all, kind).items()]
        for with_blocks, alone in pairs:
            assert torch.allclose(with_blocks.without_BE[block], alone.full_E, rtol=1e-12, equal_nan=True)


def test_an_undefined_map_leaves_its_image_out_and_is_counted():
    predictions, *_, maps_NMP = case()
    gram_nMM = np.einsum("nip,njp->nij", maps_NMP, maps_NMP)
    gram_nMM[3, 1] = gram_nMM[3, :, 1] = np.nan
    table = asked(["average"], diversity=[])
    without = measure_condition(predictions, FAMILIES, table, {MAPS: stored(gram_nMM)}).sizes[0]
    mean_MM = torch.from_numpy(np.delete(gram_nMM, 3, 0).mean(0))
    by_hand_E = [
        ((mean_MM[i, i] + mean_MM[j, j] - 2 * mean_MM[i, j]) / 4).item() for i, j in combinations(range(M), 2)
    ]
    assert without.diversity[MAPS.name].full_E.tolist() == pytest.approx(by_hand_E)
    assert without.diversity[MAPS.name].undefined_E.tolist() == [1] * 6


def test_tied_votes_can_be_settled_by_a_seeded_draw():
    predictions, *_ = case()

    def votes(draw_seed):
        table = asked(["vote"], diversity=[], draw_seed=draw_seed)
        result = measure_condition(predictions, FAMILIES[:1], table, {}).sizes[0]
        return (result.evaluations["vote"].accuracy.full_E * len(predictions)).tolist()

    assert votes(0) == votes(0)
    assert all(number == int(number) for number in map(round_off, votes(0)))
    assert any(number != int(number) for number in map(round_off, votes(None)))


def round_off(number):
    return round(number, 9)


def test_equal_gains_are_equal_numbers():
    for of_size in measured().sizes:
        gains_E = of_size.improvement["average"].full_E * N
        assert torch.unique(gains_E.round(decimals=6)).numel() == torch.unique(gains_E).numel()
