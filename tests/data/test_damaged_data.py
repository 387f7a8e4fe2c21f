"""Labels of other shapes and types, names in two Unicode forms, and files that are damaged in any way."""

import io
import json
import random
import sys
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from mutations import flipped, outcome
from nversion.core import UserError
from nversion.data import Canonical, Condition, Tree, open_dataset, open_stored, write_tree

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
NFC, NFD = (unicodedata.normalize(form, "crème") for form in ("NFC", "NFD"))


def npz(folder, labels, images=IMAGES, **more):
    np.savez(folder / "a.npz", x=images, y=labels, **more)
    return open_dataset(
        {"source": "npz", "path": str(folder / "a.npz"), "label_space": "s", "num_classes": 2}
    )


def png(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(IMAGES[0]).save(path)


# --- labels


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint64])
def test_a_column_of_labels_is_labels(tmp_path, dtype):
    assert npz(tmp_path, np.array([[0], [1], [1], [0]], dtype)).labels_N.tolist() == [0, 1, 1, 0]


def test_a_column_of_groups_is_groups(tmp_path):
    npz(tmp_path, np.array([0, 1, 1, 0]), g=np.array([[0], [0], [1], [1]]))
    settings = {"source": "npz", "path": str(tmp_path / "a.npz"), "label_space": "s", "num_classes": 2}
    train = open_dataset(settings | {"groups": "g", "split": "train", "test_fraction": 0.5})
    assert len(train) == 2


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            np.array([0, 1, 1, -1]),
            "labels 0 to 1 of the label space 's', found label -1 in the sample 'x/000003'",
        ),
        (np.array([0, 1, 1, 2**64 - 1], np.uint64), f"found label {2**64 - 1} in the sample 'x/000003'"),
        (np.array([0, 1, 1, 2**63], np.uint64), f"found label {2**63} in the sample 'x/000003'"),
        (
            np.array([0.0, 1, 1, 0]),
            r'found float64 \(4,\); store each as a whole number: labels.astype\("int64"\)',
        ),
        (
            np.array([0.0, np.nan, 1, 0]),
            r"found float64 \(4,\), 1 of them nan; .*: decide which class an image",
        ),
        (
            np.array([[0, 1]] * 4),
            r"found int64 \(4, 2\); give one class to an image: labels.argmax\(axis=1\)",
        ),
        (
            np.array([["a"]] * 4),
            r"4 whole numbers in the array 'y' of .*a.npz, found <U1 \(4, 1\); name the right",
        ),
        (np.zeros((0,), np.int64), r"4 whole numbers in the array 'y' of .*, found int64 \(0,\)"),
    ],
)
def test_labels_that_are_none_are_told(tmp_path, labels, message):
    with pytest.raises(UserError, match=message):
        npz(tmp_path, labels)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[:0], "at least one image in the data set 'a', found none"),
        (
            np.zeros((4, 0, 8, 3), np.uint8),
            r"uint8 images \(N, H, W, 3\) in the array 'x' .*, found uint8 \(4, 0",
        ),
        (
            np.zeros((4, 8, 8, 3), object),
            r"an .npz file of plain arrays in .*, found Object arrays cannot be",
        ),
    ],
)
def test_arrays_without_images_are_told(tmp_path, images, message):
    with pytest.raises(UserError, match=message):
        npz(tmp_path, np.zeros(len(images), np.int64), images)


