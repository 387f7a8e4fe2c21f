"""Fig. 9: correlations between attribution methods over the pairs of models."""

import math
from itertools import combinations

import polars as pl
import pytest
import torch
from scipy import stats

from nversion.attribution import GramSums
from nversion.data import Condition
from nversion.diversity import attribution_metric
from nversion.evaluation.agreement import attribution_agreement

MODELS = ["a", "b", "c", "d", "e", "f"]
NUM_SAMPLES, NUM_BLOCKS = 40, 10


def sums(seed, noise=0.0, scale=1.0):
    """Grams of random maps; maps of another seed are the same with `noise` of their own."""
    common, own = (torch.Generator().manual_seed(s) for s in (0, seed))
    maps_NMP = torch.randn(NUM_SAMPLES, 6, 8, generator=common, dtype=torch.float64)
    maps_NMP *= torch.linspace(1, 2, 6, dtype=torch.float64)[:, None]
    maps_NMP += noise * torch.randn(NUM_SAMPLES, 6, 8, generator=own, dtype=torch.float64)
    maps_NMP *= scale
    return GramSums.of(maps_NMP @ maps_NMP.mT, torch.arange(NUM_SAMPLES) % NUM_BLOCKS, NUM_BLOCKS)


def by_hand(of_metric):
    gram_MM = of_metric.mean_gram()
    return [
        float(gram_MM[i, i] + gram_MM[k, k] - 2 * gram_MM[i, k]) / 4 for i, k in combinations(range(6), 2)
    ]


METRICS = {
    attribution_metric("saliency", "predicted", "l2"): sums(1),
    attribution_metric("integrated_gradients-10", "predicted", "l2"): sums(2, noise=0.3),
    attribution_metric("grad_cam", "predicted", "l2"): sums(3, noise=2.0),
    attribution_metric("saliency", "label", "none"): sums(4),
}


def test_the_correlations_are_scipys_over_the_fifteen_pairs():
    table = attribution_agreement(Condition("d"), METRICS, MODELS)
    row = table.filter(
        (pl.col("method_a") == "saliency") & (pl.col("method_b") == "integrated_gradients-10")
    ).row(0, named=True)
    cheap, dear = (by_hand(METRICS[name]) for name in list(METRICS)[:2])
    assert row["pearson"] == pytest.approx(stats.pearsonr(cheap, dear).statistic, abs=1e-12)
    assert row["spearman"] == pytest.approx(stats.spearmanr(cheap, dear).statistic, abs=1e-12)
    assert (row["condition"], row["target"], row["normalise"]) == ("d/clean", "predicted", "l2")
    assert row["n_pairs"] == 15
    assert row["low"] < row["pearson"] < row["high"]


def test_every_two_methods_have_a_row():
    table = attribution_agreement(Condition("d"), METRICS, MODELS)
    assert table["method_a"].to_list() == ["saliency", "saliency", "integrated_gradients-10"]
    assert table["method_b"].to_list() == ["integrated_gradients-10", "grad_cam", "grad_cam"]
    assert table["pearson"][0] > table["pearson"][1]


def test_maps_that_are_all_alike_agree_with_nothing():
    alike = GramSums.of(torch.ones(NUM_SAMPLES, 6, 6), torch.arange(NUM_SAMPLES) % NUM_BLOCKS, NUM_BLOCKS)
    same = {
        attribution_metric("saliency", "label", "none"): sums(1),
        attribution_metric("grad_cam", "label", "none"): alike,
    }
    table = attribution_agreement(Condition("d"), same, MODELS)
    assert math.isnan(table["pearson"][0])


def test_without_defined_maps_there_is_a_row_but_no_number():
    none = GramSums.of(
        torch.full((NUM_SAMPLES, 6, 6), torch.nan), torch.arange(NUM_SAMPLES) % NUM_BLOCKS, NUM_BLOCKS
    )
    same = {
        attribution_metric("saliency", "label", "none"): sums(1),
        attribution_metric("grad_cam", "label", "none"): none,
    }
    row = attribution_agreement(Condition("d"), same, MODELS).row(0, named=True)
    assert row["n_pairs"] == 0
    assert all(math.isnan(row[name]) for name in ("pearson", "spearman", "low", "high"))


def test_one_block_of_images_gives_a_value_without_an_interval():
    few = [
        GramSums.of(gram_NMM, torch.zeros(len(gram_NMM), dtype=torch.int64), NUM_BLOCKS)
        for gram_NMM in (sums(s, noise=0.5).gram_BMM for s in (1, 2))
    ]
    same = {
        attribution_metric("saliency", "label", "none"): few[0],
        attribution_metric("grad_cam", "label", "none"): few[1],
    }
    row = attribution_agreement(Condition("d"), same, MODELS).row(0, named=True)
    expected = stats.pearsonr(by_hand(few[0]), by_hand(few[1])).statistic
    assert row["pearson"] == pytest.approx(expected, abs=1e-12)
    assert math.isnan(row["low"])


def test_a_method_alone_agrees_with_nothing():
    name = attribution_metric("saliency", "label", "none")
    alone = {name: METRICS[name]}
    assert attribution_agreement(Condition("d"), alone, MODELS).is_empty()


def test_the_scale_of_a_methods_maps_does_not_matter():
    scaled = {
        attribution_metric("saliency", "label", "none"): sums(1),
        attribution_metric("grad_cam", "label", "none"): sums(1, scale=100.0),
    }
    row = attribution_agreement(Condition("d"), scaled, MODELS).row(0, named=True)
    assert row["pearson"] == row["spearman"] == row["low"] == row["high"] == 1.0
