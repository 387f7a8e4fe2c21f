"""Every source of data sets: what it opens, and the sentence for what it cannot."""

import json
import os
import pickle
import struct

import numpy as np
import polars as pl
import pytest
from PIL import Image

from nversion.core import UserError
from nversion.data import DATASET_SOURCES, UnreadableImageError, open_dataset


def write_image(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def tree(tmp_path):
    """Four images in two sub-folders, and their labels.csv."""
    folder = tmp_path / "shapes"
    files = ["cat/a.png", "cat/b.png", "dog/a.png", "dog/c.png"]
    pixels = [write_image(folder / file, seed) for seed, file in enumerate(files)]
    rows = [f"{file},{i // 2},{file[:3]}" for i, file in enumerate(files)]
    (folder / "labels.csv").write_text("\n".join(["file,label,name", *rows]) + "\n")
    return folder, files, pixels


def folder_spec(path, **settings):
    return {"source": "folder", "path": str(path), "label_space": "pets", "num_classes": 2} | settings


def relabel(folder, *rows):
    (folder / "labels.csv").write_text("\n".join(["file,label", *rows]) + "\n")


# --- folder


def test_folder_reads_images_labels_and_names(tree):
    folder, files, pixels = tree
    dataset = open_dataset(folder_spec(folder))
    assert (dataset.name, dataset.sample_ids) == ("shapes", tuple(files))
    assert dataset.labels_N.tolist() == [0, 0, 1, 1]
    assert dataset.label_space.class_names == ("cat", "dog")
    assert all(np.array_equal(dataset.decode(i), pixels[i]) for i in range(4))


def test_relative_paths_start_at_the_base(tree):
    folder, files, _ = tree
    assert open_dataset(folder_spec("shapes"), base=folder.parent).sample_ids == tuple(files)


def test_columns_can_be_named(tree):
    folder, files, _ = tree
    (folder / "other.csv").write_text(f"image,class\n{files[3]},1\n")
    spec = folder_spec(folder, labels="other.csv", file_column="image", label_column="class")
    assert open_dataset(spec).sample_ids == ("dog/c.png",)


def test_imagenet_needs_no_number_of_classes_and_has_names(tree):
    folder, files, _ = tree
    relabel(folder, f"{files[0]},999")
    dataset = open_dataset({"source": "folder", "path": str(folder), "label_space": "imagenet-1k"})
    assert dataset.label_space.num_classes == 1000
    assert dataset.label_space.name_of(999) == "toilet tissue"


def test_class_names_come_from_a_csv(tree):
    folder, _, _ = tree
    (folder / "classes.csv").write_text('label,wnid,names\n1,n2,"dog, hound"\n0,n1,"cat, mouser"\n')
    spec = {"source": "folder", "path": "shapes", "label_space": "pets", "classes": "shapes/classes.csv"}
    assert open_dataset(spec, folder.parent).label_space.class_names == ("cat", "dog")


def test_a_byte_order_mark_is_no_part_of_a_column(tree):
    folder, _, _ = tree
    text = (folder / "labels.csv").read_text()
    (folder / "labels.csv").write_text(text, encoding="utf-8-sig")
    assert len(open_dataset(folder_spec(folder))) == 4


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["cat/a.png,2"],
            r"labels 0 to 1 of the label space 'pets', found label 2 in line 2 of .*labels.csv \(cat/a.png\)",
        ),
        (
            ["cat/a.png,0", "cat/a.png,-1"],
            "0-based whole number as label in line 3 of .*labels.csv, found '-1'",
        ),
        (["cat/a.png,cat"], "line 2 of .*labels.csv, found 'cat'; write the index of the class"),
        (
            ["cat/a.png,0", "x.png,0", "y.png,1"],
            "the 3 images listed in .*, found 2 missing, the first 'x.png'",
        ),
        (
            ["cat/a.png,0", "./cat/a.png,0"],
            "each sample id of the data set 'shapes' once, found 'cat/a.png' 2 times",
        ),
        ([], "expected labelled images in .*labels.csv, found no rows"),
        (["cat/a.png"], "expected 2 fields in line 2 of .*labels.csv, found fewer"),
        (
            ["cat/a.png,0,1"],
            "expected 2 fields in line 2 of .*labels.csv, found more; put fields that contain commas",
        ),
    ],
)
def test_wrong_rows_are_named(tree, rows, message):
    relabel(tree[0], *rows)
    with pytest.raises(UserError, match=message):
        open_dataset(folder_spec(tree[0]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": "/nowhere"}, "expected the file /nowhere/labels.csv, found no such file"),
        (
            {"label_column": "class"},
            r"a column 'class' in .*, found 'file', 'label', 'name'; name the right one with `label_column",
        ),
        (
            {"num_classes": None},
            "the number of classes of the label space 'pets' of the data set in .*, found none",
        ),
        (
            {"label_space": "imagenet-1k"},
            "found 1000 by the label space 'imagenet-1k', 2 by the setting `num_classes`",
        ),
        ({"name": "a/b"}, "expected a data set name without slashes, found 'a/b'"),
        ({"name": "a\nb"}, r"a data set name that is UTF-8 without control characters, .*, found 'a\\nb'"),
        ({"name": ".."}, r"of at most 200 bytes, and not \. or \.\., found '\.\.'"),
        ({"name": "é" * 101}, r"of at most 200 bytes, and not \. or \.\., found .*; choose another"),
        ({"colour": "red"}, r"expected a setting of a data set \(folder\), found 'colour'"),
        ({"source": "foldr"}, "expected a known data set source, found 'foldr'; did you mean 'folder'"),
        ({"source": None}, "expected the setting 'source' of a data set, found none"),
        ({"count": 5}, "a count of 1 to 4 images of the data set 'shapes', found 5"),
        ({"count": "x"}, "expected a valid 'count'"),
    ],
)
def test_wrong_settings_are_named(tree, settings, message):
    with pytest.raises(UserError, match=message):
        open_dataset(folder_spec(tree[0]) | settings)


