"""Calibration of every ensemble, against the plain softmax of one ensemble after the other."""

import math

import numpy as np
import pytest
import scipy.special
import sklearn.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nversion.core import UserError
from nversion.ensembles import CalibrationStatistics, Chunk, EnsembleCalibration, Ensembles, evaluate

NUM_BLOCKS = 3


def random_chunk(seed: int, num_models: int = 6, n: int = 24, c: int = 10, scale: float = 2.0) -> Chunk:
    generator = torch.Generator().manual_seed(seed)
    labels_N = torch.randint(0, c, (n,), generator=generator)
    logits_MNC = torch.randn(num_models, n, c, generator=generator) * scale
    logits_MNC += torch.randn(n, c, generator=generator)
    logits_MNC[:, torch.arange(n), labels_N] += 2.0
    return Chunk(0, logits_MNC, labels_N, torch.arange(n) % 7 % NUM_BLOCKS)


def part(chunk: Chunk, kept: slice | Tensor) -> Chunk:
    known = chunk.known_right_MN
    return Chunk(
        0,
        chunk.logits_MNC[:, kept],
        chunk.labels_N[kept],
        chunk.blocks_N[kept],
        None if known is None else known[:, kept],
    )


def seen(
    chunk: Chunk,
    ensembles: Ensembles,
    length: int = 100,
    cost_CC: Tensor | None = None,
    budget_bytes: int = 1 << 28,
) -> EnsembleCalibration:
    statistics = CalibrationStatistics(ensembles, NUM_BLOCKS, cost_CC=cost_CC, budget_bytes=budget_bytes)
    for start in range(0, len(chunk.labels_N), length):
        statistics.update(part(chunk, slice(start, start + length)))
    return statistics.result()


def error_by_loop(confidence: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    l1, l2 = 0.0, 0.0
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        size = inside.sum()
        if size:
            gap = confidence[inside].mean() - right[inside].mean()
            l1 += size * abs(gap)
        if size > 1:
            l2 += size * (gap**2 - right[inside].var(ddof=1) / size)
    return l1 / len(right), math.sqrt(max(0.0, l2 / len(right)))


def assert_plain(chunk: Chunk, ensembles: Ensembles, result: EnsembleCalibration, atol: float = 1e-6) -> None:
    """Every number is that of float64 softmax, scipy and scikit-learn, one ensemble after the other."""
    labels = chunk.labels_N.numpy()
    classes = range(chunk.logits_MNC.shape[-1])
    log_p_MNC = scipy.special.log_softmax(chunk.logits_MNC.double().numpy(), -1)
    losses_M = [sklearn.metrics.log_loss(labels, np.exp(log_p), labels=classes) for log_p in log_p_MNC]
    for e, members in enumerate(ensembles.members_EK.tolist()):
        mean_NC = chunk.logits_MNC[members].double().mean(0).numpy()
        g_NC = scipy.special.softmax(mean_NC, -1)
        # brier_score_loss takes more than two classes only since scikit-learn 1.7.
        brier = sklearn.metrics.mean_squared_error(np.eye(len(classes))[labels], g_NC) * len(classes)
        loss = sklearn.metrics.log_loss(labels, g_NC, labels=classes)
        divergence = -scipy.special.logsumexp(log_p_MNC[members].mean(0), axis=-1).mean()
        ece, debiased = error_by_loop(g_NC.max(-1), g_NC.argmax(-1) == labels)
        expected = {
            "nll": loss,
            "brier": brier,
            "mean_member_nll": np.mean([losses_M[m] for m in members]),
            "ambiguity": divergence,
        }
        for name, value in expected.items():
            assert getattr(result, name).full_E[e].item() == pytest.approx(value, abs=atol, rel=atol), name
        assert result.ece_E[e].item() == pytest.approx(ece, abs=atol)
        assert result.ece_debiased_E[e].item() == pytest.approx(debiased, abs=10 * atol)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6])
def test_every_number_is_that_of_the_plain_softmax(size: int) -> None:
    chunk, ensembles = random_chunk(size), Ensembles.all_of(6, size)
    assert_plain(chunk, ensembles, seen(chunk, ensembles))


