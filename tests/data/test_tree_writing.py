"""Trees of corrupted images: the corrupted bytes, whoever writes them and whatever interrupts."""

import errno
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nversion.core import LabelSpace, UserError, only_run
from nversion.corruptions import CORRUPTIONS
from nversion.corruptions.pixels.frost_textures import FILES
from nversion.data import Canonical, Condition, Tree, open_dataset, plan_tree, write_tree
from nversion.data.arrays import Arrays
from nversion.data.trees import TreePlan, check_disk, writers
from nversion.data.trees.layout import severity_folder

CONDITIONS = (Condition("d", "lines", 2.0), Condition("d", "lines", 1.0), Condition("d", "plasma_noise", 1.4))


def digits(count=7):
    return open_dataset({"source": "digits", "name": "d", "count": count})


def arrays(*ids, labels=None, space=None):
    labels_N = np.zeros(len(ids), np.int64) if labels is None else np.array(labels)
    images_NHW3 = np.random.default_rng(0).integers(0, 256, (len(ids), 8, 8, 3)).astype(np.uint8)
    return Arrays("d", space or LabelSpace("two", 2), ids, labels_N, images_NHW3)


def tree(folder, layout="png", dataset=None, size=32, conditions=CONDITIONS, **changes):
    dataset = dataset or digits()
    return Tree(folder, dataset, Canonical(size, "squash"), conditions, layout, **changes)


def corrupted(tree, condition):
    """(N, H, W, 3) as a study would see it."""
    images = np.stack([tree.canonical.render(tree.dataset.decode(i)) for i in range(len(tree.dataset))])
    return condition.render(torch.from_numpy(images), tree.dataset.sample_ids).permute(0, 2, 3, 1).numpy()


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def small_chunks(monkeypatch):
    """Three samples a chunk, so that a few samples make several."""
    monkeypatch.setattr(writers, "CHUNK_IMAGES", 3)


def test_png_files_hold_the_corrupted_bytes(tmp_path):
    asked = tree(tmp_path / "t")
    write_tree(asked)
    for condition in CONDITIONS:
        shown_NHW3 = corrupted(asked, condition)
        severity = severity_folder(condition.corruption, condition.severity)
        for row, (sample_id, label) in enumerate(
            zip(asked.dataset.sample_ids, asked.dataset.labels_N, strict=True)
        ):
            path = tmp_path / "t" / condition.corruption / severity / f"{label:04d}" / f"{sample_id}.png"
            assert np.array_equal(np.asarray(Image.open(path)), shown_NHW3[row])


@pytest.mark.parametrize("quality", [85, 40])
def test_jpeg_files_are_pillows_encoding_of_the_corrupted_bytes(tmp_path, quality):
    asked = tree(tmp_path / "t", "imagenet-c", quality=quality)
    write_tree(asked)
    published = io.BytesIO()
    Image.fromarray(corrupted(asked, CONDITIONS[2])[0]).save(
        published, "JPEG", quality=quality, optimize=True
    )
    label, sample_id = asked.dataset.labels_N[0], asked.dataset.sample_ids[0]
    path = tmp_path / "t" / "plasma_noise" / "1.40" / f"{label:04d}" / f"{sample_id}.JPEG"
    assert np.array_equal(np.asarray(Image.open(path)), np.asarray(Image.open(published)))


@pytest.mark.parametrize("quality", [1, 50, 85, 90, 94, 95, 100])
def test_noise_is_written_at_any_quality(tmp_path, quality):
    writer = writers.ImageWriter(tree(tmp_path, "imagenet-c", quality=quality))
    noise_HW3 = np.random.default_rng(0).integers(0, 256, (299, 299, 3), dtype=np.uint8)
    with Image.open(io.BytesIO(writer.encode(noise_HW3))) as read:
        assert np.asarray(read).shape == (299, 299, 3)


def test_arrays_hold_a_block_for_each_severity_from_low_to_high(tmp_path):
    asked = tree(tmp_path / "t", "cifar-c")
    write_tree(asked)
    lines = np.load(tmp_path / "t" / "lines.npy")
    assert (lines.shape, lines.dtype) == ((14, 32, 32, 3), np.uint8)
    assert np.array_equal(lines[:7], corrupted(asked, CONDITIONS[1]))
    assert np.array_equal(lines[7:], corrupted(asked, CONDITIONS[0]))
    labels = np.load(tmp_path / "t" / "labels.npy")
    assert labels.tolist() == asked.dataset.labels_N.tolist() * 2