def test_a_broken_image_is_found_when_it_is_decoded(tree):
    folder, _, _ = tree
    dataset = open_dataset(folder_spec(folder))
    (folder / "cat/b.png").write_bytes(b"no image")
    with pytest.raises(UnreadableImageError, match=r"cat/b\.png"):
        dataset.decode(1)


# --- fingerprints and parts


def test_the_fingerprint_follows_content_labels_and_ids(tree):
    folder, files, _ = tree
    prints = {open_dataset(folder_spec(folder)).fingerprint}
    write_image(folder / files[0], seed=99)
    prints.add(open_dataset(folder_spec(folder)).fingerprint)
    relabel(folder, *[f"{file},0" for file in files])
    prints.add(open_dataset(folder_spec(folder)).fingerprint)
    relabel(folder, *[f"{file},0" for file in files[:3]])
    prints.add(open_dataset(folder_spec(folder)).fingerprint)
    assert len(prints) == 4


def test_the_fingerprint_follows_neither_name_nor_place(tree, tmp_path):
    first = open_dataset(folder_spec(tree[0])).fingerprint
    moved = tree[0].rename(tmp_path / "elsewhere")
    assert open_dataset(folder_spec(moved, name="other")).fingerprint == first


def test_a_part_is_seeded_sorted_and_says_so():
    whole = open_dataset({"source": "digits"})
    part = open_dataset({"source": "digits", "count": 50, "seed": 1})
    assert part.name == "digits-test[50 of 901, seed 1]"
    assert list(part.sample_ids) == sorted(set(part.sample_ids))
    assert part.sample_ids == whole.subset(50, 1).sample_ids != whole.subset(50, 2).sample_ids
    index = whole.sample_ids.index(part.sample_ids[7])
    assert np.array_equal(part.decode(7), whole.decode(index))
    assert part.labels_N[7] == whole.labels_N[index]
    assert part.fingerprint == whole.subset(50, 1).fingerprint != whole.fingerprint


def test_a_part_of_all_is_the_whole():
    whole = open_dataset({"source": "digits"})
    assert whole.subset(len(whole), 3) is whole


def test_data_sets_travel_between_processes(tree):
    dataset = pickle.loads(pickle.dumps(open_dataset(folder_spec(tree[0], count=2))))
    assert dataset.decode(0).shape == (6, 8, 3)


def test_labels_are_read_only(tree):
    with pytest.raises(ValueError, match="read-only"):
        open_dataset(folder_spec(tree[0])).labels_N[0] = 1


# --- digits


def test_digits_splits_share_no_sample_and_cover_all():
    train, test = (open_dataset({"source": "digits", "split": split}) for split in ("train", "test"))
    assert not set(train.sample_ids) & set(test.sample_ids)
    assert len(train) + len(test) == 1797
    counts = [np.bincount(d.labels_N) for d in (train, test)]
    assert np.abs(counts[0] - counts[1]).max() <= 1


