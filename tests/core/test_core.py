"""Registries, fingerprints, seeds, whole files, locks."""

import errno
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nversion.core import (
    LabelSpace,
    Registry,
    UserError,
    chunk_length,
    fingerprint,
    generator,
    only_run,
    remove_leftovers,
    spans,
    whole_file,
    write_text,
)


def test_an_error_comes_out_of_a_worker_process_as_it_went_in():
    error = UserError(expected="a", found="b", next_step="c")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is UserError
    assert (str(again), again.next_step) == ("expected a, found b; c", "c")


def test_an_unknown_name_is_answered_with_the_closest():
    registry: Registry[int] = Registry("fruit", "nversion.no_such_group")
    registry.register("apple")(1)
    with pytest.raises(UserError, match="expected a known fruit, found 'aple'; did you mean 'apple'"):
        registry["aple"]


def test_a_name_is_taken_once():
    registry: Registry[int] = Registry("fruit", "nversion.no_such_group")
    registry.register("apple")(1)
    with pytest.raises(UserError, match="'apple', which is taken"):
        registry.register("apple")(2)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(plain, plain)
def test_fingerprints_differ_where_content_differs(one, other):
    same = repr(one) == repr(other) or (isinstance(one, dict) and _typed(one) == _typed(other))
    assert same or _typed(one) == _typed(other) or fingerprint(one) != fingerprint(other)


def _typed(content):
    if isinstance(content, dict):
        return {key: _typed(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_typed(item) for item in content]
    return (type(content).__name__, content)


def test_a_fingerprint_knows_shape_and_dtype():
    rows = np.zeros((2, 3), np.float32)
    assert len({fingerprint(rows), fingerprint(rows.T.copy()), fingerprint(rows.view(np.int32))}) == 3


def test_a_fingerprint_is_the_same_on_every_machine():
    assert fingerprint({"a": [1, "x", None, 2.5], "b": b"z"}) == "cd13ff59f04e74e06f66578827220c36"


def test_generators_are_a_function_of_their_keys():
    assert generator("a", 1).random() == generator("a", 1).random()
    assert generator("a", 1).random() != generator("a", 2).random()


@given(st.integers(0, 100), st.integers(1, 20))
def test_spans_cover_every_item_once(num_items, length):
    assert [i for start, stop in spans(num_items, length) for i in range(start, stop)] == list(
        range(num_items)
    )


def test_a_chunk_holds_at_least_one_item():
    assert chunk_length(1_000_000, 10) == 1


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "f"
    write_text(path, "old")

    def fail():
        with whole_file(path) as temporary:
            temporary.write_text("new")
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_not_replaced_by_one(tmp_path, make):
    make(tmp_path / "here")
    before = (tmp_path / "here").stat().st_mode
    with pytest.raises(UserError, match=r"here to be a file, or not to exist, found a (folder|device)"):
        write_text(tmp_path / "here", "text")
    assert (tmp_path / "here").stat().st_mode == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_told_in_one_sentence(tmp_path, monkeypatch):
    def full(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="found a full disk; free some space and run again"):
        write_text(tmp_path / "f", "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "step", ["pathlib.Path.mkdir", "tempfile.mkstemp", "os.fsync", "pathlib.Path.replace"]
)
def test_the_disk_may_be_full_at_any_step(tmp_path, monkeypatch, step):
    def full(*_, **__):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(step, full)
    with pytest.raises(UserError, match="found a full disk; free some space and run again"):
        write_text(tmp_path / "folder" / "f", "x")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path):
    killed = (
        "import os, sys, pathlib; from nversion.core import whole_file\n"
        "with whole_file(pathlib.Path(sys.argv[1])) as path: path.write_text('x'); os._exit(9)"
    )
    for place in ("models/a.safetensors", "tables/b.parquet"):
        subprocess.run([sys.executable, "-c", killed, tmp_path / place], check=False)
    kept = [tmp_path / name for name in (".lock", "notes.tmp", ".notes.tmp", "tables/b.parquet")]
    for path in kept:
        path.write_text("y")
    removed = remove_leftovers(tmp_path)
    assert sorted(path.parent.name for path in removed) == ["models", "tables"]
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)


def test_leftovers_behind_a_link_belong_to_someone_else(tmp_path):
    other = tmp_path / "other" / ".f.abcd1234.tmp"
    write_text(other, "x")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "link").symlink_to(other.parent)
    assert remove_leftovers(tmp_path / "study") == []
    assert other.exists()


def test_a_second_run_on_one_folder_is_refused_until_the_first_ends(tmp_path):
    holder = (
        "import sys, pathlib; from nversion.core import only_run\n"
        "with only_run(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match="another run that is writing to it; wait"), only_run(tmp_path):
            pass
        other.kill()  # the lock goes with its process, however that ends
    with only_run(tmp_path):
        pass


def test_class_names_must_be_as_many_as_classes():
    with pytest.raises(UserError, match="3 class names for the label space 'x', found 2"):
        LabelSpace("x", 3, ("a", "b"))


def test_an_error_is_one_line_whatever_its_names_hold():
    error = UserError(expected="a file", found="a\n\x1b[31mb\udcff\u2028", next_step="rename it")
    assert str(error) == "expected a file, found a\\n\\x1b[31mb\\udcff\\u2028; rename it"
