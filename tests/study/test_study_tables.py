"""The tables of a finished study: columns, ranges, facts, and what they must say of each other."""

import errno
import json
import math
from pathlib import Path

import polars as pl
import pytest

import nversion
from nversion.core import UserError
from nversion.core.study_files import read_table, write_table
from nversion.diversity import metrics_of
from nversion.evaluation import TABLES

SCHEMAS = {name: one.schema for name, one in TABLES.items()}
EMPTY_HERE = {"suspects", "lineage", "attribution_agreement", "severities"}
"""Tables without a row in the small study: nothing is suspected or shared, one method makes the maps,
a corruption has one severity."""

FRACTIONS = {
    "models": ["top1", "top1_low", "top1_high", "top5", "ece", "ece_debiased"],
    "ensembles": ["top1", "best_member_top1", "mean_member_top1"],
    "comparisons": ["p_value", "p_corrected"],
    "calibration": ["ece", "ece_debiased"],
    "agreement": ["coverage"],
    "votes": ["right", "safe_stop", "silent_wrong", "silent_wrong_low", "silent_wrong_high"],
    "joint_failures": [
        *("all_fail", "all_fail_low", "all_fail_high", "all_fail_independent", "majority_fail"),
        *("majority_fail_independent", "vote_fail", "identical_wrong", "beta", "beta_independent"),
    ],
    "hazards": ["failure"],
    "robustness": ["clean_top1", "top1"],
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_table_has_the_columns_that_readers_rely_on(finished, name):
    frame = read_table(finished, name)
    assert dict(frame.schema) == dict(pl.Schema(SCHEMAS[name]))
    assert frame.is_empty() == (name in EMPTY_HERE)


@pytest.mark.parametrize(("name", "column"), [(n, c) for n, columns in FRACTIONS.items() for c in columns])
def test_shares_are_fractions(finished, name, column):
    values = read_table(finished, name)[column]
    assert values.is_between(0, 1).all()


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_tables_file_says_where_it_comes_from(finished, name):
    facts = pl.read_parquet_metadata(finished / "tables" / f"{name}.parquet")
    manifest = json.loads((finished / "manifest.json").read_text())
    assert facts["study"] == "small"
    assert facts["study_hash"] == manifest["study_hash"]
    assert facts["nversion"] == nversion.__version__
    assert facts["units"] == "fractions in [0, 1]"


def test_every_model_condition_ensemble_and_metric_has_its_row(finished):
    rules, maps = 5, 2 * 2  # attribution targets × normalisations
    pairwise = 6 + 4 + maps + 1  # of right and wrong, of outputs, of maps, of representations
    metrics = len(metrics_of()) + 4 * maps + 1  # of maps on all images, and on those of three strata
    ensembles = math.comb(4, 2) + math.comb(4, 3)
    assert len(read_table(finished, "models")) == 4 * 2
    assert len(read_table(finished, "ensembles")) == ensembles * rules * 2
    assert len(read_table(finished, "pairs")) == 6 * pairwise * 2
    assert len(read_table(finished, "diversity")) == ensembles * metrics * 2
    # Clean with clean, corrupted with corrupted, clean diversity with corrupted gain; two sizes. The mean
    # accuracy of the members has no partial correlation at equal mean accuracy.
    assert len(read_table(finished, "correlations")) == 3 * 2 * rules * (metrics * 4 + 3)
    assert len(read_table(finished, "samples")) == 2 * 2
    assert len(read_table(finished, "maps")) == 2 * 4
    assert len(read_table(finished, "metrics")) == metrics
    assert len(read_table(finished, "comparisons")) == ensembles * rules * 2
    assert len(read_table(finished, "calibration")) == ensembles * 2
    assert len(read_table(finished, "agreement")) == (6 * 2 + 4 * 3) * 2  # two or three may agree
    assert len(read_table(finished, "votes")) == ensembles * 2 * 2
    assert len(read_table(finished, "joint_failures")) == ensembles * 2
    assert len(read_table(finished, "hazards")) == ensembles * 2  # classes; there are no groups
    assert len(read_table(finished, "robustness")) == 4  # under the one corruption


def test_diversity_lies_within_the_bounds_of_its_metric(finished):
    frame = read_table(finished, "diversity").join(read_table(finished, "metrics"), on="metric")
    assert set(frame["metric"]) == set(read_table(finished, "metrics")["metric"])
    found = frame.filter(pl.col("value").is_not_nan())
    low, high = (
        pl.col(f"{end}_bound").fill_null(sign * math.inf) for end, sign in (("low", -1), ("high", 1))
    )
    outside = found.filter(~pl.col("value").is_between(low - 1e-6, high + 1e-6))
    assert outside.rows() == []


def test_an_ensembles_row_agrees_with_those_of_its_members(finished):
    models = read_table(finished, "models")
    for row in read_table(finished, "ensembles").iter_rows(named=True):
        members = models.filter(pl.col("model").is_in(row["members"]), condition=row["condition"])
        assert row["ensemble"] == " + ".join(row["members"])
        assert len(members) == row["size"]
        assert row["best_member_top1"] == members["top1"].max()
        assert row["mean_member_top1"] == pytest.approx(members["top1"].mean())
        assert row["improvement"] == pytest.approx(row["top1"] - members["top1"].max())
        assert (row["params"], row["macs"]) == (members["params"].sum(), members["macs"].sum())


def test_the_geometric_mean_gives_the_rows_of_average(finished):
    frame = read_table(finished, "ensembles")
    same = [c for c in frame.columns if c != "consensus"]
    average, geometric = (frame.filter(consensus=rule)[same] for rule in ("average", "geometric_mean"))
    assert average.equals(geometric)
    assert "that of average" in json.loads((finished / "manifest.json").read_text())["identities"][0]


def test_diversity_of_a_pair_is_its_pairwise_value(finished):
    pairs = read_table(finished, "pairs").with_columns(
        ensemble=pl.concat_str("model_a", "model_b", separator=" + ")
    )
    both = read_table(finished, "diversity").join(
        pairs, on=["ensemble", "condition", "metric"], suffix="_of_pair"
    )
    assert set(both["metric"]) == set(pairs["metric"])
    assert len(both) == len(pairs)
    assert both["value"].equals(both["value_of_pair"], check_names=False)


def test_the_conditions_table_tells_corruption_severity_and_counts(finished):
    assert read_table(finished, "conditions").rows() == [
        ("d/clean", "d", None, None, 0, None, 12, 0),
        ("d/lines-1", "d", "lines", 1.0, 0, None, 12, 0),
    ]


def test_the_manifest_holds_what_a_repetition_needs(finished):
    manifest = json.loads((finished / "manifest.json").read_text())
    assert [m["name"] for m in manifest["models"]] == ["a", "bb", "ccc", "dddd"]
    assert all(len(m["fingerprint"]) == 32 for m in manifest["models"])
    assert manifest["datasets"][0]["n"] == 12
    assert manifest["settings"]["attribution"]["absolute"] is True
    assert manifest["settings"]["ensembles_of_each_size"] == {"2": 6, "3": 4}


def test_a_folder_without_tables_is_told_how_to_get_them(tmp_path):
    with pytest.raises(
        UserError,
        match=r"a finished study in .*, found no manifest.json; run `nversion study run STUDY.toml`",
    ):
        read_table(tmp_path, "models")


def test_a_table_on_a_full_disk_is_told_in_one_sentence(tmp_path, monkeypatch):
    def full(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="found a full disk; free some space and run again"):
        write_table(tmp_path, "pairs", pl.DataFrame({"x": [1]}), {})
    assert list((tmp_path / "tables").iterdir()) == []