def test_labels_of_parquet_may_be_lists_of_one(tmp_path):
    png(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    pl.DataFrame({"image": [content] * 2, "label": [[1], [0]]}).write_parquet(tmp_path / "a.parquet")
    settings = {
        "source": "parquet",
        "path": str(tmp_path / "a.parquet"),
        "label_space": "s",
        "num_classes": 2,
    }
    assert open_dataset(settings).labels_N.tolist() == [1, 0]
    frame = pl.DataFrame({"image": [content], "label": pl.Series([2**64 - 1], dtype=pl.UInt64)})
    frame.write_parquet(tmp_path / "a.parquet")
    with pytest.raises(UserError, match=f"found label {2**64 - 1} in the sample 'a.parquet/000000'"):
        open_dataset(settings)


@pytest.mark.parametrize("label", ["9" * 5000, "1e3", "-1", "٣", str(2**63), ""])
def test_labels_of_a_csv_are_numbers_that_fit(tmp_path, label):
    png(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text(f"file,label\na.png,{label}\n", encoding="utf-8")
    settings = {"source": "folder", "path": str(tmp_path), "label_space": "s", "num_classes": 2}
    with pytest.raises(
        UserError, match=r"a 0-based whole number as label in line 2 of .*labels.csv, found '"
    ):
        open_dataset(settings)


# --- names


@pytest.mark.parametrize(("on_disk", "listed"), [(NFC, NFD), (NFD, NFC)])
def test_class_folders_are_found_in_either_unicode_form(tmp_path, on_disk, listed):
    png(tmp_path / "t" / on_disk / "0.png")
    settings = {"source": "imagefolder", "path": "t", "label_space": "food"}
    (tmp_path / "c.csv").write_text(f"label,name\n1,{listed}\n0,café\n", encoding="utf-8")
    (tmp_path / "c.json").write_text(json.dumps({listed: 1}))
    for more in ({"classes": "c.csv"}, {"classes": "c.json", "num_classes": 2}):
        assert open_dataset(settings | more, tmp_path).labels_N.tolist() == [1]


def test_own_labels_do_not_depend_on_the_unicode_form(tmp_path):
    for form in ("NFC", "NFD"):
        for name in ("eau", "été", "ezo", "zoo"):
            png(tmp_path / form / unicodedata.normalize(form, name) / "0.png")
    settings = {"source": "imagefolder", "label_space": "own", "name": "d"}
    spaces = [open_dataset(settings | {"path": str(tmp_path / f)}).label_space for f in ("NFC", "NFD")]
    assert spaces[0].class_names == spaces[1].class_names == ("eau", "ezo", "zoo", "été")


def test_two_folders_that_look_alike_are_told(tmp_path):
    png(tmp_path / NFC / "0.png")
    png(tmp_path / NFD / "1.png")
    with pytest.raises(UserError, match="found two that are called 'crème', in two Unicode forms"):
        open_dataset({"source": "imagefolder", "path": str(tmp_path), "label_space": "own"})


@pytest.mark.parametrize(("on_disk", "listed"), [(NFC, NFD), (NFD, NFC)])
def test_listed_files_and_accepted_samples_are_found_in_either_unicode_form(tmp_path, on_disk, listed):
    png(tmp_path / on_disk / f"{on_disk}.png")
    (tmp_path / "labels.csv").write_text(f"file,label\n{listed}/{listed}.png,1\n", encoding="utf-8")
    (tmp_path / "a.csv").write_text(f"sample_id,labels\n{listed}/{listed}.png,0\n", encoding="utf-8")
    settings = {"source": "folder", "path": str(tmp_path), "label_space": "s", "num_classes": 2}
    dataset = open_dataset(settings | {"accepted": "a.csv"}, tmp_path)
    assert (dataset.sample_ids, dataset.accepted) == ((f"{on_disk}/{on_disk}.png",), {0: (0,)})
    assert np.array_equal(dataset.decode(0), IMAGES[0])


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "a\0b.png"])
def test_a_listed_name_that_no_file_can_have_is_missing(tmp_path, name):
    (tmp_path / "labels.csv").write_text(f"file,label\n{name},1\n")
    settings = {"source": "folder", "path": str(tmp_path), "label_space": "s", "num_classes": 2}
    with pytest.raises(UserError, match=r"found 1 missing, the first|separated by commas in"):
        open_dataset(settings)


def test_a_field_beyond_the_limit_of_csv_is_told(tmp_path):
    (tmp_path / "labels.csv").write_text('file,label\n"' + "x" * 200_000 + '",1\n')
    settings = {"source": "folder", "path": str(tmp_path), "label_space": "s", "num_classes": 2}
    with pytest.raises(
        UserError, match=r"fields separated by commas in .*, found field larger than field limit"
    ):
        open_dataset(settings)


# --- damage


