"""The command line as a subprocess, in a folder with the inputs of a small study."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def small():
    """Builders of the small study."""
    path = Path(__file__).parents[1] / "study" / "small_study.py"
    spec = importlib.util.spec_from_file_location("small_study", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def nversion():
    """Start `nversion ARGUMENTS`; the process. `pause_s`: what each model of a small study waits a batch."""
    # An interrupt may fall between the opening of a file and the block that closes it.
    warnings = "default,ignore::ResourceWarning"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "PYTHONWARNINGS": warnings}

    def start(*arguments, cwd=None, pause_s=0.0):
        return subprocess.Popen(
            [sys.executable, "-c", "from nversion.cli import main; main()", *map(str, arguments)],
            cwd=cwd,
            env=environment | {"SMALL_STUDY_PAUSE_S": str(pause_s)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def call(monkeypatch, capsys):
    """Run `nversion ARGUMENTS` in this process: exit code, output, errors."""
    from nversion.cli import main

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["nversion", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, *capsys.readouterr()

    return run
