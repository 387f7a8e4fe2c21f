"""Sealed files: every flipped bit is noticed before the content is parsed, and what is damaged is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from nversion.core import UserError, read_record, read_sealed, write_record, write_sealed

WRITE_AND_READ = {
    "bytes": (lambda path: write_sealed(path, b"content"), read_sealed),
    "record": (lambda path: write_record(path, {"name": "a", "values": [1, 2.5, None]}), read_record),
}


@pytest.mark.parametrize("kind", WRITE_AND_READ)
def test_each_flipped_bit_is_noticed_and_the_file_is_set_aside(tmp_path: Path, kind: str) -> None:
    write, read = WRITE_AND_READ[kind]
    path = tmp_path / "file"
    write(path)
    whole = path.read_bytes()
    right = read(path)
    changed_without_effect = 0
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        set_aside: list[str] = []
        content = read(path, set_aside)
        if content == right:
            changed_without_effect += 1  # white space of JSON
            continue
        assert content is None
        assert not path.exists()
        assert Path(set_aside[0]).read_bytes() == bytes(damaged)
    assert changed_without_effect == 0 if kind == "bytes" else changed_without_effect < 16


@pytest.mark.parametrize("kind", WRITE_AND_READ)
@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b"null", b'{"seal": 1}', b"[" * 100_000, b"\xff", b"9" * 5000]
)
def test_without_a_list_a_damaged_file_is_named_and_stays(tmp_path: Path, kind: str, damage: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(damage)
    with pytest.raises(UserError, match=f"expected {path} as it was written, found other bytes"):
        WRITE_AND_READ[kind][1](path)
    assert path.read_bytes() == damage


@pytest.mark.parametrize("kind", WRITE_AND_READ)
def test_no_file_is_no_content(tmp_path: Path, kind: str) -> None:
    assert WRITE_AND_READ[kind][1](tmp_path / "file") is None


def test_sealed_bytes_end_in_their_digest(tmp_path: Path) -> None:
    write_sealed(tmp_path / "file", b"content")
    assert read_sealed(tmp_path / "file") == b"content"
    assert len((tmp_path / "file").read_bytes()) == len(b"content") + 24