def test_seven_members_work() -> None:
    chunk, ensembles = random_chunk(7, num_models=9), Ensembles.all_of(9, 7)
    assert_plain(chunk, ensembles, seen(chunk, ensembles))


def test_a_draw_from_many_models_is_computed_without_a_table_of_halves() -> None:
    chunk, ensembles = random_chunk(8, num_models=60), Ensembles.sample(60, 4, 40, seed=0)
    statistics = CalibrationStatistics(ensembles, NUM_BLOCKS)
    statistics.update(chunk)
    assert not statistics._parts[0]._as_table
    assert_plain(chunk, ensembles, statistics.result())


def test_two_binary_members_by_hand() -> None:
    # Mean logits (ln 3) / 2: g = √3 / (1 + √3) for the label; the members have 3/4 and 1/2.
    logits_MNC = torch.tensor([[[math.log(3.0), 0.0]], [[0.0, 0.0]]])
    chunk = Chunk(0, logits_MNC, torch.tensor([0]), torch.tensor([0]))
    result = seen(chunk, Ensembles.all_of(2, 2))
    g = math.sqrt(3) / (1 + math.sqrt(3))
    assert result.nll.full_E.item() == pytest.approx(-math.log(g), abs=1e-6)
    assert result.brier.full_E.item() == pytest.approx(2 * (1 - g) ** 2, abs=1e-6)
    assert result.mean_member_nll.full_E.item() == pytest.approx(-math.log(0.75 * 0.5) / 2, abs=1e-6)
    expected = -math.log(math.sqrt(0.75 * 0.5) + math.sqrt(0.25 * 0.5))
    assert result.ambiguity.full_E.item() == pytest.approx(expected, abs=1e-6)
    assert result.ece_E.item() == pytest.approx(1 - g, abs=1e-6)


@given(seed=st.integers(0, 999), size=st.integers(2, 6), scale=st.sampled_from([0.1, 1.0, 5.0]))
@settings(max_examples=20, deadline=None)
def test_averaging_gains_the_mean_divergence_from_the_ensemble(seed: int, size: int, scale: float) -> None:
    """Mean member loss − ensemble loss = mean_i KL(g, p_i) = −ln Σ_c exp(mean_i ln p_ic), label or not."""
    chunk, ensembles = random_chunk(seed, scale=scale), Ensembles.all_of(6, size)
    result = seen(chunk, ensembles)
    log_p_MNC = chunk.logits_MNC.double().log_softmax(-1)
    for e, members in enumerate(ensembles.members_EK.tolist()):
        log_g_NC = log_p_MNC[members].mean(0).log_softmax(-1)
        kl_KN = (log_g_NC.exp() * (log_g_NC - log_p_MNC[members])).sum(-1)
        ambiguity_N = -log_p_MNC[members].mean(0).logsumexp(-1)
        torch.testing.assert_close(kl_KN.mean(0), ambiguity_N)
        assert result.ambiguity.full_E[e].item() == pytest.approx(ambiguity_N.mean().item(), abs=2e-6)
        gain = result.mean_member_nll.full_E[e] - result.nll.full_E[e]
        assert result.ambiguity.full_E[e].item() == pytest.approx(gain.item(), abs=1e-12)
        assert result.ambiguity.full_E[e] >= -1e-6


def test_identical_members_gain_nothing() -> None:
    chunk = random_chunk(3, num_models=1)
    logits_MNC = chunk.logits_MNC.repeat(3, 1, 1)
    result = seen(Chunk(0, logits_MNC, chunk.labels_N, chunk.blocks_N), Ensembles.all_of(3, 3))
    assert result.ambiguity.full_E.item() == pytest.approx(0, abs=1e-6)


def test_offsets_of_a_member_change_nothing() -> None:
    chunk, ensembles = random_chunk(4), Ensembles.all_of(6, 3)
    offset_MN1 = torch.randn(6, 24, 1, generator=torch.Generator().manual_seed(0)) * 20
    moved = Chunk(0, chunk.logits_MNC + offset_MN1, chunk.labels_N, chunk.blocks_N)
    torch.testing.assert_close(
        seen(moved, ensembles).nll.full_E, seen(chunk, ensembles).nll.full_E, atol=1e-5, rtol=1e-5
    )


