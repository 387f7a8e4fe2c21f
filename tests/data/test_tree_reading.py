"""Trees of corrupted images read back: the stored pixels, aligned by sample, or one sentence."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from nversion.core import LabelSpace, UserError, read_record, write_record
from nversion.data import Canonical, Condition, Tree, open_dataset, open_stored, write_tree
from nversion.data.arrays import Arrays

CONDITIONS = (Condition("d", "lines", 2.0), Condition("d", "lines", 1.0), Condition("d", "plasma_noise", 1.4))
SIZE = 8


def dataset(*ids, labels=None, num_classes=4):
    labels_N = np.arange(len(ids)) % num_classes if labels is None else np.array(labels)
    images_NHW3 = np.random.default_rng(0).integers(0, 256, (len(ids), SIZE, SIZE, 3)).astype(np.uint8)
    return Arrays("d", LabelSpace("four", num_classes), ids, labels_N, images_NHW3)


CLASSED = dataset("cat/a.jpg", "cat/b.jpg", "dog/a.jpg", "dog/c.jpg", "dog/d.jpg")
FLAT = dataset("a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg")


def write(folder, data=CLASSED, layout="png", conditions=CONDITIONS):
    write_tree(Tree(folder, data, Canonical(SIZE, "squash"), conditions, layout))
    return folder


def read(folder, data=CLASSED, size=SIZE, mode="squash", **asked):
    return open_stored(folder, "disk", data, "d", Canonical(size, mode), **asked)


def canonical(data):
    return torch.from_numpy(np.stack([data.decode(i).transpose(2, 0, 1) for i in range(len(data))]))


def save(path, value=0, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), (value, value, value)).save(path)


def save_released(folder, *ids, size=SIZE):
    """A folder of a severity as the benchmarks release it: the n-th image is grey of level n."""
    for value, sample_id in enumerate(ids):
        save((folder / sample_id).with_suffix(".png"), value, size)


# --- our own trees


@pytest.mark.parametrize("layout", ["png", "cifar-c"])
@pytest.mark.parametrize("data", [CLASSED, FLAT], ids=["classed", "flat"])
def test_a_lossless_tree_gives_the_bytes_of_corrupting(tmp_path, layout, data):
    stored = {c.name: c for c in read(write(tmp_path / "t", data, layout), data)}
    images_N3HW = canonical(data)
    assert len(stored) == 3
    for condition in CONDITIONS:
        expected_N3HW = condition.render(images_N3HW, data.sample_ids)
        found_N3HW = stored[f"{condition.name}@disk"].render(images_N3HW, data.sample_ids)
        assert torch.equal(found_N3HW, expected_N3HW) and found_N3HW.is_contiguous()


def test_jpeg_trees_give_what_pillow_decodes(tmp_path):
    stored = read(write(tmp_path / "t", layout="imagenet-c"))[0]
    path = tmp_path / "t" / "lines" / "1.00" / "dog" / "a.JPEG"
    shown_3HW = stored.render(canonical(CLASSED)[2:3], ["dog/a.jpg"])[0]
    assert np.array_equal(shown_3HW.permute(1, 2, 0).numpy(), np.asarray(Image.open(path)))


@pytest.mark.parametrize("layout", ["png", "cifar-c"])
def test_a_part_of_the_data_set_finds_its_samples(tmp_path, layout):
    write(tmp_path / "t", layout=layout)
    part = CLASSED.subset(3, seed=2)
    condition = next(c for c in read(tmp_path / "t", part) if c.corruption == "plasma_noise")
    expected = CONDITIONS[2].render(canonical(CLASSED), CLASSED.sample_ids)
    assert torch.equal(condition.render(canonical(part), part.sample_ids), expected[part.indices])


@pytest.mark.parametrize("layout", ["png", "cifar-c"])
def test_a_tree_of_a_part_is_read_by_that_part(tmp_path, layout):
    part = CLASSED.subset(3, seed=2)
    condition = read(write(tmp_path / "t", part, layout), part)[0]
    expected = CONDITIONS[1].render(canonical(part), part.sample_ids)
    assert torch.equal(condition.render(canonical(part), part.sample_ids), expected)


def test_batches_are_read_in_any_order(tmp_path):
    condition = read(write(tmp_path / "t"))[0]
    ids = CLASSED.sample_ids
    whole = condition.render(canonical(CLASSED), ids)
    assert torch.equal(condition.render(canonical(CLASSED)[:2], [ids[3], ids[1]]), whole[[3, 1]])


def test_stored_conditions_know_corruption_severity_seed_and_tree(tmp_path):
    write(tmp_path / "t", conditions=(Condition("d", "lines", 2.0, seed=3),))
    (condition,) = read(tmp_path / "t")
    assert (condition.corruption, condition.severity, condition.seed) == ("lines", 2.0, 3)
    assert condition.name == "d/lines-2-seed3@disk"
    assert condition.parameters(["x"], (8, 8)) == [{}]


def test_corruptions_and_severities_can_be_chosen(tmp_path):
    write(tmp_path / "t")
    names = [c.name for c in read(tmp_path / "t", corruptions=["lines"], severities=[2])]
    assert names == ["d/lines-2@disk"]


def test_the_description_changes_with_the_manifest_and_the_files(tmp_path):
    first = read(write(tmp_path / "t"))[0].description()
    assert first == read(tmp_path / "t")[0].description()
    shutil.copytree(tmp_path / "t", tmp_path / "copy")
    assert read(tmp_path / "copy")[0].description() == first
    manifest = tmp_path / "t" / "manifest.json"
    made = read_record(manifest)
    write_record(manifest, made | {"made_with": made["made_with"] | {"nversion": "9"}})
    assert read(tmp_path / "t")[0].description() != first
    save(tmp_path / "copy" / "lines" / "1.00" / "cat" / "a.png")
    assert read(tmp_path / "copy")[0].description() != first


def test_the_description_of_arrays_changes_with_their_bytes(tmp_path):
    first = read(write(tmp_path / "t", layout="cifar-c"))[0].description()
    array = np.load(tmp_path / "t" / "lines.npy")
    array[0, 0, 0, 0] ^= 1
    np.save(tmp_path / "t" / "lines.npy", array)
    assert read(tmp_path / "t")[0].description() != first


def test_a_plain_condition_does_not_render_what_is_stored():
    with pytest.raises(AssertionError, match="is read from disk"):
        Condition("d", "lines", 1.0, stored="disk").render(canonical(FLAT), FLAT.sample_ids)


# --- released ones


@pytest.mark.parametrize("group", ["", "noise/"])
def test_imagenet_c_is_read_with_and_without_its_groups(tmp_path, group):
    for severity in range(1, 6):
        save_released(tmp_path / f"{group}gaussian_noise" / str(severity), *CLASSED.sample_ids)
    save_released(tmp_path / "blur" / "zoom_blur" / "3", *CLASSED.sample_ids)
    conditions = read(tmp_path)
    assert {c.name for c in conditions} == {
        *(f"d/gaussian_noise-{s}@disk" for s in range(1, 6)),
        "d/zoom_blur-3@disk",
    }
    shown_N3HW = conditions[0].render(canonical(CLASSED), CLASSED.sample_ids)
    assert shown_N3HW[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_imagenet_c_bar_is_read_with_its_decimals_in_order(tmp_path):
    for severity in ("10.00", "2.35", "4.90"):
        save_released(tmp_path / "caustic_refraction" / severity, *CLASSED.sample_ids)
    assert [c.severity for c in read(tmp_path)] == [2.35, 4.9, 10.0]


def test_more_images_than_samples_are_fine(tmp_path):
    save_released(tmp_path / "fog" / "1", *CLASSED.sample_ids, "dog/more.jpg")
    assert len(read(tmp_path)) == 1


def test_flat_data_sets_are_found_by_name_alone(tmp_path):
    save_released(tmp_path / "fog" / "1", "n1/a.x", "n1/b.x", "n2/c.x", "n2/d.x", "n3/e.x")
    shown_N3HW = read(tmp_path, FLAT)[0].render(canonical(FLAT), FLAT.sample_ids)
    assert shown_N3HW[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_a_name_that_fits_two_files_is_told(tmp_path):
    save_released(tmp_path / "fog" / "1", "n1/a.x", "n2/a.x", "n1/b.x", "n2/c.x", "n2/d.x", "n3/e.x")
    with pytest.raises(
        UserError, match=r"one file in .*fog/1 for the sample 'a.jpg', found 2: n1/a.png, n2/a.png"
    ):
        read(tmp_path, FLAT)


def test_samples_of_class_folders_are_never_taken_from_another_class(tmp_path):
    save_released(tmp_path / "fog" / "1", "cat/b.x", "dog/a.x", "dog/c.x", "dog/d.x")
    message = r"for each of the 5 samples of 'd', found 1 missing, the first 'cat/a.jpg'; complete the folder"
    with pytest.raises(UserError, match=message):
        read(tmp_path)


def test_missing_samples_of_a_later_severity_are_counted(tmp_path):
    save_released(tmp_path / "fog" / "1", *CLASSED.sample_ids)
    save_released(tmp_path / "fog" / "2", *CLASSED.sample_ids[:2])
    with pytest.raises(UserError, match=r"an image in .*fog/2 .* found 3 missing, the first 'dog/a.jpg'"):
        read(tmp_path)


def test_stored_images_of_another_size_are_told_not_resized(tmp_path):
    save_released(tmp_path / "fog" / "1", *CLASSED.sample_ids, size=16)
    message = r"the canonical size 8×8 in .*fog/1, found 16×16; set `size = 16` under \[canonical\]"
    with pytest.raises(UserError, match=message):
        read(tmp_path)


def test_one_image_of_another_size_is_told_when_it_is_read(tmp_path):
    save_released(tmp_path / "fog" / "1", *CLASSED.sample_ids)
    save(tmp_path / "fog" / "1" / "dog" / "d.png", size=16)
    with pytest.raises(UserError, match=r"8×8 in .*dog/d.png, found 16×16"):
        read(tmp_path)[0].render(canonical(CLASSED), CLASSED.sample_ids)


# --- arrays as CIFAR-10-C is released


def save_arrays(folder, data=FLAT, levels=5, labels=None):
    folder.mkdir(exist_ok=True)
    rows_NHW3 = np.zeros((levels * len(data), SIZE, SIZE, 3), np.uint8)
    rows_NHW3 += np.arange(len(rows_NHW3), dtype=np.uint8)[:, None, None, None]
    np.save(folder / "fog.npy", rows_NHW3)
    np.save(folder / "labels.npy", np.tile(data.labels_N if labels is None else labels, levels))
    return folder


def test_arrays_hold_five_levels_one_after_another(tmp_path):
    conditions = read(save_arrays(tmp_path), FLAT)
    assert [c.name for c in conditions] == [f"d/fog-{level}@disk" for level in range(1, 6)]
    assert conditions[2].render(canonical(FLAT), FLAT.sample_ids)[:, 0, 0, 0].tolist() == [10, 11, 12, 13, 14]


def test_a_seeded_part_reads_its_own_rows(tmp_path):
    part = FLAT.subset(2, seed=1)
    condition = read(save_arrays(tmp_path), part)[1]
    shown = condition.render(canonical(part), part.sample_ids)[:, 0, 0, 0].tolist()
    assert shown == (5 + part.indices).tolist()


def test_cifar_10_c_bars_levels_are_known_by_the_name(tmp_path):
    save_arrays(tmp_path)
    (tmp_path / "fog.npy").rename(tmp_path / "sparkles.npy")
    assert [c.severity for c in read(tmp_path, FLAT)] == [0.7, 3.5, 5.6, 6.3, 7.0]


def test_labels_of_another_order_are_told(tmp_path):
    save_arrays(tmp_path, labels=FLAT.labels_N[::-1])
    message = r"found 4 of 5 that differ, the first 0 where 'b.jpg' has 1; name the data set"
    save_arrays(tmp_path, labels=np.array([0, 0, 1, 2, 3]))
    with pytest.raises(UserError, match=message):
        read(tmp_path, FLAT)


def test_arrays_of_another_number_of_images_are_told(tmp_path):
    save_arrays(tmp_path)
    with pytest.raises(UserError, match=r"blocks of 3 rows in .*fog.npy, .* found 25 rows"):
        read(tmp_path, dataset("a", "b", "c"))


def test_a_tree_of_arrays_of_other_samples_is_told(tmp_path):
    write(tmp_path / "t", FLAT, "cifar-c")
    with pytest.raises(UserError, match=r"the samples that .* was made from, in their order, found others"):
        read(tmp_path / "t", CLASSED)


def test_a_half_array_is_told(tmp_path):
    save_arrays(tmp_path)
    content = (tmp_path / "fog.npy").read_bytes()
    (tmp_path / "fog.npy").write_bytes(content[: len(content) // 2])
    with pytest.raises(
        UserError, match=r"a whole array of images in .*fog.npy, found .*; copy or write it again"
    ):
        read(tmp_path, FLAT)


def test_an_array_of_something_else_is_told(tmp_path):
    save_arrays(tmp_path)
    np.save(tmp_path / "fog.npy", np.zeros((25, 8, 8), np.float32))
    with pytest.raises(
        UserError, match=r"uint8 images \(N, H, W, 3\) in .*fog.npy, found float32 \(25, 8, 8\)"
    ):
        read(tmp_path, FLAT)


def test_missing_and_short_labels_are_told(tmp_path):
    save_arrays(tmp_path)
    np.save(tmp_path / "labels.npy", FLAT.labels_N)
    with pytest.raises(UserError, match=r"a label for each row of the arrays in .*labels.npy, found \(5,\)"):
        read(tmp_path, FLAT)
    (tmp_path / "labels.npy").unlink()
    with pytest.raises(UserError, match=r"the labels of the arrays in .*labels.npy, found no such file"):
        read(tmp_path, FLAT)


# --- trees that cannot be read


def test_a_path_that_is_not_there_is_told(tmp_path):
    message = (
        r"a tree of corrupted images in .*nowhere, found no such folder; correct `path` of .*stored.disk"
    )
    with pytest.raises(UserError, match=message):
        read(tmp_path / "nowhere")


def test_an_unfinished_tree_is_told(tmp_path):
    write(tmp_path / "t")
    (tmp_path / "t" / ".unfinished").mkdir()
    with pytest.raises(
        UserError, match="one whose writing was interrupted or goes on; finish it: nversion corruptions"
    ):
        read(tmp_path / "t")


def test_another_section_of_the_image_is_told(tmp_path):
    write(tmp_path / "t")
    with pytest.raises(UserError, match="with mode = 'squash', found mode = 'crop'; set it so under"):
        read(tmp_path / "t", mode="crop")


def test_a_severity_that_is_no_number_is_told(tmp_path):
    for name in ("1", "severe"):
        save_released(tmp_path / "fog" / name, *CLASSED.sample_ids)
    with pytest.raises(
        UserError, match=r"folders of severities in .*fog, each a number of its own, found 'severe'"
    ):
        read(tmp_path)


def test_a_corruption_in_two_groups_is_told(tmp_path):
    for group in ("noise", "extra"):
        save_released(tmp_path / group / "fog" / "1", *CLASSED.sample_ids)
    with pytest.raises(UserError, match=r"each corruption once in .*, found 'fog' again in .*noise"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"corruptions": ["linse"]},
            "a corruption that is stored in .*, found 'linse'; did you mean 'lines'",
        ),
        ({"corruptions": ["lines"], "severities": [3]}, "a severity of 'lines' .*, found 3; there are: 1, 2"),
    ],
)
def test_what_is_not_stored_is_told(tmp_path, asked, message):
    write(tmp_path / "t")
    with pytest.raises(UserError, match=message):
        read(tmp_path / "t", **asked)


def test_a_folder_of_something_else_is_told(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"folders CORRUPTION/SEVERITY/CLASS, or files .*, found holiday.jpg"):
        read(tmp_path)


def test_a_torn_stored_image_is_named(tmp_path):
    condition = read(write(tmp_path / "t"))[0]
    path = tmp_path / "t" / "lines" / "1.00" / "dog" / "c.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match=r"a whole image in .*lines/1.00/dog/c.png"):
        condition.render(canonical(CLASSED), CLASSED.sample_ids)


def test_files_of_a_data_set_find_their_jpegs(tmp_path):
    """Suffixes differ between a data set of PNG files and its tree of JPEG files."""
    for i in range(4):
        save(tmp_path / "images" / ("cat" if i < 2 else "dog") / f"{i}.png", 40 * i)
    spec = {"source": "imagefolder", "path": str(tmp_path / "images"), "label_space": "own"}
    data = open_dataset(spec)
    assert len(read(write(tmp_path / "t", data, "imagenet-c"), data)) == 3


@pytest.mark.parametrize("layout", ["png", "cifar-c"])
def test_hidden_files_are_no_part_of_a_tree(tmp_path, layout):
    tree = write(tmp_path / "t", layout=layout)
    before = [condition.identity for condition in read(tree)]
    for name in (
        "._lines.npy",
        "__MACOSX/1/a/b.png",
        "lines/__MACOSX/a.png",
        "lines/1.00/__MACOSX/cat/a.png",
    ):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(b"\0\5\x16\7")
    assert [condition.identity for condition in read(tree)] == before
