"""What a plain install can do, and the sentence where an optional package is missing."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import nversion
from nversion.core.extras import EXTRAS

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
OPTIONAL = [module for _, packages in EXTRAS.values() for module in packages]
# torch itself brings jinja2, so that its absence cannot be simulated beside torch.
BLOCK = f"""
import sys
from importlib.machinery import PathFinder

class Installed(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        absent = name.partition(".")[0] in {sorted(set(OPTIONAL) - {"jinja2"})}
        return None if absent else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Installed
"""
PLAIN = """
import numpy as np, torch
import nversion as nv
rng = np.random.default_rng(0)
labels = rng.integers(0, 4, 20)
print(nv.Predictions.from_arrays(rng.normal(size=(3, 20, 4)), labels))
images = rng.integers(0, 256, (20, 8, 8, 3), np.uint8)
print(nv.metrics.kappa(rng.normal(size=(3, 20, 4)), labels))
print(nv.corrupt(images, "fog", severity=3).shape)
net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 4))
print(nv.predict({"a": net}, (images, labels), {"lines": 2}))
for name in ("core", "ensembles", "diversity", "reliability", "losses", "metrics", "corruptions", "models",
             "data", "attribution", "predictions", "supernet", "training"):
    getattr(nv, name)
"""


def without_extras(code, *arguments):
    command = [sys.executable, "-c", BLOCK + code, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=200)


def test_every_extra_of_the_project_is_explained():
    declared = {name: needs for name, needs in PROJECT["optional-dependencies"].items() if name in EXTRAS}
    own = {
        name: {need.partition(">")[0] for need in needs if not need.startswith("nversion[")}
        for name, needs in declared.items()
    }
    assert own == {name: set(packages.values()) for name, (_, packages) in EXTRAS.items()}
    assert set(PROJECT["optional-dependencies"]) - set(EXTRAS) == {"dev", "docs"}


def test_a_plain_install_computes():
    found = without_extras(PLAIN)
    assert found.returncode == 0, found.stderr
    assert len(found.stdout.splitlines()) == 4


@pytest.mark.parametrize(
    ("code", "extra"),
    [
        ("import nversion as nv; nv.evaluate", "evaluate"),
        ("import nversion as nv; nv.metrics.Kappa", "metrics"),
        ("import nversion as nv; nv.models.load_classifier({'source': 'timm:resnet18'})", "models"),
        ("import nversion as nv; nv.models.load_classifier({'source': 'torchvision:resnet18'})", "models"),
        ("import nversion as nv; nv.data.open_dataset({'source': 'digits'})", "study"),
    ],
)
def test_a_missing_package_is_one_sentence_with_the_command(code, extra):
    found = without_extras(code)
    last = found.stderr.strip().splitlines()[-1]
    assert last.startswith("nversion.core.errors.UserError: expected the package")
    assert last.endswith(f'install it with: pip install "nversion[{extra}]"')


def test_the_command_line_says_what_it_needs():
    found = without_extras("from nversion.cli import main; main()", "doctor")
    assert found.returncode == 2
    assert found.stderr == (
        "error: expected the package typer for studies from the command line, found none; "
        'install it with: pip install "nversion[study]"\n'
    )


def test_the_catalogue_loads_no_torch():
    code = "import sys, nversion; dir(nversion); assert not {'torch', 'numpy'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=200).returncode == 0


@pytest.mark.parametrize("name", dir(nversion))
def test_every_name_of_the_catalogue_is_there(name):
    assert getattr(nversion, name) is getattr(nversion, name)


@pytest.mark.parametrize("name", nversion.__all__)
def test_every_function_and_class_of_the_catalogue_has_an_example(name):
    assert ">>> " in getattr(nversion, name).__doc__