def test_members_that_are_sure_of_different_classes_are_not_lost_to_underflow() -> None:
    # Π r of float32 is 0 for every class: the mean logits are 300 below each member's top.
    logits_MNC = torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(5))
    for model in range(3):
        logits_MNC[model, :, model] += 450.0
    chunk = Chunk(0, logits_MNC, torch.arange(6) % 5, torch.arange(6) % NUM_BLOCKS)
    for ensembles in (Ensembles.all_of(3, 2), Ensembles.all_of(3, 3)):
        result = seen(chunk, ensembles)
        for e, members in enumerate(ensembles.members_EK.tolist()):
            mean_NC = logits_MNC[members].double().mean(0)
            expected = torch.nn.functional.cross_entropy(mean_NC, chunk.labels_N)
            assert result.nll.full_E[e].item() == pytest.approx(expected.item(), rel=1e-6)
            g_NC = mean_NC.softmax(-1)
            g_NC[torch.arange(6), chunk.labels_N] -= 1
            assert result.brier.full_E[e].item() == pytest.approx((g_NC**2).sum(-1).mean().item(), abs=1e-5)


def test_a_class_that_a_member_excludes_concerns_its_ensembles_alone() -> None:
    chunk = random_chunk(6, num_models=3)
    logits_MNC = chunk.logits_MNC.clone()
    logits_MNC[0, 2, chunk.labels_N[2]] = -torch.inf
    result = seen(Chunk(0, logits_MNC, chunk.labels_N, chunk.blocks_N), Ensembles.all_of(3, 2))
    assert result.nll.full_E.isinf().tolist() == [True, True, False]
    assert result.nll.without_BE[2].isfinite().all()  # sample 2 lies in block 2
    assert result.brier.full_E.isfinite().all()
    assert result.ambiguity.full_E.isfinite().all()
    assert result.mean_member_nll.full_E.isinf().tolist() == [True, True, False]


def test_the_winner_is_the_evaluators_and_may_be_handed_over() -> None:
    chunk, ensembles = random_chunk(9), Ensembles.all_of(6, 3)
    evaluation = evaluate([chunk], ensembles, ["average"], NUM_BLOCKS, keep_winners=True)["average"]
    alone, handed = (CalibrationStatistics(ensembles, NUM_BLOCKS) for _ in range(2))
    alone.update(chunk)
    handed.update(chunk, evaluation.winners_NE)
    assert torch.equal(alone.bin_right_EQ, handed.bin_right_EQ)
    assert torch.equal(alone.bin_confidence_EQ, handed.bin_confidence_EQ)
    torch.testing.assert_close(alone.bin_right_EQ.sum(1) / 24, evaluation.accuracy.full_E)


def test_expected_cost_is_that_of_the_class_taken() -> None:
    chunk, ensembles = random_chunk(10), Ensembles.all_of(6, 3)
    cost_CC = torch.rand(10, 10, generator=torch.Generator().manual_seed(0)) * (1 - torch.eye(10))
    cost = seen(chunk, ensembles, length=5, cost_CC=cost_CC).expected_cost
    assert cost is not None
    for e, members in enumerate(ensembles.members_EK.tolist()):
        taken_N = chunk.logits_MNC[members].mean(0).argmax(-1)
        cost_N = cost_CC[chunk.labels_N, taken_N].double()
        assert cost.full_E[e].item() == pytest.approx(cost_N.mean().item())
        without_0 = cost_N[chunk.blocks_N != 0].mean().item()
        assert cost.without_BE[0, e].item() == pytest.approx(without_0)


def test_a_cost_of_one_for_every_error_is_the_error_rate() -> None:
    chunk, ensembles = random_chunk(11), Ensembles.all_of(6, 3)
    cost = seen(chunk, ensembles, cost_CC=1 - torch.eye(10)).expected_cost
    assert cost is not None
    accuracy_E = evaluate([chunk], ensembles, ["average"], NUM_BLOCKS)["average"].accuracy.full_E
    torch.testing.assert_close(cost.full_E, 1 - accuracy_E)
    assert seen(chunk, ensembles).expected_cost is None


