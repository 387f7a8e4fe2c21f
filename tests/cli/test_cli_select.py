"""`nversion select` on a small study that ran: what it prints, writes, and how it says no."""

import dataclasses
import json
import shutil
import sys

import polars as pl
import pytest

from nversion.cli.main import main
from nversion.core import UserError, fingerprint_file, read_record, write_record
from nversion.core.sealed import read_records
from nversion.core.study_files import read_table
from nversion.evaluation import TABLES
from nversion.evaluation.compare import compare
from nversion.report import read_study
from nversion.selection.contenders import Request
from nversion.selection.front import FRONT
from nversion.selection.select import SELECTION, select_in
from nversion.study import Silent, parse_spec, run_study
from nversion.study.choose import write_selection
from nversion.study.stored import open_stored

ZOO = """
import torch
from torch import nn

def build(name):
    torch.manual_seed(ord(name))
    return nn.Sequential(nn.AdaptiveAvgPool2d(4 + ord(name) % 3), nn.Flatten(), nn.LazyLinear(10)), {
        "input_size": 32, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
"""
ZOO = ZOO.replace("nn.LazyLinear(10)", "nn.Linear(3 * (4 + ord(name) % 3) ** 2, 10)")
STUDY = {
    "study": {"name": "small"},
    "data": {"digits": {"source": "digits", "split": "test", "count": 60}},
    "canonical": {"size": 32, "mode": "squash"},
    "conditions": {"corruptions": {"plasma_noise": 1.4, "lines": 1.0}},
    "models": [{"source": "python:zoo.py:build", "names": list("abcd"), "label_space": "digits"}],
    "ensembles": {"sizes": [2, 3], "consensus": ["average"]},
    "run": {"device": "cpu"},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study whose models are gone: nothing of it can run again."""
    base = tmp_path_factory.mktemp("study")
    (base / "zoo.py").write_text(ZOO)
    run_study(parse_spec(STUDY, "test"), base / "run", base)
    (base / "zoo.py").unlink()
    return base / "run"


@pytest.fixture
def folder(finished, tmp_path):
    """A copy elsewhere: a study's folder can move."""
    return shutil.copytree(finished, tmp_path / "moved")


def contents(folder):
    return {path.name: path.read_bytes() for path in (folder / "tables").iterdir()}


def log(folder):
    return [json.loads(line) for line in (folder / "selection-log.jsonl").read_text().splitlines()]


@pytest.fixture
def command(monkeypatch, capsys):
    """Run the command line; gives exit code, output and errors."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["nversion", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return run


def test_it_prints_verdict_stability_table_and_the_next_command(folder, command):
    code, out, _ = command("select", folder)
    assert code == 0
    for text in (
        "Verdict: ",
        "Stability: the same rule on 100 other halves of the images.",
        "best single model",
        "nearest MACs",
        "Optimism of the choice",
        "--unseen names others",
        "Pareto front on the selection half",
        "Next: nversion compare",
    ):
        assert text in out
    assert "--seed" not in out


def test_a_run_writes_the_tables_of_its_own_selection(finished):
    tables = {name: read_table(finished, name) for name in ("selection", "front", "selection_splits")}
    assert dict(tables["selection"].schema) == SELECTION
    assert dict(tables["front"].schema) == FRONT
    assert dict(tables["selection_splits"].schema) == dict(pl.Schema(TABLES["selection_splits"].schema))
    assert tables["selection_splits"].height == 100
    facts = pl.read_parquet_metadata(finished / "tables" / "selection.parquet")
    assert json.loads(facts["selection"])["unseen"] == ["digits/lines-1"]
    assert facts["study_hash"] == pl.read_parquet_metadata(finished / "tables/models.parquet")["study_hash"]


def test_json_is_one_object_with_settings_sums_and_rows(folder, command):
    code, out, _ = command(
        "select", folder, "--json", "--size", 2, "--unseen", "clean", "--criterion", "mean", "--splits", 7
    )
    assert code == 0
    content = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert content["unseen"] == ["digits/clean"]
    assert (content["candidates"], content["single_models"]) == (6, 4)
    assert {row["size"] for row in content["rows"] if row["role"] == "chosen"} <= {1, 2}
    assert {row["size"] for row in content["front"]} <= {1, 2}
    assert len(content["selection_splits"]) == content["num_splits"] == 7
    assert " is chosen" in content["verdict"]


def test_whole_and_halves_are_the_same_images(finished):
    """Both halves together give the accuracy that the study's own table says."""
    rows = read_table(finished, "selection").filter(role="best_single_model", condition="digits/clean")
    whole = read_table(finished, "models").filter(model=rows["members"][0][0], condition="digits/clean")
    assert (rows["top1"] * rows["n"]).sum() == pytest.approx(whole["top1"][0] * 60)


@pytest.mark.parametrize("more", [[], ["--json"], ["--save", "mine"]])
def test_the_studys_own_selection_stays_whatever_is_asked(folder, command, more):
    before, manifest = contents(folder), (folder / "manifest.json").read_bytes()
    assert command("select", folder, "--size", 2, "--seed", 1, *more)[0] == 0
    assert contents(folder) == before
    assert (folder / "manifest.json").read_bytes() == manifest


def test_it_gives_the_same_numbers_as_the_run_and_again(folder, command):
    first = json.loads(command("select", folder, "--json")[1])
    assert json.loads(command("select", folder, "--json")[1]) == first
    own = read_table(folder, "selection")
    assert [row["top1"] for row in first["rows"]] == own["top1"].to_list()
    assert [row["gain_unseen"] for row in first["selection_splits"]] == read_table(
        folder, "selection_splits"
    )["gain_unseen"].to_list()


def test_every_selection_leaves_a_line_and_a_repeated_run_none(folder, command):
    assert [line["command"] for line in log(folder)] == ["run"]
    command("select", folder, "--json", "--seed", 5)
    command("select", folder, "--seed", 5)
    assert [(line["command"], line["request"]["seed"]) for line in log(folder)] == [
        ("run", 0),
        ("select", 5),
        ("select", 5),
    ]
    records, damaged = read_records(folder / "selection-log.jsonl")
    assert (len(records), damaged) == (3, 0)
    study = open_stored(folder)
    write_selection(study, folder, {}, Silent())
    assert len(log(folder)) == 3


def test_a_result_can_be_kept_under_a_name_once(folder, command):
    assert command("select", folder, "--size", 2, "--save", "pairs")[0] == 0
    kept = read_record(folder / "selections" / "pairs.json")
    assert kept["size"] == 2 and kept["rows"] and kept["selection_splits"]
    code, _, err = command("select", folder, "--save", "pairs")
    assert code == 2 and "expected a new name for a selection" in err
    code, _, err = command("select", folder, "--save", "../pairs")
    assert code == 2 and "plain names of files in --save" in err
    assert len(log(folder)) == 2


def test_a_run_of_one_condition_chooses_nothing(folder, command):
    study = open_stored(folder)
    study = dataclasses.replace(study, conditions=study.conditions[:1])
    assert write_selection(study, folder, {}, Silent()) == (None, {})
    with pytest.raises(UserError, match="expected a study of at least 2 conditions"):
        select_in(study, Request(), Silent())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--consensus", "mean"], "consensus rule, found 'mean'; did you mean 'average'?"),
        (["--unseen", "fog"], "found --unseen 'fog'"),
        (["--size", "4"], "expected a size of this study: 2, 3, found --size 4"),
        (["--cost", "mac"], "expected a known cost, found 'mac'; did you mean 'macs'"),
        (["--max-params", "1"], "expected an ensemble within the budget of 1 parameters"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_two(folder, command, arguments, message):
    code, out, err = command("select", folder, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert len(log(folder)) == 1


def test_a_folder_without_a_study_is_left_alone(tmp_path, command):
    code, _, err = command("select", tmp_path / "nothing")
    assert code == 2
    assert "expected a finished study in" in err and "nversion study run STUDY.toml" in err
    assert not (tmp_path / "nothing").exists()


def test_changed_logits_are_named_and_not_used(folder, command):
    array = next((folder / "predictions" / "digits" / "clean").glob("b-*/array.npy"))
    content = bytearray(array.read_bytes())
    content[-1] ^= 1
    array.write_bytes(content)
    code, _, err = command("select", folder)
    assert code == 2
    assert f"the finished logits in {array.parent}, found none that match their manifest" in err


@pytest.mark.parametrize("change", [{"study_hash": "other"}, {"logits": None}, {"tables": {}}])
def test_an_edited_manifest_is_not_used(folder, command, change):
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | change))
    code, _, err = command("select", folder)
    assert (code, err.count("\n")) == (2, 1)
    assert "manifest.json as it was written, found other bytes" in err
    assert "`nversion study run STUDY.toml --folder" in err


@pytest.mark.parametrize("name", ["labels", "models", "conditions"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "missing", "foreign", "text"])
def test_a_damaged_table_is_one_sentence_that_names_it(folder, command, name, damage):
    path = folder / "tables" / f"{name}.parquet"
    content = path.read_bytes()
    damaged = {
        "flip": content[:100] + bytes([content[100] ^ 16]) + content[101:],
        "cut": content[: len(content) // 2],
        "empty": b"",
        "foreign": (folder / "tables" / "pairs.parquet").read_bytes(),
        "text": b"no table",
    }
    path.unlink() if damage == "missing" else path.write_bytes(damaged[damage])
    for arguments in (["select", folder], ["compare", folder, "a", "b"]):
        code, out, err = command(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert f"{name}.parquet as the run that wrote manifest.json left it" in err
        assert "computes it again from the stored predictions" in err
    assert len(log(folder)) == 1


def test_a_manifest_of_another_structure_is_one_sentence_though_its_seal_fits(folder, mutations):
    manifest = folder / "manifest.json"
    whole = {key: value for key, value in json.loads(manifest.read_text()).items() if key != "seal"}

    def read(mutant):
        write_record(manifest, json.loads(json.dumps(mutant, default=str)))
        compare(open_stored(folder), "a", "b")
        read_study(folder)

    for what, mutant in mutations.mutations_of(whole, seed=0, count=60, nulls=True):
        mutations.outcome(read, mutant, what)


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("labels", "label", "x"),
        ("labels", "label", None),
        ("models", "params", b"x"),
        ("conditions", "seed", 0.5),
    ],
)
def test_columns_of_other_types_are_one_sentence_though_the_digest_fits(folder, name, column, value):
    path = folder / "tables" / f"{name}.parquet"
    pl.read_parquet(path).with_columns(pl.lit(value).alias(column)).write_parquet(path)
    manifest = read_record(folder / "manifest.json")
    manifest["tables"][name] = fingerprint_file(path)
    write_record(folder / "manifest.json", manifest)
    with pytest.raises(UserError, match=rf"columns of this version in .*{name}\.parquet, found .*{column}"):
        compare(open_stored(folder), "a", "b")
