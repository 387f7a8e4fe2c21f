"""A study from the command line: planned, run, killed at any moment, run again, the same to the byte."""

import json
import os
import signal
import sys
import time

import polars as pl
import pytest

from nversion.cli import main
from nversion.core import only_run


@pytest.fixture
def inputs(small, tmp_path):
    """A folder with a study file and what it names."""
    small.write_inputs(tmp_path, num_images=24)
    small.write_toml(tmp_path / "small.toml")
    return tmp_path


def stores(small, folder):
    """The files of the stores but the clock's readings. A kill before an array's first manifest is whole
    leaves a folder that no one can tell from a tampered one: it stays set aside, beside the array."""
    return {
        name: content
        for name, content in small.files(folder / "runs" / "small").items()
        if name.startswith(("predictions", "attributions", "representations")) and ".set-aside-" not in name
    }


def parts(folder):
    """Finished batches on disk; an array that is whole counts as six."""
    files = [path.name for path in (folder / "runs").rglob("*.npy")]
    return sum(6 if name == "array.npy" else name.startswith("part-") for name in files)


@pytest.fixture(scope="module")
def one_go(small, tmp_path_factory):
    """The folder of a study that ran without interruption."""
    folder = small.write_inputs(tmp_path_factory.mktemp("one_go"), num_images=24)
    small.write_toml(folder / "small.toml")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["nversion", "study", "run", "small.toml", "--no-report"])
        main()
    assert not end.value.code
    return folder


INTERRUPTED = "interrupted: what is finished is kept; run the same command to go on\n"


@pytest.mark.slow
def test_killed_at_several_moments_and_run_again_it_ends_in_the_same_bytes(small, nversion, inputs, one_go):
    command = "study", "run", "small.toml", "--no-report"
    moments = [
        (1, signal.SIGKILL, -9, ""),
        (20, signal.SIGTERM, 143, INTERRUPTED),
        (45, signal.SIGINT, 130, INTERRUPTED),
    ]
    for moment, blow, code, message in moments:
        process = nversion(*command, cwd=inputs, pause_s=0.05)
        while process.poll() is None and parts(inputs) < moment:
            time.sleep(0.001)
        process.send_signal(blow)
        out, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (code, message)
        assert "Tables" not in out
        assert parts(inputs) >= moment
    process = nversion(*command, cwd=inputs)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[-2:] == ["Tables: runs/small/tables", "Next: nversion report runs/small"]
    assert stores(small, inputs) == stores(small, one_go)
    for table in sorted((one_go / "runs" / "small" / "tables").iterdir()):
        again = inputs / "runs" / "small" / "tables" / table.name
        assert pl.read_parquet(again).equals(pl.read_parquet(table)), table.name
        assert pl.read_parquet_metadata(again) == pl.read_parquet_metadata(table)


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_second_run_at_once_is_refused(call, inputs, monkeypatch, command):
    monkeypatch.chdir(inputs)
    with only_run(inputs / "runs" / "small"):
        code, out, err = call("study", command, "small.toml")
    assert (code, out) == (2, "")
    assert err == (
        "error: expected runs/small for this run alone, found another run that is writing to it; "
        "wait until that one ends, or give this one another folder\n"
    )


def test_a_plan_is_json_before_and_after(call, inputs, one_go, monkeypatch):
    monkeypatch.chdir(inputs)
    code, out, _ = call("study", "plan", "small.toml", "--json")
    (before,) = json.loads(out)
    assert (code, before["batches_missing"], before["maps_missing"]) == (0, 48, 16)
    monkeypatch.chdir(one_go)
    (after,) = json.loads(call("study", "plan", "small.toml", "--json")[1])
    assert (after["batches_missing"], after["batches_total"], after["set_aside"]) == (0, 48, [])


def test_a_plan_tells_what_will_run_and_the_next_command(call, inputs, monkeypatch):
    monkeypatch.chdir(inputs)
    code, out, _ = call("study", "plan", "small.toml", "--folder", "elsewhere")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "4 models, 2 conditions, 24 images; ensembles: 6 of 2 members, 4 of 3 members"
    assert lines[1] == "Logits: 0 of 48 batches cached; maps: 0 of 16 samples cached"
    assert lines[2].startswith("To run: about ") and "GB free" in lines[2]
    assert lines[3] == "Next: nversion study run small.toml --folder elsewhere"


def test_the_study_file_is_kept_beside_its_results(one_go):
    assert (one_go / "runs" / "small" / "study.toml").read_text() == (one_go / "small.toml").read_text()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"run": {"devise": "cpu"}},
            "error: expected keys that a study knows in small.toml, found run.devise; ",
        ),
        (
            {"ensembles": {"sizes": [9]}},
            "error: expected ensembles of at most 4 members, the number of models, ",
        ),
    ],
)
def test_a_mistake_in_the_study_is_one_sentence(call, small, inputs, monkeypatch, changes, sentence):
    monkeypatch.chdir(inputs)
    small.write_toml(inputs / "small.toml", **changes)
    code, out, err = call("study", "plan", "small.toml")
    assert (code, out) == (2, "")
    assert err.startswith(sentence) and err.count("\n") == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_told(call, inputs, monkeypatch):
    monkeypatch.chdir(inputs)
    (inputs / "locked").mkdir(mode=0o500)
    code, _, err = call("study", "plan", "small.toml", "--folder", "locked/out")
    assert code == 2
    assert err.startswith(
        "error: expected locked/out to be a file or folder that can be used, found 'Permission"
    )
