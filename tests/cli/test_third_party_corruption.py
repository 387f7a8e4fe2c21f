"""A package announces corruptions by entry point: installed, they are listed, studied and fingerprinted."""

import json
import os
import subprocess
import sys

import polars as pl
import pytest

MODULE = """
from nversion.corruptions import CORRUPTIONS, wrap
from nversion.corruptions.base import Corruption, Parameter

@CORRUPTIONS.register("half_black")
class HalfBlack(Corruption):
    'The upper part turns black.'

    name, parameters, highest = "half_black", {"rows": Parameter(low=0, high=1)}, 1.0
    levels = (0.1, 0.2, 0.3, 0.4, 0.5)

    def _draw(self, rng, height, width):
        return {"rows": self.severity}

    def _render(self, images, columns, out):
        out.copy_(images)
        out[:, :, : round(columns["rows"][0] * images.shape[2])] = 0

def inverted(severity):
    from torchvision.transforms import v2
    return v2.RandomInvert(p=1)

wrap(inverted, name="inverted", low=0, high=1)
"""


@pytest.fixture
def installed(tmp_path):
    """Run `nversion ARGUMENTS` where the package `half-black` is installed."""
    site = tmp_path / "site"
    facts = site / "half_black-1.0.dist-info"
    facts.mkdir(parents=True)
    (site / "half_black_corruptions.py").write_text(MODULE)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: half-black\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[nversion.corruptions]\nhalf_black = half_black_corruptions\n")

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-c", "from nversion.cli import main; main()", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_an_installed_corruption_is_listed_with_its_levels(installed):
    done = installed("corruptions", "ls", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["corruption"]: row for row in json.loads(done.stdout)}
    assert rows["half_black"]["what it does"] == "The upper part turns black."
    assert rows["half_black"]["levels, 224 px"] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert rows["half_black"]["group"] == rows["inverted"]["group"] == "others"


def test_a_study_runs_under_an_installed_corruption(small, installed, tmp_path):
    small.write_inputs(tmp_path)
    conditions = {"corruptions": {"half_black": 0.5, "inverted": 1.0}}
    left_out = {"attribution": None, "representation": None}
    small.write_toml(tmp_path / "study.toml", conditions=conditions, **left_out)
    done = installed("study", "run", "study.toml", "--no-report")
    assert done.returncode == 0, done.stderr
    tables = tmp_path / "runs" / "small" / "tables"
    names = set(pl.read_parquet(tables / "conditions.parquet")["condition"])
    assert names == {"d/clean", "d/half_black-0.5", "d/inverted-1"}
    (manifest,) = (tmp_path / "runs/small/predictions/d/half_black-0.5").glob("a-*/manifest.json")
    assert json.loads(manifest.read_text())["what"]["corruption_code"]


def test_its_unknown_neighbour_is_told_its_name(installed):
    done = installed("corruptions", "show", "half_blak")
    assert done.returncode == 2 and "found 'half_blak'; did you mean 'half_black'?" in done.stderr
