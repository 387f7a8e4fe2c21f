"""Benchmark tables: numbers by a naive loop over images, what is told over how many of how many."""

import math

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from nversion.corruptions import published
from nversion.data import Condition
from nversion.ensembles import CREDITS
from nversion.evaluation.published import Baseline, PublishedErrors
from nversion.evaluation.registry import Scope
from nversion.evaluation.severities import severities_table
from nversion.evaluation.studied import Contenders, RightAnswers, studied_corruptions

NUM_IMAGES, NUM_BLOCKS = 120, 10
NAMES = ("benchmark", "benchmark_corruptions", "benchmark_differences")
CONTENDERS = Contenders([["a"], ["b"], ["c"], ["a", "b"], ["a", "c"]], "average", 3, [4])


def benchmark_tables(answers, baseline):
    scope = Scope("data set", answers=answers, contenders=CONTENDERS, baseline=baseline)
    return {name: scope.table(name) for name in NAMES}


STRENGTHS = {"lines": [0.5, 2.5], "sparkles": [0.7], "plasma_noise": [0.7, 1.4, 7.0]}  # the last is of no set


def conditions(strengths, clean=True):
    corrupted = [Condition("d", name, level) for name, levels in strengths.items() for level in levels]
    return [*([Condition("d")] if clean else []), *corrupted]


def seen(strengths, side=32, clean=True, seed=0):
    """Answers of the contenders on made-up images, as blocks and image by image."""
    rng = np.random.default_rng(seed)
    blocks_N = np.arange(NUM_IMAGES) % NUM_BLOCKS
    images = {}
    for condition in conditions(strengths, clean):
        chance_X = np.clip(0.95 - 0.12 * (condition.severity or 0) - 0.05 * np.arange(5), 0.05, 1)
        images[condition.name] = rng.random((NUM_IMAGES, 5)) < chance_X
    right = {
        name: torch.from_numpy(np.stack([of[blocks_N == b].sum(0) for b in range(NUM_BLOCKS)])).double()
        * CREDITS
        for name, of in images.items()
    }
    count_B = torch.from_numpy(np.bincount(blocks_N)).double()
    return RightAnswers("d", side, conditions(strengths, clean), "average", right, count_B), images


def value(frame, **where):
    return frame.filter(**where)["value"].item()


def test_corruption_errors_are_those_of_a_loop_over_images():
    answers, images = seen(STRENGTHS)
    tables = benchmark_tables(answers, Baseline("b", model=1))

    def error(name, x):
        return sum(not right for right in images[name][:, x]) / NUM_IMAGES

    ces, relatives = [], []
    for corruption in ("lines", "sparkles"):
        names = [f"d/{corruption}-{level:g}" for level in STRENGTHS[corruption]]
        own, base = (sum(error(name, x) for name in names) for x in (3, 1))
        lost = [sum(error(name, x) - error("d/clean", x) for name in names) for x in (3, 1)]
        ces.append(own / base)
        relatives.append(lost[0] / lost[1])
        where = {"ensemble": "a + b", "corruption": corruption}
        assert value(tables["benchmark_corruptions"], **where, quantity="ce") == pytest.approx(ces[-1])
        assert value(tables["benchmark_corruptions"], **where, quantity="relative_ce") == pytest.approx(
            relatives[-1]
        )
    where = {"ensemble": "a + b", "set": "cifar-10-c-bar"}
    assert value(tables["benchmark"], **where, quantity="partial_mce") == pytest.approx(np.mean(ces))
    assert value(tables["benchmark"], **where, quantity="partial_relative_mce") == pytest.approx(
        np.mean(relatives)
    )


def test_the_mean_error_is_over_levels_and_then_over_corruptions():
    answers, images = seen(STRENGTHS)
    (row,) = (
        benchmark_tables(answers, None)["benchmark"]
        .filter(ensemble="c", set="cifar-10-c-bar")
        .iter_rows(named=True)
    )
    wrong = {name: 1 - of[:, 2].mean() for name, of in images.items()}
    expected = ((wrong["d/lines-0.5"] + wrong["d/lines-2.5"]) / 2 + wrong["d/sparkles-0.7"]) / 2
    assert (row["quantity"], row["value"]) == ("partial_mean_error", pytest.approx(expected))
    assert row["low"] < row["value"] < row["high"]


