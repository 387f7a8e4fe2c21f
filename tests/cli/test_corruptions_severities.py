"""`nversion corruptions severities`: a table, a file, and what comes next."""

import pytest

FILE = """
[data.d]
source = "folder"
path = "images"
label_space = "tiny"
num_classes = 3

[canonical]
size = 16
mode = "squash"

[[models]]
source = "python:models.py:build"
names = ["a", "bb"]
label_space = "tiny"

[run]
device = "cpu"
"""


@pytest.fixture
def folder(small, tmp_path, monkeypatch):
    small.write_inputs(tmp_path)
    (tmp_path / "file.toml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def search(call, *options):
    return call("corruptions", "severities", "file.toml", "--out", "sev.toml", *options)


def test_severities_prints_a_table_and_writes_a_file_that_a_study_takes(call, folder):
    code, out, _ = search(call, "--model", "bb", "--drop", "0.2", "--drop", "0.9", "--corruption", "contrast")
    assert code == 0
    assert "bb on d: 12 images under 6 conditions; 0 of 6 batches are there" in out
    assert "not reached; the numbers are those of the largest drop" in out
    assert out.splitlines()[-1].startswith(
        'Next: set severities = "sev.toml" under [conditions] of file.toml'
    )
    assert "[corruptions]" in (folder / "sev.toml").read_text()
    assert (folder / "sev.measured").is_dir()
    again = search(call, "--model", "bb", "--drop", "0.2", "--corruption", "contrast")
    assert "6 of 6 batches are there" in again[1] and "To run" not in again[1]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--model", "aa", "--drop", "0.1"], "a model of the file, found 'aa'; did you mean 'a'"),
        (["--model", "a", "--drop", "10"], "a drop in accuracy between 0 and 1, found 10; pass a fraction"),
        (["--model", "a", "--drop", "0.1", "--count", "13"], "a count of 1 to 12 images"),
        (["--model", "a", "--drop", "0.1", "--corruption", "fogg"], "found 'fogg'; did you mean 'fog'"),
    ],
)
def test_a_mistake_is_one_sentence(call, folder, options, sentence):
    code, _, err = search(call, *options)
    assert code == 2 and sentence in err and err.count("\n") == 1
    assert not (folder / "sev.toml").exists()
