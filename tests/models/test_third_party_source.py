"""A package announces a model source by entry point: its networks are listed, trained and studied."""

import json
import os
import subprocess
import sys

import pytest

MODULE = '''
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nversion.models import MODEL_SOURCES, Lineage, Loaded, ModelSource, Preprocessing


@MODEL_SOURCES.register("zoo")
class Zoo(ModelSource):
    """Linear networks."""

    def load(
        self, *, reference: str, name: str | None, base: Path, num_classes: int = 10, seed: int = 0
    ) -> Loaded:
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, num_classes))
        prepare = Preprocessing(16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        return Loaded(module, prepare, name=reference, label_space="digits")

    def build(
        self,
        *,
        reference: str,
        name: str | None,
        base: Path,
        num_classes: int | None,
        args: dict[str, Any],
        seed: int,
    ) -> Loaded:
        return self.load(reference=reference, name=name, base=base, num_classes=num_classes or 10, seed=seed)

    def published(self):
        return [("flat", {"first": Lineage("flat", training_data=("digits",))})]
'''
RECIPE = """
[train]
name = "try"
epochs = 1
batch_size = 32
device = "cpu"
[data.train]
source = "digits"
split = "train"
count = 64
[canonical]
size = 16
mode = "squash"
[[members]]
arch = "zoo:flat"
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder, and what follows from a run of Python where the package `zoo` is installed."""
    folder = tmp_path_factory.mktemp("zoo")
    facts = folder / "zoo-1.0.dist-info"
    facts.mkdir()
    (folder / "zoo_models.py").write_text(MODULE)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[nversion.models]\nzoo = zoo_models\n")
    (folder / "try.toml").write_text(RECIPE)
    script = """
import json
from pathlib import Path
from nversion.models import list_models, load_classifier
from nversion.training import read_recipe, train_recipe
from nversion.training.run import study_tables
[recipe] = read_recipe(Path("try.toml")).values()
[ensemble] = train_recipe(recipe, Path("out"))
member = ensemble.members[0]
loaded = load_classifier({"source": f"file:{member.path}", "arch": "zoo:flat"})
[listing] = list_models("zoo:*")
print(json.dumps({
    "default": load_classifier({"source": "zoo:flat"}).name,
    "classes": load_classifier({"source": "zoo:flat", "num_classes": 7}).card.label_space.num_classes,
    "card": [loaded.card.architecture, loaded.card.training_data, loaded.card.label_space.num_classes],
    "study": study_tables(ensemble, recipe, Path()),
    "listed": [listing.source, listing.training_data],
}))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_installed_source_gives_classifiers_of_as_many_classes_as_are_asked_for(installed):
    assert (installed["default"], installed["classes"]) == ("flat", 7)


def test_an_installed_source_is_an_architecture_of_a_training(installed):
    assert installed["card"] == ["flat", ["digits-train[64 of 896, seed 0]"], 10]


def test_a_study_of_trained_members_names_the_architecture_that_no_file_may_choose(installed):
    assert [table["arch"] for table in installed["study"]] == ["zoo:flat"]


def test_models_of_an_installed_source_are_listed(installed):
    assert installed["listed"] == ["zoo:flat", [["digits"]]]