def test_an_incomplete_set_says_over_how_many_of_how_many():
    tables = benchmark_tables(seen(STRENGTHS)[0], None)
    keys = ["set", "corruptions", "of_corruptions", "levels", "of_levels", "complete"]
    assert tables["benchmark"].select(keys).unique(maintain_order=True).rows() == [
        ("cifar-10-c-bar", 2, 10, 3, 50, False),
        ("other", 1, None, 3, None, False),
    ]
    of_corruptions = tables["benchmark_corruptions"].select("corruption", "levels", "of_levels")
    assert of_corruptions.unique(maintain_order=True).rows() == [
        ("lines", 2, 5),
        ("sparkles", 1, 5),
        ("plasma_noise", 3, None),
    ]


@pytest.mark.parametrize(
    ("name", "side", "quantity"),
    [
        ("imagenet-c-extra", 224, "mean_error"),
        ("imagenet-c-extra", 32, "partial_mean_error"),  # not the images of the published set
        ("imagenet-c-bar", 224, "mean_error"),
        ("cifar-10-c-bar", 32, "mean_error"),
    ],
)
def test_a_whole_set_at_its_own_size_has_the_published_name(name, side, quantity):
    answers, _ = seen(dict(published(name, side)), side)
    table = benchmark_tables(answers, None)["benchmark"]
    assert set(table["set"]) == {name}
    assert set(table["quantity"]) == {quantity}
    assert table["levels"].to_list() == table["of_levels"].to_list()


def test_a_corruption_counts_by_its_levels_of_the_set_and_with_none_of_them_as_other():
    strengths = {"plasma_noise": [4.0, 4.75], "sparkles": [1.5], "smudge": [1.0]}
    found = studied_corruptions(conditions(strengths), 224)
    assert [(one.corruption, one.set, [c.severity for c in one.counted]) for one in found] == [
        ("plasma_noise", "imagenet-c-bar", [4.75]),
        ("sparkles", "other", [1.5]),
        ("smudge", "other", [1.0]),
    ]


def test_images_read_from_disk_stand_apart_from_those_made_here():
    both = [Condition("d", "fog", 1.0), Condition("d", "fog", 1.0, stored="released")]
    assert [one.stored for one in studied_corruptions(both, 224)] == ["", "released"]


def test_differences_are_of_the_same_images_and_have_no_own_row():
    answers, _ = seen(STRENGTHS)
    tables = benchmark_tables(answers, None)
    differences = tables["benchmark_differences"].filter(set="cifar-10-c-bar")
    means = {r["ensemble"]: r for r in tables["benchmark"].filter(set="cifar-10-c-bar").iter_rows(named=True)}
    assert set(differences["against"]) == {"a", "b", "c", "a + c"}
    assert not differences.filter(pl.col("ensemble") == pl.col("against")).height
    (row,) = differences.filter(ensemble="a + b", against="a").iter_rows(named=True)
    assert row["value"] == pytest.approx(means["a + b"]["value"] - means["a"]["value"])
    (back,) = differences.filter(ensemble="a", against="b").iter_rows(named=True)
    (there,) = differences.filter(ensemble="b", against="a").iter_rows(named=True)
    assert (back["low"], back["high"]) == pytest.approx((-there["high"], -there["low"]))


def test_a_published_row_counts_where_it_is_told_and_says_where_it_is_not():
    row = PublishedErrors("old", 0.1, at={("lines", 0.5): 0.2, ("lines", 2.5): 0.4})
    answers, images = seen(STRENGTHS)
    tables = benchmark_tables(answers, Baseline("old", published=row))
    where = {"ensemble": "a", "set": "cifar-10-c-bar", "quantity": "partial_mce"}
    (mean,) = tables["benchmark"].filter(**where).iter_rows(named=True)
    error = np.mean([1 - images[f"d/lines-{level}"][:, 0].mean() for level in (0.5, 2.5)])
    assert mean["value"] == pytest.approx(error / 0.3)
    assert (mean["corruptions"], mean["levels"]) == (1, 2)
    assert mean["note"] == "old has no published error over these levels: sparkles"
    relative = tables["benchmark"].filter(**where | {"quantity": "partial_relative_mce"})["value"].item()
    assert relative == pytest.approx((error - (1 - images["d/clean"][:, 0].mean())) / 0.2)
    assert math.isnan(value(tables["benchmark"], **where | {"set": "other"}))


def test_without_clean_images_nothing_is_relative():
    answers, _ = seen(STRENGTHS, clean=False)
    table = benchmark_tables(answers, Baseline("a", model=0))["benchmark"]
    assert set(table["quantity"]) == {"partial_mean_error", "partial_mce"}


def test_without_corruptions_there_are_no_rows():
    answers, _ = seen({})
    tables = benchmark_tables(answers, None)
    assert all(frame.is_empty() for frame in tables.values())
    assert severities_table(answers, CONTENDERS).is_empty()


