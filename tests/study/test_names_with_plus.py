"""Names of models that hold " + ": every ensemble keeps a name of its own, from the run to the report."""

import polars as pl
import pytest

from nversion.core import UserError
from nversion.core.study_files import read_table
from nversion.evaluation.compare import compare
from nversion.report import build_report, read_study
from nversion.study.stored import open_stored

NAMES = ["a", "bb", "a + bb", "ccc"]


@pytest.fixture(scope="module")
def folder(small, tmp_path_factory):
    base = small.write_inputs(tmp_path_factory.mktemp("plus"))
    models = [{"source": "python:models.py:build", "label_space": "tiny", "names": NAMES}]
    small.run(base, models=models, attribution=None, representation=None, report={"images": 0})
    return base / "out"


def test_names_of_models_and_ensembles_are_all_different(folder):
    ensembles = read_table(folder, "ensembles").select("ensemble", "members").unique()
    assert ensembles.height == ensembles["ensemble"].n_unique() == 6 + 4
    assert not set(ensembles["ensemble"]) & set(NAMES)
    severities = read_table(folder, "benchmark").filter(size=1)
    assert set(severities["ensemble"]) == set(NAMES)


def test_members_say_in_every_table_who_an_ensemble_is(folder):
    known = dict(read_table(folder, "ensembles").select("ensemble", "members").unique().iter_rows())
    for name in (
        "diversity",
        "comparisons",
        "calibration",
        "agreement",
        "votes",
        "joint_failures",
        "hazards",
    ):
        found = read_table(folder, name).select("ensemble", "members").unique()
        assert dict(found.iter_rows()) == known


def test_the_report_is_built_and_finds_members(folder):
    text = build_report(folder).read_text()
    assert "a + bb" in text
    study = read_study(folder)
    assert study.members('"a" + "bb"') == ["a", "bb"]


def test_two_readings_are_told_apart_by_quotes(folder):
    with pytest.raises(UserError, match="read in one way"):
        compare(open_stored(folder), "a + bb", "a")
    alone = compare(open_stored(folder), '"a + bb"', "a").rows[0]["a_top1"]
    models = read_table(folder, "models").filter(pl.col("model") == "a + bb", condition="d/clean")
    assert alone == models["top1"][0]
    assert compare(open_stored(folder), '"bb"+"a"', "ccc").a_members == ["a", "bb"]
