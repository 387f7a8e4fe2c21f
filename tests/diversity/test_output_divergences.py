"""Divergences of outputs, against scipy on every pair and sample."""

import math

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.special
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nversion.core import UserError
from nversion.diversity import OutputSums, ensemble_mean, metrics_of
from nversion.ensembles import Chunk, Ensembles

NUM_BLOCKS = 3


def random_logits(seed: int, num_models: int = 4, n: int = 20, c: int = 7, scale: float = 4.0) -> Tensor:
    return torch.randn(num_models, n, c, generator=torch.Generator().manual_seed(seed)) * scale


def blocks(n: int) -> Tensor:
    return torch.arange(n) % 5 % NUM_BLOCKS


def seen(logits_MNC: Tensor, length: int = 100, **settings: int) -> OutputSums:
    num_models, n, _ = logits_MNC.shape
    sums = OutputSums(num_models, NUM_BLOCKS, **settings)
    for s in range(0, n, length):
        cut = slice(s, s + length)
        sums.update(Chunk(s, logits_MNC[:, cut], torch.zeros(n).long()[cut], blocks(n)[cut]))
    return sums


def tables_of(sums: OutputSums) -> dict[str, Tensor]:
    return {name: metric.function(sums).full_E for name, metric in metrics_of("outputs").items()}


def without_blocks(sums: OutputSums) -> dict[str, Tensor]:
    return {name: metric.function(sums).without_BE for name, metric in metrics_of("outputs").items()}


def by_scipy(logits_MNC: Tensor) -> dict[str, np.ndarray]:
    """A loop over pairs and samples, in float64."""
    p_MNC = scipy.special.softmax(logits_MNC.double().numpy(), -1)
    num_models, n, _ = p_MNC.shape
    tables = {name: np.zeros((num_models, num_models)) for name in (*metrics_of("outputs"), "one_way")}
    for a in range(num_models):
        for b in range(num_models):
            for j in range(n):
                p, q = p_MNC[a, j], p_MNC[b, j]
                tables["label_disagreement"][a, b] += (p.argmax() != q.argmax()) / n
                tables["one_way"][a, b] += scipy.stats.entropy(p, q) / n
                tables["kl"][a, b] += (scipy.stats.entropy(p, q) + scipy.stats.entropy(q, p)) / 2 / n
                tables["js"][a, b] += scipy.spatial.distance.jensenshannon(p, q) ** 2 / n
                tables["cosine"][a, b] += (1 - scipy.spatial.distance.cosine(p, q)) / n
    return tables


@pytest.mark.parametrize("seed", range(3))
def test_tables_are_scipys(seed: int) -> None:
    logits_MNC = random_logits(seed)
    tables, expected = tables_of(seen(logits_MNC)), by_scipy(logits_MNC)
    assert set(tables) == set(metrics_of("outputs"))
    for name, table_MM in tables.items():
        off_diagonal = ~np.eye(4, dtype=bool)
        np.testing.assert_allclose(
            table_MM.numpy()[off_diagonal], expected[name][off_diagonal], atol=2e-6, rtol=2e-6, err_msg=name
        )


def test_both_directions_of_kl_are_kept() -> None:
    logits_MNC = random_logits(4)
    directions = seen(logits_MNC).kl_directions()
    np.testing.assert_allclose(directions.full_E.numpy(), by_scipy(logits_MNC)["one_way"], atol=2e-6)
    assert directions.without_BE.shape == (NUM_BLOCKS, 4, 4)


def test_kl_by_hand() -> None:
    # p = (1/2, 1/2), q = (3/4, 1/4): KL(p, q) = ln(2/√3), KL(q, p) = 3/4 ln 3/2 + 1/4 ln 1/2.
    sums = OutputSums(2, 1)
    logits_MNC = torch.tensor([[[0.0, 0.0]], [[math.log(3.0), 0.0]]])
    sums.update(Chunk(0, logits_MNC, torch.tensor([0]), torch.tensor([0])))
    directions_MM = sums.kl_directions().full_E
    assert directions_MM[0, 1].item() == pytest.approx(math.log(2 / math.sqrt(3)), abs=1e-6)
    assert directions_MM[1, 0].item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), abs=1e-6)
    assert tables_of(sums)["kl"][0, 1].item() == pytest.approx(directions_MM.sum().item() / 2)
    assert tables_of(sums)["label_disagreement"][0, 1].item() == 0


