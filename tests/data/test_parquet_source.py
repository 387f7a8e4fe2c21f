"""Images and labels from parquet files, plain and as Hugging Face writes them."""

import io
import json
import pickle

import numpy as np
import polars as pl
import pytest
from PIL import Image

from nversion.core import UserError
from nversion.data import UnreadableImageError, open_dataset


def encoded(seed, kind="PNG"):
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return pixels, buffer.getvalue()


IMAGES = [encoded(seed) for seed in range(4)]


def write(path, images=None, labels=(0, 1, 1, 0), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [content for _, content in IMAGES] if images is None else images
    pl.DataFrame({"image": images, "label": labels}).write_parquet(path, **options)
    return path


def settings(path, **changes):
    return {"source": "parquet", "path": str(path), "label_space": "two", "num_classes": 2} | changes


def test_a_column_of_bytes_is_read(tmp_path):
    dataset = open_dataset(settings(write(tmp_path / "shapes.parquet")))
    assert (dataset.name, dataset.sample_ids[2], len(dataset)) == ("shapes", "shapes.parquet/000002", 4)
    assert dataset.labels_N.tolist() == [0, 1, 1, 0]
    for index, (pixels, _) in enumerate(IMAGES):
        assert np.array_equal(dataset.decode(index), pixels)
    assert dataset.fingerprint == pickle.loads(pickle.dumps(dataset)).fingerprint


def test_structs_and_class_names_of_hugging_face_are_read(tmp_path):
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    described = {"huggingface": json.dumps({"info": {"features": features}})}
    structs = [{"bytes": content, "path": "a.png"} for _, content in IMAGES]
    path = write(tmp_path / "test-00000-of-00001.parquet", structs, metadata=described)
    dataset = open_dataset({"source": "parquet", "path": str(path), "label_space": "pets"})
    assert dataset.label_space.class_names == ("cat", "dog")
    assert np.array_equal(dataset.decode(3), IMAGES[3][0])


def test_the_files_of_a_folder_are_one_data_set_in_the_order_of_their_names(tmp_path):
    write(tmp_path / "pets" / "test-1.parquet", [IMAGES[2][1]], [0])
    write(tmp_path / "pets" / "test-0.parquet", [IMAGES[0][1], IMAGES[1][1]], [1, 0])
    dataset = open_dataset(settings(tmp_path / "pets"))
    assert dataset.name == "pets"
    assert dataset.sample_ids == ("test-0.parquet/000000", "test-0.parquet/000001", "test-1.parquet/000000")
    assert dataset.labels_N.tolist() == [1, 0, 0]
    assert np.array_equal(dataset.decode(2), IMAGES[2][0])


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "no bytes"), (b"no image", "cannot identify image file"), (IMAGES[1][1][:90], ".*truncated")],
)
def test_an_unreadable_image_is_told_when_it_is_decoded(tmp_path, content, reason):
    dataset = open_dataset(settings(write(tmp_path / "x.parquet", [IMAGES[0][1], content], [0, 1])))
    assert dataset.fingerprint == open_dataset(settings(tmp_path / "x.parquet")).fingerprint
    message = rf"expected a whole image in x \(x.parquet/000001\), found {reason}; replace the file"
    with pytest.raises(UnreadableImageError, match=message):
        dataset.decode(1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": "gone.parquet"}, "a parquet file, or a folder of them, in .*gone.parquet, found none"),
        ({"image_column": "img"}, "a column 'img' .*, found 'image', 'label'; did you mean 'image'"),
        ({"image_column": "label"}, "bytes, or structs with a field `bytes`, .*, found Int64; store each"),
        ({"label_column": "image"}, "whole number in every row of the column 'image' of .*, found Binary"),
        ({"num_classes": 1}, "labels 0 to 0 of the label space 'two', found label 1"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path, changes, message):
    write(tmp_path / "x.parquet")
    with pytest.raises(UserError, match=message):
        open_dataset(settings("x.parquet") | changes, tmp_path)


def test_a_row_without_a_label_is_told(tmp_path):
    write(tmp_path / "x.parquet", labels=[0, None, 1, 0])
    with pytest.raises(UserError, match="found rows without a label; write the index of the class"):
        open_dataset(settings(tmp_path / "x.parquet"))


def test_a_file_that_is_no_parquet_is_told(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"hello")
    with pytest.raises(UserError, match=r"a parquet file in .*x.parquet, found .*; write it again"):
        open_dataset(settings(tmp_path / "x.parquet"))
