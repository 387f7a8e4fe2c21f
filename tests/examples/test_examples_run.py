"""The examples are run as a reader would run them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

SAYS = {
    "corrupt_images.py": "does not depend on its batch: True",
    "ensembles_from_logits.py": "of 120 ensembles beat their best member",
    "own_corruption.py": "raindrops: mean 219, the same alone: True",
    "train_ensemble.py": "gncl: the mean member is right on",
}


def test_every_example_is_listed_here():
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == sorted(SAYS)


@pytest.mark.parametrize("name", SAYS)
def test_an_example_runs_and_says_what_it_promises(name):
    environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"}  # it would ask the network for its newest
    done = subprocess.run(
        [sys.executable, EXAMPLES / name],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert SAYS[name] in done.stdout
