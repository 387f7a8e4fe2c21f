"""ImageNet's validation images and ImageNetV2: labels by meaning, never by the order of folders."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from nversion.core import UserError
from nversion.data import open_dataset
from nversion.data.classes import imagenet_wnids, read_csv
from nversion.data.sources import imagenet, imagenetv2

WNIDS = imagenet_wnids()
GOLDFISH, HEN, TISSUE = WNIDS[1], WNIDS[8], WNIDS[999]


def save(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path, "JPEG")


def number(n):
    return f"ILSVRC2012_val_{n:08d}.JPEG"


def read(path, base=None, **settings):
    return open_dataset({"source": "imagenet", "path": str(path), "partial": True} | settings, base)


def save_meta(folder, wnids):
    """The devkit's table: ids in an order of their own, and a synset that is no class of the task."""
    synsets = np.zeros(
        len(wnids) + 1, [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
    )
    for row, wnid in enumerate([*wnids, "n00001740"]):
        synsets[row] = (row + 1, wnid, "words", 0)
    folder.mkdir(parents=True, exist_ok=True)
    savemat(folder / "meta.mat", {"synsets": synsets})


@pytest.fixture
def flat(tmp_path):
    """Three images in one folder."""
    for n in (1, 2, 3):
        save(tmp_path / "val" / number(n))
    return tmp_path / "val"


# --- class folders


def test_a_class_is_the_place_of_its_wnid_among_all(tmp_path):
    for wnid, n in ((TISSUE, 5), (GOLDFISH, 7), (GOLDFISH, 3)):
        save(tmp_path / wnid / number(n))
    dataset = read(tmp_path)
    assert dataset.sample_ids == (
        f"{GOLDFISH}/{number(3)}",
        f"{GOLDFISH}/{number(7)}",
        f"{TISSUE}/{number(5)}",
    )
    assert dataset.labels_N.tolist() == [1, 1, 999]
    assert (dataset.name, dataset.label_space.name, dataset.label_space.name_of(999)) == (
        "imagenet",
        "imagenet-1k",
        "toilet tissue",
    )


def test_the_folder_may_be_called_val_inside_the_path(tmp_path):
    save(tmp_path / "val" / GOLDFISH / number(1))
    assert read(tmp_path).sample_ids == (f"{GOLDFISH}/{number(1)}",)


def test_a_folder_that_is_no_wnid_is_told(tmp_path):
    save(tmp_path / GOLDFISH / number(1))
    save(tmp_path / "n99999999" / number(2))
    with pytest.raises(
        UserError, match=r"a wnid of ImageNet-1k such as n01440764 as the name .* found 'n99999999'"
    ):
        read(tmp_path)


@pytest.mark.shared
def test_the_wnids_are_those_of_the_shared_table(shared):
    rows = read_csv(shared / "data" / "imagenet_classes.csv")
    assert [row["wnid"] for _, row in rows] == list(WNIDS)


@pytest.mark.shared
def test_labels_of_real_class_folders_are_those_of_their_table(shared):
    folder = shared / "data" / "imagenet_val1300"
    dataset = read(folder)
    of_table = {row["file"]: int(row["label"]) for _, row in read_csv(folder / "labels.csv")}
    assert dict(zip(dataset.sample_ids, dataset.labels_N.tolist(), strict=True)) == of_table


# --- one folder


def test_the_devkits_ids_become_labels_by_their_wnids(flat):
    save_meta(flat.parent, [HEN, TISSUE, GOLDFISH])
    (flat.parent / imagenet.TRUTH).write_text("3\n1\n2\n")
    dataset = read(flat)
    assert dataset.sample_ids == tuple(map(number, (1, 2, 3)))
    assert dataset.labels_N.tolist() == [1, 8, 999]


@pytest.mark.parametrize("place", ["ILSVRC2012_devkit_t12/data", "elsewhere/data", "elsewhere"])
def test_the_devkit_is_found_beside_the_images_or_where_it_is_said_to_be(flat, place):
    save_meta(flat.parent / place, [GOLDFISH])
    (flat.parent / place / imagenet.TRUTH).write_text("1\n1\n1\n")
    settings = {"labels": "elsewhere"} if "elsewhere" in place else {}
    assert read(flat, flat.parent, **settings).labels_N.tolist() == [1, 1, 1]


def test_images_of_an_incomplete_copy_keep_their_own_lines(flat):
    save_meta(flat, [GOLDFISH, HEN])
    (flat / imagenet.TRUTH).write_text("1\n2\n1\n")
    (flat / number(1)).unlink()
    assert read(flat).labels_N.tolist() == [8, 1]


def test_kaggles_solution_names_the_wnid_first(flat):
    rows = [
        f"ILSVRC2012_val_{n:08d},{wnid} 1 2 3 4 {wnid} 5 6 7 8"
        for n, wnid in ((3, HEN), (1, TISSUE), (2, HEN))
    ]
    (flat.parent / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *rows]) + "\n")
    assert read(flat).labels_N.tolist() == [999, 8, 8]
    given = {"labels": str(flat.parent / "LOC_val_solution.csv")}
    assert read(flat, **given).labels_N.tolist() == [999, 8, 8]


def test_missing_labels_are_told_with_every_place(flat):
    with pytest.raises(
        UserError, match=r"the labels of the images in .*val: .*meta.mat, or LOC_val.*, found neither in"
    ):
        read(flat)


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ("1\n1\n", r"the ILSVRC2012_ID of ILSVRC2012_val_00000003.JPEG in line 3 of .*, found 'nothing'"),
        ("1\n7\n1\n", r"in line 2 of .*, found '7'; copy the file from the devkit again"),
        ("1\nx\n1\n", r"in line 2 of .*, found 'x'"),
    ],
)
def test_a_broken_ground_truth_is_told(flat, truth, message):
    save_meta(flat, [GOLDFISH])
    (flat / imagenet.TRUTH).write_text(truth)
    with pytest.raises(UserError, match=message):
        read(flat)