def test_area_and_half_severity_begin_at_the_clean_images():
    answers, images = seen(STRENGTHS)
    table = severities_table(answers, CONTENDERS)
    assert set(table["corruption"]) == {"lines", "plasma_noise"}  # sparkles has one severity
    clean, *levels = (float(images[name][:, 0].mean()) for name in ("d/clean", "d/lines-0.5", "d/lines-2.5"))
    (row,) = table.filter(ensemble="a", corruption="lines", quantity="area").iter_rows(named=True)
    area = (0.5 * (clean + levels[0]) / 2 + 2.0 * (levels[0] + levels[1]) / 2) / 2.5
    assert (row["first"], row["last"], row["levels"]) == (0.0, 2.5, 2)
    assert row["value"] == pytest.approx(area)
    (half,) = table.filter(ensemble="a", corruption="plasma_noise", quantity="half_severity").iter_rows(
        named=True
    )
    at = {s: float(images[f"d/plasma_noise-{s:g}"][:, 0].mean()) for s in (0.7, 1.4, 7.0)}
    assert at[1.4] > clean / 2 > at[7.0]
    assert half["value"] == pytest.approx(1.4 + 5.6 * (at[1.4] - clean / 2) / (at[1.4] - at[7.0]))
    assert half["low"] < half["value"] < half["high"]


def test_a_fall_that_does_not_reach_the_half_says_above_what():
    answers, _ = seen({"lines": [0.5, 1.0]})
    half = severities_table(answers, CONTENDERS).filter(quantity="half_severity")
    assert half["value"].is_nan().all()
    assert set(half["note"]) == {"above 1"}


def test_a_scale_that_does_not_begin_with_the_image_starts_at_its_first_level():
    answers, images = seen({"blue_noise_sample": [2.1, 7.0]})
    table = severities_table(answers, CONTENDERS)
    (row,) = table.filter(ensemble="a", quantity="area").iter_rows(named=True)
    ends = [images[f"d/blue_noise_sample-{s:g}"][:, 0].mean() for s in (2.1, 7.0)]
    assert (row["first"], row["value"]) == (2.1, pytest.approx(np.mean(ends)))


def test_without_clean_images_there_is_no_half_of_them():
    answers, _ = seen({"lines": [0.5, 1.0]}, clean=False)
    table = severities_table(answers, CONTENDERS)
    assert set(table["quantity"]) == {"area"}
    assert set(table["first"]) == {0.5}


def test_chunks_of_contenders_give_the_same_rows(monkeypatch):
    answers, _ = seen(STRENGTHS)
    baseline = Baseline("b", model=1)
    whole = [*benchmark_tables(answers, baseline).values(), severities_table(answers, CONTENDERS)]
    for module in ("benchmark", "severities"):
        monkeypatch.setattr(f"nversion.evaluation.{module}.CELLS", 1)
    parts = [*benchmark_tables(answers, baseline).values(), severities_table(answers, CONTENDERS)]
    for one, other in zip(whole, parts, strict=True):
        keys = [name for name, kind in one.schema.items() if not kind.is_float()]
        assert_frame_equal(one.sort(keys), other.sort(keys))


def test_a_study_writes_them_for_every_model_and_ensemble(small, inputs):
    small.run(
        inputs,
        conditions={"clean": True, "corruptions": {"lines": [1.0, 2.0], "sparkles": 3.0}},
        benchmark={"baseline": "bb"},
        attribution=None,
        representation=None,
        report={"images": 0, "maps": 0},
    )
    tables = inputs / "out" / "tables"
    models = pl.read_parquet(tables / "models.parquet")
    wrong = {(r["model"], r["condition"]): 1 - r["top1"] for r in models.iter_rows(named=True)}
    table = pl.read_parquet(tables / "benchmark_corruptions.parquet")
    own, base = (sum(wrong[m, f"d/lines-{level}"] for level in (1, 2)) for m in ("a", "bb"))
    assert value(table, ensemble="a", corruption="lines", quantity="ce") == pytest.approx(own / base)
    assert table["ensemble"].n_unique() == 4 + 6 + 4
    ensembles = pl.read_parquet(tables / "ensembles.parquet").filter(consensus="average")
    of_sparkles = ensembles.filter(condition="d/sparkles-3").sort("ensemble")["top1"]
    errors = table.filter(pl.col("size") > 1, corruption="sparkles", quantity="error").sort("ensemble")
    assert errors["value"].to_list() == pytest.approx((1 - of_sparkles).to_list())
    assert set(pl.read_parquet(tables / "severities.parquet")["corruption"]) == {"lines"}