def test_digits_are_the_same_everywhere():
    test = open_dataset({"source": "digits", "split": "test"})
    assert test.decode(0).shape == (32, 32, 3)
    assert test.fingerprint == "3c990de8acbb28a6dda3950710b7a8b5"


def test_digits_has_no_other_split():
    with pytest.raises(
        UserError, match=r"a valid 'split' of a data set \(digits\), found 'all'; .*'train' or 'test'"
    ):
        open_dataset({"source": "digits", "split": "all"})


# --- imagefolder


def test_imagefolder_without_a_map_is_refused(tree):
    spec = {"source": "imagefolder", "path": str(tree[0]), "label_space": "imagenet-1k"}
    with pytest.raises(UserError, match="sorted order of sub-folders is no such map; add `classes = "):
        open_dataset(spec)


def test_imagefolder_takes_labels_from_a_csv_by_wnid(tree):
    folder, files, pixels = tree
    (folder / "classes.csv").write_text("index,wnid,name\n0,ant,an ant\n1,dog,a dog\n2,cat,a cat\n")
    spec = {"source": "imagefolder", "path": str(folder), "label_space": "pets"}
    dataset = open_dataset(spec | {"classes": str(folder / "classes.csv")})
    assert dataset.sample_ids == tuple(files)
    assert dataset.labels_N.tolist() == [2, 2, 1, 1]
    assert dataset.label_space.class_names == ("an ant", "a dog", "a cat")
    assert np.array_equal(dataset.decode(3), pixels[3])


def test_imagefolder_takes_labels_from_json(tree):
    (tree[0] / "map.json").write_text(json.dumps({"cat": 281, "dog": 207}))
    spec = {
        "source": "imagefolder",
        "path": "shapes",
        "label_space": "imagenet-1k",
        "classes": "shapes/map.json",
    }
    assert open_dataset(spec, tree[0].parent).labels_N.tolist() == [281, 281, 207, 207]


def test_imagefolder_numbers_folders_only_when_asked(tree):
    spec = {"source": "imagefolder", "path": str(tree[0]), "label_space": "own"}
    dataset = open_dataset(spec)
    assert (dataset.label_space.name, dataset.label_space.class_names) == ("shapes", ("cat", "dog"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"cat": 0}', "a label of every sub-folder of .* in .*map.json, found none of 'dog'"),
        (
            '{"cat": 0, "dog": 2}',
            "labels 0 to 1 of the label space 'pets', found label 2 in .*map.json \\('dog'\\)",
        ),
        ('{"cat": "0"}', "a JSON object from folder name to 0-based label"),
        ("{", "expected JSON in .*map.json"),
    ],
)
def test_a_wrong_map_is_refused(tree, content, message):
    (tree[0] / "map.json").write_text(content)
    spec = {"source": "imagefolder", "path": str(tree[0]), "label_space": "pets", "num_classes": 2}
    with pytest.raises(UserError, match=message):
        open_dataset(spec | {"classes": str(tree[0] / "map.json")})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,name\n0,cat\n2,dog\n", "expected labels 0 to 1 in .*classes.csv, found no label 1"),
        ("label,name\n0,cat\n0,dog\n", "each label once in .*classes.csv, found label 0 again in line 3"),
        ("label,name\n0,cat\n1,cat\n", "each folder name once in .*, found 'cat' again in line 3"),
        ("id,name\n0,cat\n", "expected a column 'label' or 'index' in .*classes.csv, found 'id', 'name'"),
        ("", "expected a column 'label' or 'index' in .*classes.csv, found an empty file"),
    ],
)
def test_a_wrong_file_of_classes_is_refused(tree, text, message):
    (tree[0] / "classes.csv").write_text(text)
    spec = {"source": "imagefolder", "path": str(tree[0]), "label_space": "pets"}
    with pytest.raises(UserError, match=message):
        open_dataset(spec | {"classes": str(tree[0] / "classes.csv")})


def test_an_empty_subfolder_is_refused(tree):
    (tree[0] / "emu").mkdir()
    with pytest.raises(UserError, match=r"expected images in .*emu, found none"):
        open_dataset({"source": "imagefolder", "path": str(tree[0]), "label_space": "own"})


# --- npz


