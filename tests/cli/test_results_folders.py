"""Where commands write: a folder of a user who does not exist, or a file, is refused before anything runs."""

from pathlib import Path

import pytest

from nversion.cli.console import results_folder
from nversion.core import UserError


def test_a_home_folder_of_nobody_is_refused():
    with pytest.raises(UserError, match="a path from a home folder that there is, found ~nosuchuser/x"):
        results_folder(Path("~nosuchuser/x"), "s")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(UserError, match="expected a folder, found the file"):
        results_folder(tmp_path / "taken", "s")


def test_the_home_folder_is_expanded_and_the_default_is_in_runs(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert results_folder(Path("~/x"), "s") == Path("/home/me/x")
    assert results_folder(None, "s") == Path("runs/s")