def test_class_folders_are_those_of_the_ids_or_the_labels(tmp_path):
    dataset = arrays("val/cat/a.jpg", "b.v2", labels=[0, 1])
    write_tree(tree(tmp_path / "t", dataset=dataset, conditions=CONDITIONS[:1], size=8))
    assert [name for name in files(tmp_path / "t") if name.startswith("lines")] == [
        "lines/2.00/0001/b.v2.png",
        "lines/2.00/cat/a.png",
    ]


def test_class_folders_of_flat_imagenet_are_wnids(tmp_path):
    dataset = arrays("a.JPEG", labels=[1], space=LabelSpace("imagenet-1k", 1000))
    write_tree(tree(tmp_path / "t", "imagenet-c", dataset=dataset, conditions=CONDITIONS[:1], size=8))
    assert (tmp_path / "t" / "lines" / "2.00" / "n01443537" / "a.JPEG").is_file()


def test_severity_folders_are_those_of_the_benchmarks():
    assert [severity_folder("gaussian_noise", s) for s in (1.0, 5.0)] == ["1", "5"]
    assert [severity_folder("blue_noise_sample", s) for s in (0.8, 5.6)] == ["0.80", "5.60"]
    assert severity_folder("lines", 0.125) == "0.125"


@pytest.mark.parametrize("layout", ["imagenet-c", "png", "cifar-c"])
def test_two_processes_write_the_bytes_of_one(tmp_path, small_chunks, layout):
    write_tree(tree(tmp_path / "one", layout), workers=1)
    write_tree(tree(tmp_path / "two", layout), workers=2)
    assert files(tmp_path / "one") == files(tmp_path / "two")


