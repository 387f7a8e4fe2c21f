"""A recipe from the command line: planned, trained, killed, trained again, and on to its study."""

import json
import signal
import time

import pytest

RECIPE = """
[train]
name = "try"
epochs = 1
batch_size = 32
device = "cpu"
checkpoint_steps = 1

[data.train]
source = "digits"
split = "train"
count = 160

[data.validation]
source = "digits"
split = "test"
count = 60

[canonical]
size = 32
mode = "squash"

[[members]]
arch = "python:nversion.training.small_networks:build"
args = { name = "resnet", num_classes = 10 }
name = "net"
count = 2

[[variants]]
name = "balanced"
loss = { name = "balanced" }

[[variants]]
name = "gncl"
loss = { name = "gncl" }
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a recipe, and the present one."""
    (tmp_path / "try.toml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def weights(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.safetensors")}


def test_a_plan_has_a_row_for_each_member_of_each_variant_and_trains_nothing(call, folder):
    code, out, _ = call("train", "try.toml", "--plan", "--json")
    rows = json.loads(out)
    assert code == 0
    assert [(row["variant"], row["member"]) for row in rows] == [
        *(("balanced", "net-0"), ("balanced", "net-1")),
        *(("gncl", "net-0"), ("gncl", "net-1")),
    ]
    assert rows[0] | {"parameters": 0, "MACs": 0} == {
        **{"variant": "balanced", "member": "net-0", "parameters": 0, "MACs": 0, "strategy": "joint"},
        **{"loss": "balanced", "epochs": 1, "steps an epoch": 5, "seeds": 1, "starts from": "random weights"},
    }
    assert 2e6 < rows[0]["MACs"] < 4e6
    assert not (folder / "runs").exists()


def test_a_plan_is_a_table_that_ends_with_the_next_command(call, folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = call("train", "try.toml", "--plan", "--folder", "elsewhere")
    lines = out.splitlines()
    assert code == 0
    assert "variant" in out and "balanced" in out and "net-1" in out
    assert lines[-1] == "Next: nversion train try.toml --folder elsewhere"


def test_only_the_named_variant_is_trained_once_and_its_study_can_be_planned(call, folder):
    code, out, _ = call("train", "try.toml", "--only", "gncl")
    *_, trained, following = out.splitlines()
    assert (code, trained) == (0, "Trained: runs/try")
    assert following == "Next: nversion study run runs/try/gncl/seed-0/study.toml"
    assert sorted(map(str, weights(folder))) == [
        f"runs/try/gncl/seed-0/net-{i}.safetensors" for i in range(2)
    ]
    before = {path: (folder / path).stat().st_mtime_ns for path in weights(folder)}

    code, out, _ = call("train", "try.toml", "--only", "gncl")
    assert (code, out.splitlines()[-1]) == (0, following)
    assert before == {path: (folder / path).stat().st_mtime_ns for path in weights(folder)}

    code, out, err = call("study", "plan", following.rpartition(" ")[2])
    assert (code, err) == (0, "")
    assert out.splitlines()[0].startswith("2 models, 5 conditions, 60 images; ensembles: 1 of 2 members")


def test_an_unknown_variant_is_answered_with_the_one_that_was_meant(call, folder):
    code, out, err = call("train", "try.toml", "--only", "ballanced")
    assert (code, out) == (2, "")
    assert err == ("error: expected a variant of the recipe, found 'ballanced'; did you mean 'balanced'?\n")


@pytest.mark.slow
def test_killed_in_its_middle_and_run_again_it_ends_in_the_same_bytes(call, nversion, folder):
    command = "train", "try.toml", "--only", "gncl", "--folder"
    process = nversion(*command, "killed", cwd=folder)
    checkpoint = folder / "killed" / "gncl" / "seed-0" / "checkpoint.pt"
    while process.poll() is None and not checkpoint.exists():
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    out, _ = process.communicate(timeout=120)
    assert (process.returncode, out) == (-9, "")
    assert checkpoint.exists() and not weights(folder)

    process = nversion(*command, "killed", cwd=folder)
    out, err = process.communicate(timeout=240)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[-1] == "Next: nversion study run killed/gncl/seed-0/study.toml"
    assert not checkpoint.exists()

    assert call(*command, "whole")[0] == 0
    assert weights(folder / "killed") == weights(folder / "whole")
