"""Variants in processes of their own: the same bytes in any number, and a killed one is one sentence."""

import multiprocessing

import pytest

from nversion.core import UserError, fingerprint_file
from nversion.training import train_variants

RECIPE = """
[train]
name = "r"
epochs = 1
device = "cpu"
threads = 1
[data.train]
source = "digits"
split = "train"
[canonical]
size = 32
mode = "squash"
[[members]]
arch = "python:nversion.training.small_networks:build"
args = { name = "shufflenet", num_classes = 10 }
name = "net"
[[variants]]
name = "student"
loss = { name = "distillation" }
[[variants.teacher]]
source = "file:FOLDER/first/seed-0/net.safetensors"
name = "first"
[[variants]]
name = "first"
[[variants]]
name = "second"
train = { epochs = 2 }
"""


@pytest.fixture
def recipe(tmp_path):
    def write(folder: str, text: str = RECIPE):
        (tmp_path / f"{folder}.toml").write_text(text.replace("FOLDER", folder))
        return tmp_path / f"{folder}.toml", tmp_path / folder

    return write


def trained(folder):
    return {path.parts[-3]: fingerprint_file(path) for path in folder.glob("*/seed-0/net.safetensors")}


@pytest.mark.slow
def test_any_number_of_processes_gives_the_same_files_teachers_first(recipe):
    finished = []
    for folder, workers in (("one", 1), ("two", 2)):
        train_variants(*recipe(folder), workers=workers, on_finished=finished.append)
    assert trained(recipe("one")[1]) == trained(recipe("two")[1])
    assert finished[:3] == ["first", "second", "student"] and finished[-1] == "student"
    assert len(set(trained(recipe("one")[1]).values())) == 3


def test_what_fails_in_a_process_is_the_users_sentence(recipe):
    path, folder = recipe("broken", RECIPE.replace("shufflenet", "shuffle"))
    with pytest.raises(UserError, match=r"a known small network, found 'shuffle'; did you mean"):
        train_variants(path, folder, workers=2)


@pytest.mark.slow
def test_a_killed_process_is_a_sentence(recipe):
    path, folder = recipe("long", RECIPE.replace("epochs = 2", "epochs = 500"))

    def kill(_name: str) -> None:
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(UserError, match=r"one that was ended from outside.*; free some memory and run again"):
        train_variants(path, folder, workers=2, on_finished=kill)