@pytest.mark.parametrize("size", [2, 3, 5])
def test_leaving_a_block_out_is_computing_without_it(size: int) -> None:
    chunk, ensembles = random_chunk(12), Ensembles.all_of(6, size)
    result = seen(chunk, ensembles)
    for block in range(NUM_BLOCKS):
        others = seen(part(chunk, chunk.blocks_N != block), ensembles)
        for name in ("nll", "brier", "mean_member_nll", "ambiguity"):
            without_E = getattr(result, name).without_BE[block]
            torch.testing.assert_close(without_E, getattr(others, name).full_E, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("length", "budget_bytes"), [(5, 1 << 28), (24, 40_000), (7, 3000), (24, 1)])
@pytest.mark.parametrize("size", [2, 3, 5])
def test_neither_chunks_nor_budget_change_a_number(size: int, length: int, budget_bytes: int) -> None:
    chunk, ensembles = random_chunk(13), Ensembles.all_of(6, size)
    whole, parts = seen(chunk, ensembles), seen(chunk, ensembles, length, budget_bytes=budget_bytes)
    for name in ("nll", "brier", "mean_member_nll", "ambiguity"):
        torch.testing.assert_close(getattr(parts, name).full_E, getattr(whole, name).full_E)
    torch.testing.assert_close(parts.ece_E, whole.ece_E)
    torch.testing.assert_close(parts.ece_debiased_E, whole.ece_debiased_E, atol=1e-6, rtol=1e-6)


def test_an_accepted_label_named_by_a_model_is_right() -> None:
    # The label is 0; class 1 is accepted too. Both ensembles of two take class 1.
    logits_MNC = torch.tensor([[[0.0, 4.0, 0.0]], [[0.0, 2.0, 0.0]]])
    ensembles = Ensembles.all_of(2, 2)
    strict = Chunk(0, logits_MNC, torch.tensor([0]), torch.tensor([0]))
    accepting = Chunk(0, logits_MNC, torch.tensor([0]), torch.tensor([0]), torch.tensor([[True], [True]]))
    confidence = logits_MNC.mean(0).softmax(-1).max().item()
    assert seen(strict, ensembles).ece_E.item() == pytest.approx(confidence, abs=1e-6)
    assert seen(accepting, ensembles).ece_E.item() == pytest.approx(1 - confidence, abs=1e-6)
    assert torch.equal(seen(strict, ensembles).nll.full_E, seen(accepting, ensembles).nll.full_E)


def test_less_exact_products_of_float32_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may have set its products to bfloat16: then they are made in float64."""
    chunk, ensembles = random_chunk(14), Ensembles.all_of(6, 3)
    exact = torch.bmm

    def coarse(a: Tensor, b: Tensor) -> Tensor:
        return exact(a, b) if a.dtype == torch.float64 else exact(a.bfloat16(), b.bfloat16()).float()

    monkeypatch.setattr(torch, "bmm", coarse)
    assert_plain(chunk, ensembles, seen(chunk, ensembles))


def test_without_samples_nothing_is_defined() -> None:
    result = CalibrationStatistics(Ensembles.all_of(4, 2), NUM_BLOCKS).result()
    assert result.n == 0
    for value in (result.nll, result.brier, result.mean_member_nll, result.ambiguity):
        assert value.full_E.isnan().all()
        assert value.without_BE.isnan().all()
    assert result.ece_E.isnan().all()
    assert result.ece_debiased_E.isnan().all()


def test_what_does_not_fit_is_refused() -> None:
    chunk = random_chunk(15)
    with pytest.raises(UserError, match="expected a cost matrix of 10 × 10 classes, found shape"):
        seen(chunk, Ensembles.all_of(6, 2), cost_CC=torch.zeros(3, 3))
    with pytest.raises(UserError, match="expected logits of 5 models"):
        seen(chunk, Ensembles.all_of(5, 2))


@pytest.mark.slow
def test_a_thousand_classes_of_steep_models_stay_exact() -> None:
    chunk, ensembles = random_chunk(16, num_models=8, n=16, c=1000, scale=3.0), Ensembles.all_of(8, 3)
    assert_plain(chunk, ensembles, seen(chunk, ensembles), atol=1e-5)
