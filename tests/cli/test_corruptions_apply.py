"""`nversion corruptions apply`: it says what it will write, writes it, and names the next command."""

import shutil
import time

import pytest

IMAGES = """
[data.digits]
source = "digits"
count = 6

[canonical]
size = 32
mode = "squash"

[conditions]
sets = ["paper"]

[conditions.corruptions]
lines = 2.0
"""


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images.toml").write_text(IMAGES)
    return tmp_path


def test_apply_says_what_it_writes_and_names_the_next_command(call, images):
    code, out, _ = call("corruptions", "apply", "images.toml", "--out", "c", "--workers", 1)
    assert code == 0
    assert "to c (imagenet-c): 5 conditions of 6 images; 0 of 30 are there" in out
    assert "To write: 30 images, about 0 MB" in out and "with 1 worker\n" in out
    assert out.splitlines()[-1].startswith("Next: read it in a study: [conditions.stored.c] with path = '")
    assert len(list((images / "c").rglob("*.JPEG"))) == 30
    assert (images / "c" / "lines" / "2.00").is_dir()


def test_a_second_apply_finds_all_there(call, images):
    call("corruptions", "apply", "images.toml", "--out", "c", "--workers", 1)
    code, out, _ = call("corruptions", "apply", "images.toml", "--out", "c", "--workers", 1)
    assert code == 0 and "30 of 30 are there" in out and "To write" not in out


def test_a_dry_run_writes_nothing(call, images):
    code, out, _ = call("corruptions", "apply", "images.toml", "--out", "c", "--layout", "png", "--dry-run")
    assert (code, (images / "c").exists()) == (0, False)
    assert out.splitlines()[-1] == "Next: nversion corruptions apply images.toml --out c --layout png"


def test_a_whole_study_file_is_taken_and_its_other_tables_are_not_read(call, images):
    (images / "study.toml").write_text(IMAGES + '[study]\nname = "s"\n[[models]]\nsource = "nowhere:x"\n')
    code, _, _ = call(
        "corruptions", "apply", "study.toml", "--out", "c", "--layout", "cifar-c", "--workers", 1
    )
    assert code == 0
    assert {p.name for p in (images / "c").iterdir()} >= {"lines.npy", "labels.npy", "manifest.json"}


def test_each_of_several_data_sets_has_a_tree_of_its_own(call, images):
    (images / "two.toml").write_text(IMAGES + '[data.train]\nsource = "digits"\nsplit = "train"\ncount = 3\n')
    assert call("corruptions", "apply", "two.toml", "--out", "c", "--workers", 1)[0] == 0
    assert (images / "c" / "digits" / "manifest.json").is_file()
    assert len(list((images / "c" / "train").rglob("*.JPEG"))) == 15


@pytest.mark.parametrize(
    ("edit", "options", "sentence"),
    [
        (
            ("sets", "set"),
            [],
            "keys that a study knows in images.toml, found conditions.set; did you mean 'sets'",
        ),
        (("[canonical]", "[canonicle]"), [], "found canonicle; did you mean 'canonical'?"),
        (("paper", "papers"), [], "a published set of corruptions, found 'papers'; did you mean 'paper'?"),
        (("lines", "linse"), [], "a known corruption, found 'linse'; did you mean 'lines'"),
        (
            ("", ""),
            ["--layout", "cifar"],
            "a layout of corrupted images, found 'cifar'; did you mean 'cifar-c'?",
        ),
        (("", ""), ["--quality", "0"], "a JPEG quality from 1 to 100, found 0"),
        (("", ""), ["--workers", "0"], "at least 1 worker, found 0; leave --workers out for one a core"),
    ],
)
def test_a_mistake_is_one_sentence(call, images, edit, options, sentence):
    (images / "images.toml").write_text(IMAGES.replace(*edit))
    code, _, err = call("corruptions", "apply", "images.toml", "--out", "c", *options)
    assert code == 2 and sentence in err and err.count("\n") == 1
    assert not (images / "c").exists()


def test_too_little_disk_is_one_sentence(call, images, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 10))
    code, _, err = call("corruptions", "apply", "images.toml", "--out", "c", "--workers", 1)
    assert code == 2 and "GB free in c, found 0.0 GB; free some space, name another --out" in err
    assert not (images / "c").exists()


def test_a_killed_run_goes_on_to_the_same_bytes(nversion, images):
    (images / "images.toml").write_text(IMAGES.replace("count = 6\n", ""))

    def apply(out):
        return nversion("corruptions", "apply", "images.toml", "--out", out, "--layout", "png", cwd=images)

    for out in ("whole", "c", "c"):
        with apply(out) as run:
            if out == "c" and not (images / "c").exists():
                while run.poll() is None and not list((images / "c").rglob("*.png")):
                    time.sleep(0.01)
                run.kill()
            else:
                assert run.wait() == 0, run.stderr.read()
    assert files(images / "c") == files(images / "whole")


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
