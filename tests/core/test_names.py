"""Names that files give stay in the folder that they are meant for."""

from __future__ import annotations

from pathlib import Path

import pytest

from nversion.core import UserError, inside, plain_name

PATHS = {
    "absolute": "/etc/passwd",
    "parent": "..",
    "itself": ".",
    "through the parent": "../other.safetensors",
    "folder": "a/b",
    "Windows": "a\\b",
    "drive": "C:b",
    "empty": "",
    "null byte": "a\0b",
    "line break": "a\nb",
    "escape": "a\x1b[2Jb",
    "C1 control": "a\x9bb",
    "line separator": "a\u2028b",
    "half a surrogate": "a\udc80b",
    "too long": "ä" * 128,
    "number": 3,
    "list": ["a"],
    "nothing": None,
}


@pytest.mark.parametrize("name", PATHS.values(), ids=PATHS)
def test_what_is_no_plain_name_is_refused(tmp_path: Path, name: object) -> None:
    with pytest.raises(UserError, match=r"expected plain names of files in training\.json: no path"):
        plain_name(name, "training.json")
    with pytest.raises(UserError, match="plain names"):
        inside(tmp_path, "seed-0", name, origin="training.json")


@pytest.mark.parametrize("name", ["a", "a.b", "..a", "größe 2.png", "12:b", "-rf", "ä" * 127, "~user"])
def test_plain_names_are_taken_as_they_are(tmp_path: Path, name: str) -> None:
    assert plain_name(name, "training.json") == name
    assert inside(tmp_path, name, "b", origin="training.json") == tmp_path / name / "b"


def test_a_link_out_of_the_folder_is_refused_and_one_inside_is_not(tmp_path: Path) -> None:
    (folder := tmp_path / "folder").mkdir()
    (tmp_path / "other").write_text("precious")
    (folder / "own").write_text("own")
    (folder / "out").symlink_to(tmp_path / "other")
    (folder / "in").symlink_to(folder / "own")
    assert inside(folder, "in", origin="x.json").read_text() == "own"
    with pytest.raises(
        UserError, match=r"expected names of files inside .* in x.json, found 'out', a link to"
    ):
        inside(folder, "out", origin="x.json")


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert inside(tmp_path / "link", "a", origin="x.json") == tmp_path / "link" / "a"


def test_a_circular_link_leads_nowhere_and_does_not_crash(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "a")
    assert not inside(tmp_path, "a", origin="x.json").exists()
