"""A new metric is one function, a new table with its section two: the examples of CONTRIBUTING.md."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import nversion as nv
from nversion.diversity import METRICS, metric
from nversion.evaluation.measure import ConditionResult
from nversion.evaluation.registry import FLOAT, INT, TABLES, TEXT, table
from nversion.report import registry
from nversion.report.blocks import Words
from nversion.report.registry import Blocks, section
from nversion.report.tables import Study

TEXT_OF = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
NAMES = {
    "metric": metric, "Tensor": torch.Tensor, "table": table, "TEXT": TEXT, "INT": INT, "FLOAT": FLOAT,
    "ConditionResult": ConditionResult, "Iterator": Iterator, "section": section, "Study": Study,
    "Blocks": Blocks, "Words": Words,
}  # fmt: skip


def examples(chapter):
    """The code of a chapter of CONTRIBUTING.md, run."""
    start = TEXT_OF.index(f"## {chapter}")
    text = TEXT_OF[start : TEXT_OF.index("\n## ", start + 1)]
    for block in re.findall(r"```python[^\n]*\n(.*?)```", text, re.DOTALL):
        exec(block, dict(NAMES))


@pytest.fixture(autouse=True)
def registries(monkeypatch):
    """Entries of a test go with it."""
    registry.figure_names()  # sections are found before they are copied
    monkeypatch.setattr(METRICS, "_entries", dict(METRICS._entries))
    monkeypatch.setattr(TABLES, "_entries", dict(TABLES._entries))
    monkeypatch.setattr(registry, "_sections", dict(registry._sections))


def evaluated():
    rng = np.random.default_rng(0)
    labels_N = rng.integers(0, 3, 60)
    logits_MNC = rng.normal(size=(4, 60, 3)) + 2 * np.eye(3)[labels_N]
    logits_MNC[:, labels_N == 2] -= 2 * np.eye(3)[2]  # class 2 is the hardest
    return nv.evaluate(nv.Predictions.from_arrays(logits_MNC, labels_N), sizes=[2])


def test_a_new_metric_is_in_every_table_of_metrics_and_in_the_report(tmp_path):
    examples("Adding a metric")
    found = evaluated()
    for name in ("metrics", "pairs", "diversity", "correlations"):
        assert "both_right" in found.tables[name]["metric"].to_list(), name
    assert found.diversity.filter(metric="both_right")["stderr"].is_finite().all()
    assert "Both right" in found.report(tmp_path / "r.html").read_text()


def test_a_new_table_and_its_section_are_in_the_result_and_the_report(tmp_path):
    examples("Adding a table")
    found = evaluated()
    assert found.hardest.select("condition", "label").rows() == [("data/clean", 2)]
    page = found.report(tmp_path / "r.html").read_text()
    assert "The hardest class" in page
    assert "clean: class 2</p>" in page
