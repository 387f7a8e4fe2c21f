"""What no longer matches the manifest is named by readers, and set aside and made again by a run."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from nversion.core import UserError
from nversion.core.study_files import read_table
from nversion.report import read_study
from nversion.study import run_study


class Heard:
    """What a run said."""

    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)

    def start(self, text, total):
        pass

    def advance(self):
        pass


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of the finished study with its inputs."""
    shutil.copytree(finished.parent, tmp_path / "copy")
    return tmp_path / "copy" / "out"


def rerun(small, folder):
    heard = Heard()
    run_study(small.spec(), folder, folder.parent, heard)
    return heard.said


def flip(path, at=200):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_no_flipped_bit_of_a_table_or_the_manifest_is_read(folder):
    spec = importlib.util.spec_from_file_location("flips", Path(__file__).with_name("flip_tables.py"))
    flips = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(flips)
    found = flips.outcomes(folder, count=2)
    assert set(found) == {"named"} and found["named"] > 60


def test_a_run_sets_aside_what_is_damaged_names_it_and_makes_it_again(small, folder):
    tables = {path.name: path.read_bytes() for path in (folder / "tables").iterdir()}
    flip(folder / "tables" / "ensembles.parquet")
    flip(folder / "tables" / "selection.parquet")
    with pytest.raises(UserError, match=r"ensembles\.parquet as the run"):
        read_study(folder)
    said = "\n".join(rerun(small, folder))
    for name in ("ensembles", "selection"):
        aside = folder / "tables" / f"{name}.parquet.set-aside-0"
        assert f"Set aside, it does not match the manifest and is computed again: {aside}" in said
        aside.unlink()
    assert {path.name: path.read_bytes() for path in (folder / "tables").iterdir()} == tables
    assert len((folder / "selection-log.jsonl").read_text().splitlines()) == 1
    read_study(folder)


def test_a_damaged_manifest_is_set_aside_and_written_again(small, folder):
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"small"', '"smoll"', 1))
    said = "\n".join(rerun(small, folder))
    assert "manifest.json.set-aside-0" in said
    assert json.loads(manifest.read_text())["study"] == "small"
    read_table(folder, "models")


def test_a_run_that_ends_among_its_tables_leaves_an_unfinished_study(small, folder, monkeypatch):
    from nversion.study import write

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(write, "_write_after_selection", stop)
    with pytest.raises(KeyboardInterrupt):
        rerun(small, folder)
    with pytest.raises(UserError, match=r"found no manifest\.json"):
        read_study(folder)
    monkeypatch.undo()
    assert not [text for text in rerun(small, folder) if "Set aside" in text]
    read_study(folder)