def test_a_missing_or_broken_table_of_synsets_is_told(flat):
    (flat / imagenet.TRUTH).write_text("1\n1\n1\n")
    with pytest.raises(UserError, match=r"the devkit's table of synsets in .*meta.mat, found no such file"):
        read(flat)
    (flat / "meta.mat").write_bytes(b"no table")
    with pytest.raises(UserError, match=r"the devkit's table of synsets in .*meta.mat, found MatReadError"):
        read(flat)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ImageId,Class\na,b\n", "the columns ImageId and PredictionString in .*, found ImageId, Class"),
        ("ImageId,PredictionString\na,b 1\n", "a wnid of ImageNet-1k in line 2 of .*, found 'b'"),
        (
            f"ImageId,PredictionString\nILSVRC2012_val_00000001,{HEN} 1\n",
            "found none for 2, the first 'ILSVRC2012_val_00000002.JPEG'",
        ),
    ],
)
def test_a_broken_solution_is_told(flat, content, message):
    (flat / "LOC_val_solution.csv").write_text(content)
    with pytest.raises(UserError, match=message):
        read(flat)


@pytest.mark.parametrize("inside", [None, "holiday.jpg"])
def test_a_folder_of_something_else_is_told(tmp_path, inside):
    if inside:
        (tmp_path / inside).write_bytes(b"")
    with pytest.raises(
        UserError, match=r"class folders such as n01440764, or files such as .*, found neither"
    ):
        read(tmp_path)


# --- whole copies


@pytest.fixture
def one_a_class(monkeypatch):
    """Whole copies have one image a class, and no image is ever decoded."""
    monkeypatch.setattr(imagenet, "PER_CLASS", 1)
    monkeypatch.setattr(imagenetv2, "PER_CLASS", 1)


def fill(path, names):
    for name in names:
        (path / name).mkdir(parents=True)
        (path / name / "a.JPEG").touch()
    return path


def test_a_whole_copy_is_taken_and_an_incomplete_one_says_what_is_missing(tmp_path, one_a_class):
    path = fill(tmp_path / "val", WNIDS)
    assert read(path, partial=False).labels_N.tolist() == list(range(1000))
    (path / HEN / "a.JPEG").unlink()
    message = f"1 of each of 1,000 classes, found 999; 1 classes differ, the first '{HEN}' with 0"
    with pytest.raises(UserError, match=message + "; complete the copy, or set `partial = true`"):
        read(path, partial=False)
    assert len(read(path)) == 999


def test_the_folders_of_imagenetv2_are_labels_not_an_order(tmp_path, one_a_class):
    path = fill(tmp_path / "imagenetv2-matched-frequency-format-val", map(str, range(1000)))
    dataset = open_dataset({"source": "imagenetv2", "path": str(path)})
    assert dataset.name == "imagenetv2-matched-frequency"
    assert (
        [int(i.partition("/")[0]) for i in dataset.sample_ids]
        == dataset.labels_N.tolist()
        == list(range(1000))
    )


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("imagenetv2-threshold0.7-format-val", "imagenetv2-threshold-0.7"),
        ("imagenetv2-top-images-format-val", "imagenetv2-top-images"),
        ("imagenetv2-topimages", "imagenetv2-top-images"),
    ],
)
def test_the_variant_is_known_by_the_folder(tmp_path, folder, name):
    path = fill(tmp_path / folder, ["10", "9"])
    dataset = open_dataset({"source": "imagenetv2", "path": str(path), "partial": True})
    assert (dataset.name, dataset.labels_N.tolist()) == (name, [9, 10])


def test_a_variant_that_nothing_tells_is_asked_for(tmp_path):
    path = fill(tmp_path / "v2", ["0"])
    spec = {"source": "imagenetv2", "path": str(path), "partial": True}
    with pytest.raises(
        UserError, match=r"the variant of ImageNetV2 in the name of .*v2, found none; add `variant"
    ):
        open_dataset(spec)
    assert open_dataset(spec | {"variant": "top-images"}).name == "imagenetv2-top-images"
    with pytest.raises(UserError, match="a valid 'variant' of a data set"):
        open_dataset(spec | {"variant": "top"})


@pytest.mark.parametrize("folder", ["1000", "007", "n01440764"])
def test_a_folder_of_imagenetv2_that_is_no_label_is_told(tmp_path, folder):
    path = fill(tmp_path / "imagenetv2-top-images", ["0", folder])
    with pytest.raises(
        UserError, match=f"a label from 0 to 999 as the name of every folder .*, found '{folder}'"
    ):
        open_dataset({"source": "imagenetv2", "path": str(path), "partial": True})


def test_an_incomplete_imagenetv2_says_what_is_missing(tmp_path):
    path = fill(tmp_path / "imagenetv2-top-images", ["0"])
    with pytest.raises(
        UserError, match=r"expected 10,000 images in .*, found 1; 1,000 classes differ, the first '0' with 1"
    ):
        open_dataset({"source": "imagenetv2", "path": str(path)})


def test_a_path_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match=r"expected the folder .*nowhere, found no such folder"):
        read(tmp_path / "nowhere")


def test_hidden_files_are_left_out_of_class_folders_and_counted(tmp_path):
    for name in ("a.JPEG", "._a.JPEG", "b.JPEG"):
        save(tmp_path / "n01440764" / name)
    save(tmp_path / "__MACOSX" / "n01440764" / "._b.JPEG")
    found = read(tmp_path)
    assert (found.sample_ids, found.hidden) == (("n01440764/a.JPEG", "n01440764/b.JPEG"), 2)