@pytest.fixture
def arrays(tmp_path):
    rng = np.random.default_rng(0)
    content = {
        "x": rng.integers(0, 256, (20, 4, 5, 3), dtype=np.uint8),
        "y": np.arange(20) % 3,
        "grey": rng.integers(0, 256, (20, 4, 5), dtype=np.uint8),
        "track": np.arange(20) // 4,
        "class_names": np.array(["a", "b", "c"]),
        "real": np.zeros((20, 4, 5, 3), np.float32),
        "short": np.arange(3),
    }
    np.savez(tmp_path / "signs.npz", **content)
    return {"source": "npz", "path": str(tmp_path / "signs.npz"), "label_space": "signs"}, content


def test_npz_reads_arrays(arrays):
    spec, content = arrays
    dataset = open_dataset(spec)
    assert (dataset.name, len(dataset), dataset.sample_ids[3]) == ("signs", 20, "x/000003")
    assert np.array_equal(dataset.decode(3), content["x"][3])
    assert dataset.labels_N.tolist() == content["y"].tolist()
    assert dataset.label_space.class_names == ("a", "b", "c")


def test_npz_repeats_grey(arrays):
    spec, content = arrays
    image_HW3 = open_dataset(spec | {"x": "grey"}).decode(0)
    assert np.array_equal(image_HW3[..., 2], content["grey"][0])


def test_npz_never_splits_a_group(arrays):
    spec, content = arrays
    settings = {"groups": "track", "test_fraction": 0.4}
    train, test = (open_dataset(spec | settings | {"split": split}) for split in ("train", "test"))
    tracks = [{int(content["track"][int(i[-6:])]) for i in d.sample_ids} for d in (train, test)]
    assert tracks[0] | tracks[1] == set(range(5)) and not tracks[0] & tracks[1]
    assert (len(train), len(test)) == (12, 8)
    assert test.name == "signs-test"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": "/nowhere.npz"}, "expected the file /nowhere.npz, found no such file"),
        ({"x": "xx"}, "expected the array 'xx' in .*; did you mean .* Name it with `x = ...`"),
        ({"x": "real"}, r"uint8 images \(N, H, W, 3\) in the array 'real' .*, found float32 \(20, 4, 5, 3\)"),
        ({"y": "short"}, r"expected 20 whole numbers in the array 'y' of .*, found int64 \(3,\)"),
        ({"groups": "track"}, "expected `split` beside `groups`"),
        ({"split": "test", "test_fraction": 2.0}, "expected a test_fraction between 0 and 1"),
        ({"num_classes": 4}, "found 4 by the setting `num_classes`, 3 by the class names"),
    ],
)
def test_wrong_arrays_are_named(arrays, settings, message):
    with pytest.raises(UserError, match=message):
        open_dataset(arrays[0] | settings)


def test_pickled_objects_are_not_read(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{}], dtype=object), y=np.zeros(1, int))
    with pytest.raises(
        UserError, match=r"an \.npz file of plain arrays in .*, found Object arrays cannot be loaded"
    ):
        open_dataset({"source": "npz", "path": str(tmp_path / "a.npz"), "label_space": "s", "num_classes": 1})


def test_a_file_that_is_no_npz_is_named(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(UserError, match=r"an \.npz file of plain arrays in .*a\.npz"):
        open_dataset({"source": "npz", "path": str(tmp_path / "a.npz"), "label_space": "s"})


def test_labels_outside_the_label_space_name_the_sample(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 2, 2, 3), np.uint8), y=np.array([0, 7]))
    with pytest.raises(
        UserError, match="labels 0 to 4 of the label space 's', found label 7 in the sample 'x/000001'"
    ):
        open_dataset({"source": "npz", "path": str(tmp_path / "a.npz"), "label_space": "s", "num_classes": 5})


def test_no_images_is_an_error(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((0, 2, 2, 3), np.uint8), y=np.zeros(0, int))
    with pytest.raises(UserError, match="expected at least one image in the data set 'a', found none"):
        open_dataset({"source": "npz", "path": str(tmp_path / "a.npz"), "label_space": "s", "num_classes": 5})


# --- torchvision


def write_mnist(root, count):
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(
            struct.pack(">IIII", 2051, count, 28, 28) + images.tobytes()
        )
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 2049, count) + bytes(i % 10 for i in range(count))
        )
    return images


