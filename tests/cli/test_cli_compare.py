"""`nversion compare` on a small study that ran: what it prints, and how it says no."""

import json

import polars as pl
import pytest

from nversion.study import parse_spec, run_study

ZOO = """
import torch
from torch import nn

def build(name):
    torch.manual_seed(ord(name))
    side = 4 + ord(name) % 3
    return nn.Sequential(nn.AdaptiveAvgPool2d(side), nn.Flatten(), nn.Linear(3 * side**2, 10)), {
        "input_size": 32, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
"""
STUDY = {
    "study": {"name": "small"},
    "data": {"digits": {"source": "digits", "split": "test", "count": 60}},
    "canonical": {"size": 32, "mode": "squash"},
    "conditions": {"corruptions": {"lines": 1.0}},
    "models": [{"source": "python:zoo.py:build", "names": list("abc"), "label_space": "digits"}],
    "ensembles": {"sizes": [2], "consensus": ["average", "vote"]},
    "run": {"device": "cpu"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished study whose models are gone: nothing of it can run again."""
    base = tmp_path_factory.mktemp("study")
    (base / "zoo.py").write_text(ZOO)
    run_study(parse_spec(STUDY, "test"), base / "run", base)
    (base / "zoo.py").unlink()
    return base / "run"


def test_it_prints_a_table_a_sentence_and_the_next_command(folder, call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = call("compare", folder, "a + b", "c", "--consensus", "vote")
    assert code == 0
    for text in ("A: a + b", "B: c", "decide by: vote", "digits/lines-1", "A less B", "After correction"):
        assert text in out
    assert out.rstrip().splitlines()[-1].startswith(f"Next: nversion select {folder}")


def test_json_has_the_numbers_of_the_studys_own_tables(folder, call):
    code, out, _ = call("compare", folder, "a,b", "c", "--condition", "clean", "--json")
    assert code == 0
    content = json.loads(out)
    assert (content["a"], content["b"], content["consensus"]) == ("a + b", "c", "average")
    (row,) = content["rows"]
    ensembles = pl.read_parquet(folder / "tables" / "ensembles.parquet")
    models = pl.read_parquet(folder / "tables" / "models.parquet")
    where = {"condition": "digits/clean"}
    assert row["a_top1"] == pytest.approx(
        ensembles.filter(ensemble="a + b", consensus="average", **where)["top1"][0]
    )
    assert row["b_top1"] == pytest.approx(models.filter(model="c", **where)["top1"][0])
    assert row["difference"] == pytest.approx(row["a_top1"] - row["b_top1"])


def test_it_writes_nothing(folder, call):
    before = sorted((p, p.stat().st_mtime_ns) for p in folder.rglob("*"))
    call("compare", folder, "a", "b")
    assert sorted((p, p.stat().st_mtime_ns) for p in folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "d"], "expected a model of this study, or members joined by"),
        (["a", "b", "--condition", "fog"], "found --condition 'fog'"),
        (["a", "a"], "expected two different models or ensembles, found a twice"),
        (["a", "b", "--consensus", "votes"], "did you mean 'vote'"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_two(folder, call, arguments, message):
    code, out, err = call("compare", folder, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_a_folder_without_a_study_is_left_alone(tmp_path, call):
    code, _, err = call("compare", tmp_path / "nothing", "a", "b")
    assert code == 2 and "expected a finished study in" in err
    assert not (tmp_path / "nothing").exists()


def test_help_ends_with_two_examples(call):
    _, out, _ = call("compare", "--help")
    assert out.count("nversion compare runs/my-study") == 2
