"""The regression behind docs/results/heterogeneous.md finds what was put in."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

RECIPE = Path(__file__).parents[2] / "recipes" / "explained_resilience.py"
CLEAN = np.array([0.5, 1.5, 1.0, 2.0, 0.7, 1.8, 1.1, 2.2, 0.9, 1.6, 1.3, 2.4])


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location("explained_resilience", RECIPE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["explained_resilience"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pool(recipe):
    rng = np.random.default_rng(0)
    right_TM = rng.binomial(10, np.linspace(0.4, 0.9, 12), (40, 12)).astype(float)
    return recipe.Pool(
        names=[f"model {m}" for m in range(12)],
        family=["ResNeXt"] * 3 + ["MNASNet"] * 3 + ["DeiT"] * 6,
        training=["supervised", "self-supervised"] * 6,
        params_M=np.geomspace(1e5, 1e6, 12)[rng.permutation(12)],
        macs_M=np.geomspace(2e6, 6e6, 12)[rng.permutation(12)],
        right_TM={"clean": right_TM, "lines": right_TM // 2},
        count_T=np.full(40, 10.0),
    )


def shares(recipe, pool, resilience_M):
    values = recipe.regression(pool, CLEAN, resilience_M, np.arange(12))
    return dict(zip(recipe.NESTED, values, strict=False))


def test_resilience_that_is_clean_accuracy_is_explained_by_it_alone(recipe, pool):
    found = shares(recipe, pool, 0.5 * CLEAN - 1)
    assert found["accuracy alone"] == pytest.approx(1)
    assert found["size, beyond accuracy"] == pytest.approx(0, abs=1e-9)
    assert found["family, beyond accuracy"] == pytest.approx(0, abs=1e-9)


def test_a_bonus_of_transformers_is_what_the_class_explains_beyond_accuracy(recipe, pool):
    bonus_M = np.array([family == "DeiT" for family in pool.family], dtype=float)
    found = shares(recipe, pool, 0.5 * CLEAN + bonus_M)
    assert found["accuracy alone"] + found["class, beyond accuracy"] == pytest.approx(1)
    assert found["training, beyond accuracy, size and class"] == pytest.approx(0, abs=1e-9)


def test_the_p_of_one_column_is_that_of_its_correlation(recipe, pool):
    from scipy import stats

    resilience_M = np.random.default_rng(1).normal(size=12)
    values = recipe.regression(pool, CLEAN, resilience_M, np.arange(12))
    p = values[len(recipe.NESTED) + len(recipe.COEFFICIENTS)]
    assert p == pytest.approx(stats.pearsonr(CLEAN, resilience_M).pvalue)


def test_standardised_coefficients_do_not_depend_on_units(recipe):
    y_M, x_M = np.array([1.0, 2.0, 4.0, 3.0]), np.array([1.0, 2.0, 3.0, 4.0])
    assert recipe.standardised(y_M, x_M) == pytest.approx(np.corrcoef(x_M, y_M)[0, 1])
    assert recipe.standardised(y_M, 1000 * x_M + 5) == pytest.approx(recipe.standardised(y_M, x_M))


def test_replicates_cover_tracks_and_models(recipe, pool, monkeypatch):
    monkeypatch.setattr(recipe, "RESAMPLES", 5)
    values, drawn, without = recipe.regressions(pool)["lines"]
    assert drawn.shape == (5, len(values))
    assert without.shape == (12, len(values))
    assert drawn[:, 0].std() > 0
