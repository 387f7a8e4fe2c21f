"""The loop under accumulation, low precision, several processes and a full disk; what it refuses."""

import copy
import errno
import os
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from nversion.core import UserError
from nversion.training import loop, parse_recipe, train_recipe
from nversion.training.checkpoints import load_checkpoint, save_checkpoint

NETWORK = """
from torch import nn

def build(width=8):
    layers = [nn.Conv2d(3, width, 3, 2, 1), nn.GELU(), nn.Conv2d(width, width, 3, 2, 1), nn.GELU()]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, 10))
    return network, {"input_size": 32, "mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
"""

CONTENT = {
    "train": {"name": "try", "epochs": 1, "batch_size": 32, "device": "cpu"},
    "data": {"train": {"source": "digits", "split": "train", "count": 200}},
    "canonical": {"size": 32, "mode": "squash"},
    "augment": {"crop_scale": None, "flip": 0.0},
    "members": [{"arch": "python:net.py:build", "name": "net", "count": 2}],
    "loss": {"name": "gncl"},
    "optimizer": {"name": "sgd", "learning_rate": 0.05},
}


@pytest.fixture
def train(tmp_path):
    """Train the recipe with changes; members without batch norm."""
    (tmp_path / "net.py").write_text(NETWORK)

    def run(name, **changes):
        content = copy.deepcopy(CONTENT)
        for table, value in changes.items():
            content[table] = {**content.get(table, {}), **value} if isinstance(value, dict) else value
        (ensemble,) = train_recipe(parse_recipe(content, "a test")["try"], tmp_path / name, base=tmp_path)
        return ensemble

    return run


def members(ensemble):
    return [load_file(member.path) for member in ensemble.members]


def train_rows(ensemble, metric):
    rows = pl.read_parquet(ensemble.folder / "metrics.parquet")
    return rows.filter((pl.col("split") == "train") & (pl.col("metric") == metric))["value"].to_list()


def test_two_half_batches_accumulated_are_one_whole_batch(train):
    whole = members(train("whole", train={"batch_size": 64}))
    halves = members(train("halves", train={"batch_size": 32, "accumulate": 2}))
    for one, other in zip(whole, halves, strict=True):
        for name in one:
            torch.testing.assert_close(one[name], other[name], atol=1e-6, rtol=1e-5)


def test_half_precision_trains(train):
    ensemble = train("half", train={"precision": "bf16-mixed", "epochs": 6}, optimizer={"learning_rate": 0.1})
    losses = train_rows(ensemble, "cross_entropy")
    assert losses[-1] < losses[0] - 0.1
    assert all(value.dtype == torch.float32 for value in members(ensemble)[0].values())


def test_clipping_bounds_each_members_step(train):
    free, clipped = members(train("free")), members(train("clipped", train={"clip": 1e-3}))
    start = members(train("start", optimizer={"learning_rate": 0.0, "weight_decay": 0.0}))

    def length(ends, i):
        return sum((ends[i][name] - start[i][name]).square().sum() for name in start[i]).sqrt()

    for i in range(2):
        # six steps of 0.05 · 1e-3, momentum 0.9 adds at most a factor of 10
        assert length(clipped, i) < 6 * 10 * 0.05 * (1e-3 + 1e-4 * 10) < length(free, i)


@pytest.mark.slow
def test_two_processes_train_one_ensemble(tmp_path, train):
    (tmp_path / "net.py").write_text(NETWORK)
    content = copy.deepcopy(CONTENT)
    content["train"] |= {"devices": 2, "epochs": 3}
    script = tmp_path / "train.py"
    script.write_text(f"""
from pathlib import Path
import torch
from nversion.core import fingerprint
from nversion.training import loop, parse_recipe, train_recipe

if __name__ == "__main__":
    torch.set_num_threads(1)
    finish = loop._finish_epoch

    def telling(run, optimizer, state):
        weights = [p.detach().numpy().tobytes().hex() for p in run.members.parameters()]
        rank = run.fabric.global_rank
        assert run.fabric.world_size == 2
        Path(f"rank-{{rank}}-{{state.epoch}}").write_text(fingerprint(weights))
        finish(run, optimizer, state)

    loop._finish_epoch = telling
    train_recipe(parse_recipe({content!r}, "a test")["try"], Path("out"))
""")
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    for epoch in range(3):
        first, second = ((tmp_path / f"rank-{rank}-{epoch}").read_text() for rank in range(2))
        assert first == second
    losses = pl.read_parquet(tmp_path / "out" / "seed-0" / "metrics.parquet").filter(
        pl.col("metric") == "cross_entropy"
    )["value"]
    assert losses[2] < losses[0]


def test_devices_without_two_images_each_are_refused(train, monkeypatch):
    from lightning_fabric import Fabric

    monkeypatch.setattr(Fabric, "world_size", 20)
    with pytest.raises(
        UserError, match=r"at least 2 images of a batch for each of 20 devices, found batches of 32; set"
    ):
        train("many")


def test_a_batch_of_one_image_is_refused(train):
    with pytest.raises(UserError, match=r"a sound value of train\.batch_size in a test, found 1"):
        train("one", train={"batch_size": 1})


def test_a_data_set_of_one_image_is_refused(train, tmp_path):
    np.savez(tmp_path / "one.npz", x=np.zeros((1, 32, 32, 3), np.uint8), y=np.zeros(1, np.int64))
    one = {"source": "npz", "path": "one.npz", "label_space": "digits", "num_classes": 10}
    with pytest.raises(UserError, match="batches of at least 2 images, found 1 image to train on; add"):
        train("one", data={"train": one}, train={"empty_classes": True})


def test_a_full_disk_is_told_and_the_last_checkpoint_is_kept(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"recipe": "a", "step": 1})
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(full))
    with pytest.raises(UserError, match=r"expected room on the disk of .*, found a full disk; free"):
        save_checkpoint(path, {"recipe": "a", "step": 2})
    assert load_checkpoint(path, "a", []) == {"recipe": "a", "step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_training_on_a_full_disk_resumes_when_there_is_room(train, monkeypatch):
    whole = train("whole", train={"checkpoint_steps": 2})

    def full(path, content, *, save=save_checkpoint):
        if path.exists():
            raise UserError(expected="room on the disk", found="a full disk", next_step="free some space")
        save(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", full)
        with pytest.raises(UserError, match="found a full disk"):
            train("full", train={"checkpoint_steps": 2})
    resumed = train("full", train={"checkpoint_steps": 2})
    assert [m.path.read_bytes() for m in resumed.members] == [m.path.read_bytes() for m in whole.members]


def test_the_diary_is_written_for_tensorboard(train):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    ensemble = train("board", train={"tensorboard": True, "epochs": 2})
    events = EventAccumulator(str(ensemble.folder / "tensorboard" / "stage-0"))
    events.Reload()
    assert {"train/cross_entropy", "train/negative_correlation", "train/accuracy/net-0"} <= set(
        events.Tags()["scalars"]
    )
    scalars = events.Scalars("train/cross_entropy")
    assert [scalar.step for scalar in scalars] == [6, 12]
    assert [scalar.value for scalar in scalars] == pytest.approx(train_rows(ensemble, "cross_entropy"))


def test_a_missing_tensorboard_is_told(train, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(
        UserError,
        match=r"TensorBoard for `tensorboard = true`, found no package tensorboard; install it with",
    ):
        train("board", train={"tensorboard": True})