def with_header(header):
    """An archive whose array has this header and no rows."""
    buffer = io.BytesIO()
    text = header.encode() + b" " * 10 + b"\n"
    with zipfile.ZipFile(buffer, "w") as file:
        for name in ("x", "y"):
            file.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000000000,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (100000, 100000, 1000)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (4,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (4,",
        "{'descr': [('a', '|u1', 'fortran_order': False}",
        "'" * 3,
        "(" * 500,
        "\\",
        "",
    ],
)
def test_a_damaged_header_of_an_array_is_told(tmp_path, header):
    (tmp_path / "a.npz").write_bytes(with_header(header))
    settings = {"source": "npz", "path": str(tmp_path / "a.npz"), "label_space": "s", "num_classes": 2}
    with pytest.raises(UserError, match=r"an .npz file of plain arrays in .*a.npz, found .+; write it with"):
        open_dataset(settings)


def readers(folder):
    """A small whole file of each kind, and what opens it and reads all of it."""

    def read_all(**settings):
        dataset = open_dataset(settings | {"label_space": "s", "num_classes": 2}, folder)
        for index in range(len(dataset)):
            Canonical(8).render(dataset.decode(index))
        assert dataset.fingerprint

    np.savez_compressed(folder / "z.npz", x=IMAGES, y=np.array([0, 1, 1, 0]))
    np.savez(folder / "p.npz", x=IMAGES, y=np.array([0, 1, 1, 0]), class_names=np.array(["a", "b"]))
    files = {
        "p.npz": lambda: read_all(source="npz", path="p.npz"),
        "z.npz": lambda: read_all(source="npz", path="z.npz"),
    }
    for name in ("a.png", "a.jpg", "a.gif", "a.bmp", "a.webp", "a.tif", "a.ppm"):
        one = folder / name.replace(".", "-")
        one.mkdir()
        Image.fromarray(IMAGES[0]).save(one / name)
        (one / "labels.csv").write_text(f"file,label,name\n{name},1,a\n")
        files[f"{one.name}/{name}"] = lambda one=one.name: read_all(source="folder", path=one)
    files["a-png/labels.csv"] = files["a-png/a.png"]
    content = (folder / "a-png" / "a.png").read_bytes()
    pl.DataFrame({"image": [{"bytes": content}] * 3, "label": [0, 1, 1]}).write_parquet(folder / "a.parquet")
    files["a.parquet"] = lambda: read_all(source="parquet", path="a.parquet")
    dataset = open_dataset({"source": "digits", "name": "d", "count": 3})
    canonical, conditions = Canonical(32, "squash"), (Condition("d", "lines", 2.0),)
    for layout, inside in (
        ("cifar-c", ("manifest.json", "lines.npy", "labels.npy")),
        ("png", ("manifest.json",)),
    ):
        write_tree(Tree(folder / layout, dataset, canonical, conditions, layout))

        def read_tree(layout=layout):
            for condition in open_stored(folder / layout, "t", dataset, "d", canonical):
                condition.images.read(range(3))

        files |= {f"{layout}/{name}": read_tree for name in inside}
    return files


def damaged(content, rng):
    """Flipped bits, cut, doubled, or bytes exchanged for others."""
    kind = rng.randrange(5)
    at = rng.randrange(len(content))
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content[:at] + rng.randbytes(rng.randrange(1, 9)) + content[at + rng.randrange(9) :]
    if kind == 2:
        return content[:at] + content[rng.randrange(len(content)) :]
    for _ in range(rng.choice((1, 1, 4))):
        content = flipped(content, rng.randrange(8 * len(content)))
    return content


def mutate(folder, count, seed=0):
    """`count` damaged copies of each file, read one by one; how many were refused."""
    refused = 0
    for name, read in readers(folder).items():
        whole, rng = (folder / name).read_bytes(), random.Random(f"{name} {seed}")
        for number in range(count):
            (folder / name).write_bytes(damaged(whole, rng))
            refused += outcome(lambda _, read=read: read(), None, f"{name}, mutant {number}") == "refused"
        (folder / name).write_bytes(whole)
    return refused


@pytest.mark.filterwarnings("ignore")  # Pillow warns of odd tags of TIFF
def test_damaged_files_are_read_or_refused_in_one_sentence(tmp_path):
    assert mutate(tmp_path, 12) > 50


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        print(mutate(Path(scratch), int(sys.argv[1]), int(sys.argv[2])), "refused, the others read")
