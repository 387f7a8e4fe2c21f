"""`nversion select` on a small study that ran: what it prints, writes, and how it says no."""

import json
import shutil
import sys

import polars as pl
import pytest

from nversion.cli.main import main
from nversion.study import Silent, parse_spec, run_study
from nversion.study.contenders import Request
from nversion.study.front import FRONT
from nversion.study.select import SELECTION, write_selection

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
    """A copy elsewhere, in which nothing was chosen yet: a study's folder can move."""
    copy = shutil.copytree(finished, tmp_path / "moved")
    for name in ("selection", "front"):
        (copy / "tables" / f"{name}.parquet").unlink(missing_ok=True)
    return copy


@pytest.fixture
def command(monkeypatch, capsys):
    """Run the command line; gives exit code, output and errors."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["nversion", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return run


def test_it_prints_a_table_and_the_next_command_and_writes_the_parquet_file(folder, command):
    code, out, _ = command("select", folder)
    assert code == 0
    for text in (
        "best single model",
        "nearest MACs",
        "Optimism of the choice",
        "--unseen names others",
        "Pareto front, drawn on the half that chose",
        "Next: nversion",
    ):
        assert text in out
    path = folder / "tables" / "selection.parquet"
    assert dict(pl.read_parquet(path).schema) == SELECTION
    assert dict(pl.read_parquet(folder / "tables" / "front.parquet").schema) == FRONT
    facts = pl.read_parquet_metadata(path)
    assert json.loads(facts["selection"])["unseen"] == ["digits/lines-1"]
    assert facts["study_hash"] == pl.read_parquet_metadata(folder / "tables/models.parquet")["study_hash"]


def test_json_is_one_object_with_settings_sums_and_rows(folder, command):
    code, out, _ = command(
        "select", folder, "--json", "--size", 2, "--unseen", "clean", "--criterion", "mean"
    )
    assert code == 0
    content = json.loads(out)
    assert content["unseen"] == ["digits/clean"]
    assert content["candidates"] == 6
    assert {row["size"] for row in content["rows"] if row["role"] == "chosen"} == {2}
    assert {row["size"] for row in content["front"]} <= {1, 2}


def test_whole_and_halves_are_the_same_images(folder, command):
    """Both halves together give the accuracy that the study's own table says."""
    command("select", folder)
    table = pl.read_parquet(folder / "tables/selection.parquet")
    rows = table.filter(role="chosen", condition="digits/clean")
    whole = pl.read_parquet(folder / "tables/ensembles.parquet").filter(
        ensemble=rows["ensemble"][0], condition="digits/clean", consensus="average"
    )
    assert (rows["top1"] * rows["n"]).sum() == pytest.approx(whole["top1"][0] * 60)


def test_it_gives_the_same_bytes_again(folder, command):
    path = folder / "tables" / "selection.parquet"
    command("select", folder)
    first = path.read_bytes()
    command("select", folder)
    assert path.read_bytes() == first


def test_a_run_chooses_by_default_what_the_command_chooses(finished, folder, command):
    assert write_selection(folder, None, Silent()).request == Request()
    for name in ("selection", "front"):
        path = folder / "tables" / f"{name}.parquet"
        by_function = path.read_bytes()
        command("select", folder)
        assert path.read_bytes() == by_function == (finished / "tables" / path.name).read_bytes()


def test_a_run_that_is_repeated_keeps_what_was_asked(folder, command):
    asked = ["--size", 2, "--unseen", "clean", "--criterion", "mean", "--seed", 3, "--cost", "macs"]
    command("select", folder, *asked)
    path = folder / "tables" / "selection.parquet"
    first = path.read_bytes()
    selection = write_selection(folder, None, Silent())
    assert path.read_bytes() == first
    assert selection.request == Request(
        size=2, unseen=("digits/clean",), criterion="mean", seed=3, cost="macs"
    )


def test_what_was_asked_of_another_study_is_not_asked_again(folder, command):
    command("select", folder, "--size", 2)
    path = folder / "tables" / "selection.parquet"
    facts = pl.read_parquet_metadata(path) | {"study_hash": "other"}
    facts.pop("ARROW:schema", None)
    pl.read_parquet(path).write_parquet(path, metadata=facts)
    assert write_selection(folder, None, Silent()).request == Request()


def test_a_run_of_one_condition_chooses_nothing(folder, command):
    path = folder / "tables" / "conditions.parquet"
    facts = {key: value for key, value in pl.read_parquet_metadata(path).items() if key != "ARROW:schema"}
    pl.read_parquet(path).head(1).write_parquet(path, metadata=facts)
    assert write_selection(folder, None, Silent()) is None
    assert not (folder / "tables" / "selection.parquet").exists()
    code, _, err = command("select", folder)
    assert code == 2 and "expected a study of at least 2 conditions" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--consensus", "mean"], "expected a known consensus rule, found 'mean'"),
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
    assert not (folder / "tables" / "selection.parquet").exists()


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


def test_tables_of_another_run_are_not_used(folder, command):
    manifest = folder / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**content, "study_hash": "other"}))
    code, _, err = command("select", folder)
    assert code == 2
    assert "tables and manifest.json of one run" in err


def test_a_manifest_that_does_not_say_where_the_logits_are_asks_for_a_run(folder, command):
    manifest = folder / "manifest.json"
    content = json.loads(manifest.read_text())
    del content["logits"]
    manifest.write_text(json.dumps(content))
    code, _, err = command("select", folder)
    assert code == 2
    assert "run the study again; what is cached is not computed again" in err
