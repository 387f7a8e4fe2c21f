"""Every table of a study of two corruptions is what it was: one digest a table.

A digest holds the number of rows, a hash of texts, whole numbers and flags, and of each column of floats the
number of undefined values and a sum weighted by row, compared to 1e-6: equal on every platform. To renew it
after a change that is meant: python tests/evaluation/test_golden_tables.py
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from nversion.core import LabelSpace
from nversion.data import ClassGroups
from nversion.diversity import attribution_metric, hsic1, linear_gram
from nversion.evaluation import TABLES, Inputs, evaluate_inputs
from nversion.evaluation.evaluate import _samples_of
from nversion.evaluation.measure import AttributedGrams
from nversion.evaluation.published import Baseline
from nversion.evaluation.settings import EnsemblesTable, ReliabilityTable
from nversion.models import Card
from nversion.predictions import Predictions
from nversion.predictions.grams import AttributionTable
from nversion.predictions.similarities import Representations
from nversion.representations import Entry

GOLDEN = Path(__file__).with_name("golden_tables.json")
M, N, C = 5, 120, 4
METHODS = ("saliency", "grad_cam")
NAMES = [f"m{i}" for i in range(M)]
FAMILIES = ("CNN", "CNN", "ViT", "ViT", "MLP")
TRAININGS = ("supervised", "distilled", "supervised", "distilled", "supervised")


def cards():
    space = LabelSpace("four", C)
    return [
        Card(name, *facts, 100 + i, 1000 + i, space, "test", 32, True, True, architecture=f"net{i // 2}")
        for i, (name, *facts) in enumerate(zip(NAMES, FAMILIES, TRAININGS, strict=True))
    ]


def inputs():
    """Random logits of few digits, so that votes tie and sums are the same everywhere."""
    rng = np.random.default_rng(0)
    labels_N = rng.integers(0, C, N)
    strengths = {"clean": 2.5, "fog-1": 2.0, "fog-3": 1.0, "lines-1": 1.5}
    hard_N = rng.normal(size=(1, N, 1)) * np.eye(C)[labels_N]  # common to all models and conditions
    logits = {
        name: (rng.normal(size=(M, N, C)) + strength * np.eye(C)[labels_N] + 0.5 * hard_N).round(1)
        for name, strength in strengths.items()
    }
    logits["clean"][:, :4] = 3.0 * np.eye(C)[(labels_N[:4] + 1) % C]  # suspects
    predictions = Predictions.from_arrays(logits, labels_N, NAMES, accepted={9: [0, 1]}, num_blocks=12)
    maps_NMP = rng.normal(size=(len(METHODS), N, M, 6)).round(2)
    grams = {
        attribution_metric(method, "label", "none"): np.einsum("nip,njp->nij", of, of)
        for method, of in zip(METHODS, maps_NMP, strict=True)
    }
    features_JMNP = rng.normal(size=(6, M, 10, 3)).round(2)
    return Inputs(
        predictions,
        predictions.conditions,
        cards(),
        {"data": _samples_of(predictions, "data")},
        EnsemblesTable(sizes=[2, 3], num_blocks=12),
        ReliabilityTable(group_by=["family", "training"]),
        side=32,
        class_groups=ClassGroups(("even", "odd"), np.array([0, 1, 0, 1])),
        cost_CC=torch.arange(C * C).view(C, C).float() * (1 - torch.eye(C)),
        baseline=Baseline("m1", model=1),
        named=[["m0", "m2"]],
        attribution=AttributionTable(methods=list(METHODS), targets=["label"], normalise=["none"]),
        grams=lambda _: {m: AttributedGrams(g, np.arange(N), torch.arange(N)) for m, g in grams.items()},
        layers=lambda _: representations(features_JMNP),
        has_layers=True,
    )


def representations(features_JMNP):
    features = torch.from_numpy(features_JMNP)
    hsic = [hsic1(torch.stack([linear_gram(of_NP) for of_NP in of_MNP])) for of_MNP in features]
    entries = [Entry(model, "head", 0) for model in range(M)]
    return Representations(entries, M, torch.stack(hsic), torch.full((len(hsic),), 10), 12)


def digest(frame):
    """See the module."""
    floats = [name for name, kind in frame.schema.items() if kind == pl.Float64]
    exact = frame.select(pl.exclude(floats)) if floats else frame
    text = json.dumps(exact.to_dict(as_series=False), default=str, sort_keys=True)
    found = {"rows": frame.height, "exact": hashlib.sha256(text.encode()).hexdigest()[:16]}
    weights = np.cos(np.arange(frame.height))
    for name in floats:
        values = frame[name].fill_null(-7.0).to_numpy()
        defined = np.isfinite(values)
        found[name] = [int((~defined).sum()), float(weights[defined] @ values[defined])]
    return found


@pytest.fixture(scope="module")
def tables():
    return evaluate_inputs(inputs()).tables


@pytest.fixture(scope="module")
def golden():
    return json.loads(GOLDEN.read_text())


def test_every_table_of_an_evaluation_has_a_digest(tables, golden):
    assert set(tables) == set(golden) == {name for name, one in TABLES.items() if one.of != "folder"}


@pytest.mark.parametrize("name", sorted(name for name, one in TABLES.items() if one.of != "folder"))
def test_a_table_is_what_it_was(tables, golden, name):
    found, expected = digest(tables[name]), golden[name]
    assert found.keys() == expected.keys()
    assert (found["rows"], found["exact"]) == (expected["rows"], expected["exact"])
    for column in found.keys() - {"rows", "exact"}:
        scale = max(1.0, abs(tables[name][column].fill_nan(0).fill_null(0)).clip(upper_bound=1e6).sum())
        assert found[column][0] == expected[column][0], column
        assert found[column][1] == pytest.approx(expected[column][1], rel=1e-6, abs=1e-6 * scale), column


def test_a_digest_sees_exchanged_rows(tables):
    frame = tables["ensembles"]
    assert digest(frame) != digest(frame.reverse())


if __name__ == "__main__":
    made = evaluate_inputs(inputs()).tables
    GOLDEN.write_text(json.dumps({name: digest(made[name]) for name in sorted(made)}, indent=1) + "\n")