def test_torchvision_reads_what_is_on_disk(tmp_path):
    images = write_mnist(tmp_path, 12)
    dataset = open_dataset({"source": "torchvision", "dataset": "MNIST", "root": str(tmp_path)})
    assert (dataset.name, len(dataset), dataset.sample_ids[11]) == ("mnist-test", 12, "test/000011")
    assert (dataset.label_space.name, dataset.label_space.num_classes) == ("mnist", 10)
    assert np.array_equal(dataset.decode(5)[..., 1], images[5])
    assert dataset.labels_N[:3].tolist() == [0, 1, 2]
    assert dataset.fingerprint == pickle.loads(pickle.dumps(dataset)).fingerprint


def test_an_unreadable_image_of_torchvision_counts_in_the_fingerprint_and_is_told_when_decoded(tmp_path):
    folder = tmp_path / "eurosat" / "2750"
    for seed, file in enumerate(("Forest/a.png", "Forest/b.png", "River/a.png")):
        write_image(folder / file, seed)
    settings = {"source": "torchvision", "dataset": "EuroSAT", "root": str(tmp_path)}
    whole = open_dataset(settings).fingerprint
    (folder / "Forest/b.png").write_bytes(b"no image")
    torn = open_dataset(settings)
    assert torn.fingerprint != whole
    assert torn.fingerprint == open_dataset(settings).fingerprint
    with pytest.raises(
        UnreadableImageError, match=r"expected a whole image in .*Forest/b.png, found cannot identify image"
    ):
        torn.decode(1)


def test_torchvision_opens_only_the_documented_formats(tmp_path):
    folder = tmp_path / "eurosat" / "2750" / "Forest"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    dataset = open_dataset({"source": "torchvision", "dataset": "EuroSAT", "root": str(tmp_path)})
    with pytest.raises(UnreadableImageError, match=r"Forest/a.png, found a file of the format EPS"):
        dataset.decode(0)


def test_the_largest_image_is_a_setting_of_every_data_set(tree):
    folder, _, pixels = tree
    whole = open_dataset(folder_spec(folder, max_pixels=48))
    assert np.array_equal(whole.decode(0), pixels[0])
    part = open_dataset(folder_spec(folder, max_pixels=47, count=2))
    with pytest.raises(UnreadableImageError, match="8 × 6 pixels, more than max_pixels = 47"):
        part.decode(0)
    assert len({open_dataset(folder_spec(folder, **s)).fingerprint for s in ({}, {"max_pixels": 48})}) == 2
    with pytest.raises(UserError, match="a `max_pixels` of 1 or more of the data set 'shapes', found 0"):
        open_dataset(folder_spec(folder, max_pixels=0))


def test_a_file_that_went_away_after_opening_is_told_when_decoded(tree):
    folder, files, _ = tree
    settings = {"source": "folder", "path": str(folder), "label_space": "shapes", "num_classes": 2}
    dataset = open_dataset(settings)
    (folder / files[1]).unlink()
    assert dataset.fingerprint
    with pytest.raises(UnreadableImageError, match=r"cat/b.png, found no such file"):
        dataset.decode(1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"dataset": "CIFAR10"},
            "the files of torchvision's CIFAR10 in .*, found .*; copy them there, or set `download = true`",
        ),
        ({"dataset": "CIFR10"}, "expected a data set of torchvision, found 'CIFR10'; did you mean 'CIFAR10'"),
        (
            {"dataset": "CIFAR10", "split": "val"},
            'the split "train" or "test" of torchvision\'s CIFAR10, found \'val\'',
        ),
        (
            {"dataset": "Flowers102", "split": "vall"},
            "settings that torchvision's Flowers102 takes, found Unknown value 'vall'",
        ),
        ({"dataset": "VOCDetection"}, "torchvision's VOCDetection"),
    ],
)
def test_what_torchvision_cannot_open_is_told(tmp_path, settings, message):
    with pytest.raises(UserError, match=message):
        open_dataset({"source": "torchvision", "root": str(tmp_path)} | settings)


# --- hidden files and folders

HIDDEN = (
    "cat/.ipynb_checkpoints/a-checkpoint.png",
    "cat/.thumbnails/a.png",
    "cat/._a.png",
    "dog/__MACOSX/cat/._a.png",
    "dog/@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg",
    ".ipynb_checkpoints/b.png",
    "__MACOSX/dog/._c.png",
)


@pytest.fixture
def littered(tree):
    folder, files, _ = tree
    for name in HIDDEN:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\0\5\x16\7")
    (folder / "dog" / "Thumbs.db").write_bytes(b"\xd0\xcf")
    return folder, files