LIMITED = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import test_tree_writing as here
from nversion.core import UserError
asked = here.tree(here.Path(sys.argv[2]), sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
try:
    here.write_tree(asked)
except UserError as error:
    print(error)
"""


def limited(folder, layout, most_bytes):
    """What a run says that may write files of so many bytes at most."""
    arguments = [str(Path(__file__).parent), str(folder), layout, str(most_bytes)]
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, *arguments], check=False, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_an_array_that_does_not_fit_ends_in_a_sentence_and_resumes(tmp_path):
    said = limited(tmp_path / "t", "cifar-c", 20_000)
    assert re.search(r"expected to write .*lines.npy, found a limit on the size of files; raise it", said)
    write_tree(tree(tmp_path / "t", "cifar-c"))
    write_tree(tree(tmp_path / "whole", "cifar-c"))
    assert files(tmp_path / "t") == files(tmp_path / "whole")


def test_a_disk_that_fills_ends_in_a_sentence(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    for function in ("posix_fallocate", "fsync"):  # when laid out; when rows are written
        with monkeypatch.context() as patched:
            patched.setattr(os, function, full)
            with pytest.raises(
                UserError, match=r"room on the disk of .*, found a full disk; free some space"
            ):
                write_tree(tree(tmp_path / function, "cifar-c"))


def test_the_disk_of_an_array_is_taken_before_its_rows_are_written(tmp_path):
    writer = writers.ArrayWriter(tree(tmp_path / "t", "cifar-c"))
    writer.start()
    found = (tmp_path / "t" / ".unfinished" / "lines.npy").stat()
    assert found.st_size == 128 + 14 * 32 * 32 * 3 <= found.st_blocks * 512


@pytest.mark.parametrize(("length", "layout"), [(256, "png"), (255, "imagenet-c")])
def test_a_name_that_is_too_long_is_found_by_the_plan(tmp_path, length, layout):
    asked = tree(tmp_path / "t", layout, dataset=arrays("cat/" + "x" * (length - 4) + ".png"), size=8)
    with pytest.raises(UserError, match=r"names of at most 255 bytes .*, found 256 in cat/xxx.*; rename"):
        plan_tree(asked)


@pytest.mark.parametrize("length", [242, 251])
def test_the_longest_names_are_written(tmp_path, length):
    asked = tree(tmp_path / "t", dataset=arrays("cat/" + "é" * (length // 2) + "x" * (length % 2)), size=8)
    write_tree(asked)
    assert len(list((tmp_path / "t" / "lines").rglob("*.png"))) == 2


class StopHereError(Exception):
    pass


@pytest.mark.parametrize("layout", ["png", "cifar-c"])
def test_an_interrupted_run_ends_in_the_same_bytes(tmp_path, small_chunks, layout):
    write_tree(tree(tmp_path / "whole", layout))
    steps = 0

    def stop_at_the_fourth():
        nonlocal steps
        steps += 1
        if steps == 4:
            raise StopHereError

    asked = tree(tmp_path / "t", layout)
    with pytest.raises(StopHereError):
        write_tree(asked, on_step=stop_at_the_fourth)
    plan = plan_tree(asked)
    assert (plan.chunks_missing, plan.images_missing) == (5, 21 - (3 * 3 + 3))
    counted = []
    write_tree(asked, on_step=lambda: counted.append(1))
    assert len(counted) == 5
    assert files(tmp_path / "t") == files(tmp_path / "whole")


@pytest.mark.parametrize("layout", ["png", "cifar-c"])
def test_what_was_altered_since_its_chunk_was_written_is_written_again(tmp_path, small_chunks, layout):
    write_tree(tree(tmp_path / "whole", layout))

    def stop():
        raise StopHereError

    asked = tree(tmp_path / "t", layout)
    with pytest.raises(StopHereError):
        write_tree(asked, on_step=stop)
    if layout == "png":
        next((tmp_path / "t" / "lines").rglob("*.png")).write_bytes(b"half")
    else:
        array = np.load(tmp_path / "t" / ".unfinished" / "lines.npy", mmap_mode="r+")
        array[7] = 0  # of the first chunk: severity 2 is the second block
        array.flush()
    assert plan_tree(asked).chunks_missing == 9
    write_tree(asked)
    assert files(tmp_path / "t") == files(tmp_path / "whole")


def test_a_half_written_array_is_started_again(tmp_path):
    write_tree(tree(tmp_path / "whole", "cifar-c"))
    asked = tree(tmp_path / "t", "cifar-c")
    (tmp_path / "t" / ".unfinished").mkdir(parents=True)
    whole = (tmp_path / "whole" / "lines.npy").read_bytes()
    (tmp_path / "t" / ".unfinished" / "lines.npy").write_bytes(whole[:5000])
    write_tree(asked)
    assert files(tmp_path / "t") == files(tmp_path / "whole")


def test_temporary_files_of_a_killed_writer_are_removed(tmp_path):
    leftover = tmp_path / "t" / ".unfinished" / ".a.png.abcdefgh.tmp"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    write_tree(tree(tmp_path / "t"))
    assert not leftover.exists() and not leftover.parent.exists()


def test_a_finished_tree_is_left_alone(tmp_path):
    asked = tree(tmp_path / "t")
    write_tree(asked)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "t").rglob("*")}
    assert plan_tree(asked).images_missing == 0
    write_tree(asked, on_step=lambda: pytest.fail("nothing is to be written"))
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "t").rglob("*")} == before


def test_the_manifest_says_what_the_tree_is(tmp_path):
    asked = tree(tmp_path / "t", "imagenet-c", quality=70)
    write_tree(asked)
    manifest = json.loads((tmp_path / "t" / "manifest.json").read_text())
    assert manifest["complete"] is True
    assert manifest["what"]["quality"] == 70
    assert manifest["what"]["data"]["fingerprint"] == asked.dataset.fingerprint
    assert manifest["what"]["canonical"]["size"] == 32
    assert manifest["what"]["conditions"][0] == {"corruption": "lines", "severity": 2.0, "seed": 0}
    assert {"nversion", "pillow", "libjpeg_turbo"} <= manifest["made_with"].keys()


def test_what_a_corruption_reads_beside_the_image_is_in_the_manifest(tmp_path, monkeypatch):
    monkeypatch.setattr(CORRUPTIONS["lines"], "ingredients", staticmethod(lambda: "abc"), raising=False)
    conditions = tree(tmp_path / "t").manifest["what"]["conditions"]
    assert [c.get("ingredients") for c in conditions] == ["abc", "abc", None]


def test_frost_is_known_by_its_pictures(tmp_path, monkeypatch):
    condition = Condition("d", "frost", 3.0)
    drawn = condition.description()["ingredients"]
    assert drawn.startswith("drawn ") and condition.description()["ingredients"] == drawn
    for number, name in enumerate(FILES):
        Image.new("RGB", (40, 30), (10 * number, 0, 0)).save(tmp_path / name)
    monkeypatch.setenv("NVERSION_FROST", str(tmp_path))
    assert condition.description()["ingredients"].startswith("files ")
    monkeypatch.setenv("NVERSION_FROST", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"ImageNet-C in the folder that NVERSION_FROST names"):
        condition.description()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layout": "cifar-c"}, 'one with layout = "png" where "cifar-c" is asked for; name another --out'),
        ({"size": 16}, r"one with canonical.size = 32 where 16 is asked for"),
        ({"dataset": digits(6)}, r"one with data.fingerprint = .* is asked for"),
        ({"conditions": CONDITIONS[:2]}, "one with the number of conditions = 3 where 2 is asked for"),
        (
            {"conditions": (*CONDITIONS[:2], Condition("d", "plasma_noise", 1.4, seed=1))},
            r"one with conditions\[3\].seed = 0 where 1 is asked for",
        ),
    ],
)
def test_a_tree_of_other_settings_is_refused(tmp_path, changes, message):
    write_tree(tree(tmp_path / "t"))
    with pytest.raises(UserError, match=message):
        plan_tree(tree(tmp_path / "t", **changes))


def test_an_unfinished_tree_of_other_libraries_is_refused(tmp_path, monkeypatch):
    def stop():
        raise StopHereError

    with pytest.raises(StopHereError):
        write_tree(tree(tmp_path / "t"), on_step=stop)
    monkeypatch.setattr(writers, "version", lambda package: "0.0")
    with pytest.raises(UserError, match=r'one with pillow = ".*" where "0.0" is asked for'):
        write_tree(tree(tmp_path / "t"))


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(
        UserError, match=r"which holds 'holiday.jpg' and no manifest.json; name another --out"
    ):
        plan_tree(tree(tmp_path))


def test_a_manifest_of_something_else_is_refused(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(
        UserError, match=r"the manifest of a tree of corrupted images in .*, found other content"
    ):
        plan_tree(tree(tmp_path))


def test_two_runs_on_one_tree_are_refused(tmp_path):
    with (
        only_run(tmp_path / "t" / ".unfinished"),
        pytest.raises(UserError, match="another run that is writing to it"),
    ):
        write_tree(tree(tmp_path / "t"))


def test_samples_that_would_share_a_file_are_told(tmp_path):
    dataset = arrays("x/cat/a.jpg", "y/cat/a.png")
    with pytest.raises(UserError, match=r"found 'x/cat/a.jpg' and 'y/cat/a.png', both cat/a.png; rename one"):
        plan_tree(tree(tmp_path / "t", dataset=dataset, size=8))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"layout": "imagenet_c"},
            "a layout of corrupted images, found 'imagenet_c'; did you mean 'imagenet-c'",
        ),
        ({"quality": 0}, "a JPEG quality from 1 to 100, found 0"),
        ({"quality": 101}, "a JPEG quality from 1 to 100, found 101; 85 is what the published sets have"),
        ({"conditions": ()}, "at least one corruption to write, found none"),
    ],
)
def test_settings_out_of_range_are_told(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        tree(tmp_path / "t", **changes)


def test_fewer_than_one_worker_is_told(tmp_path):
    with pytest.raises(UserError, match="at least 1 worker, found 0"):
        write_tree(tree(tmp_path / "t"), workers=0)


def test_the_plan_counts_images_and_estimates_their_bytes(tmp_path):
    asked = tree(tmp_path / "t", "cifar-c")
    plan = plan_tree(asked)
    assert (plan.images_total, plan.images_missing, plan.bytes_missing) == (21, 21, 21 * 32 * 32 * 3)
    assert plan.seconds > 0 and plan.bytes_free > 0
    assert not (tmp_path / "t").exists()


def test_files_take_whole_blocks_in_the_estimate(tmp_path):
    assert plan_tree(tree(tmp_path / "t")).bytes_missing == 21 * 4096


def test_too_little_disk_stops_before_anything_is_written(tmp_path):
    plan = TreePlan(10, 10, 1, 3 * 10**9, 10**9, 1.0)
    with pytest.raises(UserError, match=r"expected 6.0 GB free in t, found 1.0 GB; free some space"):
        check_disk([plan, plan], "t")


def test_an_image_that_cannot_be_read_is_told_from_a_worker(tmp_path, small_chunks):
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(7):
        Image.new("RGB", (8, 8)).save(folder / f"{i}.png")
    (folder / "labels.csv").write_text("file,label\n" + "".join(f"{i}.png,0\n" for i in range(7)))
    (folder / "5.png").write_bytes(b"torn")
    dataset = open_dataset({"source": "folder", "path": str(folder), "label_space": "one", "num_classes": 1})
    asked = tree(tmp_path / "t", dataset=dataset, conditions=CONDITIONS[:1], size=8)
    for workers in (1, 2):
        with pytest.raises(UserError, match=r"a whole image in .*5.png"):
            write_tree(asked, workers)
    assert plan_tree_missing(asked) <= 2


def plan_tree_missing(asked):
    return len(writers.writer_of(asked).missing())