def test_identical_models_do_not_differ() -> None:
    tables = tables_of(seen(random_logits(1, num_models=1).repeat(3, 1, 1)))
    for name, same in (("label_disagreement", 0), ("kl", 0), ("js", 0), ("cosine", 1)):
        torch.testing.assert_close(tables[name], torch.full((3, 3), float(same)).double(), atol=1e-6, rtol=0)


def test_certain_models_that_name_different_classes_are_as_far_as_can_be() -> None:
    logits_MNC = torch.zeros(2, 5, 3)
    logits_MNC[0, :, 0] = logits_MNC[1, :, 1] = 200.0
    tables = tables_of(seen(logits_MNC))
    assert tables["js"][0, 1].item() == pytest.approx(math.log(2))
    assert tables["cosine"][0, 1].item() == pytest.approx(0, abs=1e-12)
    assert tables["label_disagreement"][0, 1].item() == 1
    assert tables["kl"][0, 1].item() == pytest.approx(200)


@given(seed=st.integers(0, 999), scale=st.sampled_from([0.01, 1.0, 30.0, 300.0]))
@settings(max_examples=25, deadline=None)
def test_values_keep_their_bounds_and_symmetry(seed: int, scale: float) -> None:
    for name, table_MM in tables_of(seen(random_logits(seed, scale=scale))).items():
        facts = metrics_of("outputs")[name]
        assert ((table_MM >= facts.low) & (table_MM <= facts.high + 1e-12)).all(), name
        assert torch.equal(table_MM, table_MM.T)


def test_labels_disagree_where_two_wrong_ones_differ() -> None:
    # Both wrong on the label 0, by different classes: right/wrong disagreement would be 0.
    logits_MNC = torch.tensor([[[0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]]])
    assert tables_of(seen(logits_MNC))["label_disagreement"][0, 1].item() == 1


def test_leaving_a_block_out_is_computing_without_it() -> None:
    logits_MNC = random_logits(6)
    without = without_blocks(seen(logits_MNC))
    for block in range(NUM_BLOCKS):
        kept = blocks(20) != block
        alone = OutputSums(4, NUM_BLOCKS)
        alone.update(Chunk(0, logits_MNC[:, kept], torch.zeros(20).long()[kept], blocks(20)[kept]))
        for name, table_MM in tables_of(alone).items():
            torch.testing.assert_close(without[name][block], table_MM, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize(("length", "budget_bytes"), [(3, 64 << 20), (20, 1000), (7, 20_000)])
def test_neither_chunks_nor_budget_change_a_table(length: int, budget_bytes: int) -> None:
    logits_MNC = random_logits(7)
    whole, parts = tables_of(seen(logits_MNC)), tables_of(seen(logits_MNC, length, budget_bytes=budget_bytes))
    for name, table_MM in whole.items():
        torch.testing.assert_close(parts[name], table_MM, atol=1e-6, rtol=1e-6)


def test_an_excluded_class_is_infinitely_far_for_kl_alone() -> None:
    logits_MNC = random_logits(8, num_models=3, n=6)
    logits_MNC[0, 0, 2] = -torch.inf
    tables, without = tables_of(seen(logits_MNC)), without_blocks(seen(logits_MNC))
    assert tables["kl"].isinf().tolist() == [[False, True, True], [True, False, False], [True, False, False]]
    assert without["kl"][0].isfinite().all()  # the sample lies in block 0
    assert tables["js"].isfinite().all()
    mean_E, num_undefined_E = ensemble_mean(tables["kl"], Ensembles.all_of(3, 3))
    assert mean_E.item() == pytest.approx(tables["kl"][1, 2].item())
    assert num_undefined_E.item() == 2


def test_without_samples_nothing_is_defined() -> None:
    for table_MM in tables_of(OutputSums(3, 2)).values():
        assert table_MM.isnan().all()


def test_every_metric_says_what_its_values_mean() -> None:
    for name, facts in metrics_of("outputs", "likelihood").items():
        assert facts.name == name
        assert facts.low < facts.high
        assert facts.higher_is_more_diverse is (name != "cosine")
        assert "sample" in facts.undefined_when


def test_logits_of_another_pool_are_refused() -> None:
    with pytest.raises(UserError, match="expected logits of 2 models, found logits of 3"):
        OutputSums(2, 1).update(Chunk(0, torch.zeros(3, 1, 2), torch.tensor([0]), torch.tensor([0])))