def test_an_imagefolder_leaves_hidden_files_out_and_counts_them(littered):
    folder, files = littered
    dataset = open_dataset({"source": "imagefolder", "path": str(folder), "label_space": "own"})
    assert dataset.sample_ids == tuple(files)
    assert dataset.label_space.class_names == ("cat", "dog")
    assert (dataset.hidden, dataset.subset(2).hidden) == (len(HIDDEN), len(HIDDEN))
    assert "7 hidden files left out" in repr(dataset)


def test_a_hidden_folder_that_is_named_is_read(tree):
    folder, files, _ = tree
    moved = folder.rename(folder.with_name(".shapes"))
    dataset = open_dataset({"source": "imagefolder", "path": str(moved), "label_space": "own", "name": "s"})
    assert (dataset.sample_ids, dataset.hidden) == (tuple(files), 0)


def test_hidden_parquet_files_are_left_out(tmp_path):
    png = (tmp_path / "a.png", write_image(tmp_path / "a.png", 0))[0].read_bytes()
    pl.DataFrame({"image": [png], "label": [0]}).write_parquet(tmp_path / "a.parquet")
    (tmp_path / "._a.parquet").write_bytes(b"\0\5\x16\7")
    settings = {"source": "parquet", "path": str(tmp_path), "label_space": "own", "num_classes": 1}
    dataset = open_dataset(settings)
    assert (len(dataset), dataset.hidden) == (1, 1)


def test_hidden_files_of_torchvision_are_left_out_and_hidden_classes_refused(tmp_path):
    folder = tmp_path / "eurosat" / "2750"
    pixels = [write_image(folder / name, i) for i, name in enumerate(["A/._x.png", "A/x.png", "B/y.png"])]
    settings = {"source": "torchvision", "dataset": "EuroSAT", "root": str(tmp_path)}
    dataset = open_dataset(settings)
    assert (dataset.sample_ids, dataset.hidden) == (("test/000001", "test/000002"), 1)
    assert dataset.labels_N.tolist() == [0, 1]
    assert np.array_equal(dataset.decode(1), pixels[2])
    write_image(folder / ".ipynb_checkpoints/x.png", 3)
    with pytest.raises(
        UserError, match=r"found the hidden folder '.ipynb_checkpoints', which torchvision counts"
    ):
        open_dataset(settings)


# --- all sources


def test_a_file_whose_name_is_not_utf8_is_told_when_the_data_are_opened(tree):
    folder, files, _ = tree
    (folder / files[0]).rename(folder / os.fsdecode(b"cat/caf\xe9.png"))
    settings = {"source": "imagefolder", "path": str(folder), "label_space": "own"}
    with pytest.raises(
        UserError, match=r"names in UTF-8 for all images of .*'shapes', found 'cat/caf.udce9.png'"
    ):
        open_dataset(settings)


@pytest.mark.parametrize("source", DATASET_SOURCES)
def test_every_source_refuses_unknown_settings(source):
    with pytest.raises(UserError, match=rf"expected a setting of a data set \({source}\), found 'colour'"):
        open_dataset({"source": source, "colour": "red"})


def test_decoding_in_threads_gives_the_same_images(tree):
    from concurrent.futures import ThreadPoolExecutor

    dataset = open_dataset(folder_spec(tree[0]))
    indices = [0, 1, 2, 3] * 25
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(dataset.decode, indices))
    assert all(np.array_equal(image, tree[2][i]) for image, i in zip(images, indices, strict=True))


@pytest.mark.shared
def test_the_real_data_sets_open(shared):
    for folder, count in (("imagenet_val1300", 1300), ("nips2017_dev1000", 1000)):
        spec = {"source": "folder", "path": f"data/{folder}", "label_space": "imagenet-1k"}
        dataset = open_dataset(spec, shared)
        assert (len(dataset), dataset.decode(0).shape[2]) == (count, 3)


@pytest.mark.shared
def test_tracks_of_traffic_signs_are_not_split(shared):
    spec = {
        "source": "npz",
        "path": "data/gtsrb32.npz",
        "x": "x_train",
        "y": "y_train",
        "label_space": "gtsrb",
    }
    train, test = (
        open_dataset(spec | {"groups": "track_train", "split": split}, shared) for split in ("train", "test")
    )
    assert len(train) + len(test) == 13_069
    assert train.label_space.num_classes == 43
    assert set(np.unique(test.labels_N)) <= set(range(43))
