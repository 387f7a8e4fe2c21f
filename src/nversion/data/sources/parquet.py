"""Images and labels in the columns of parquet files, as Hugging Face data sets are stored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nversion.core import LabelSpace, UserError, did_you_mean, fingerprint
from nversion.core.label_spaces import label_space_of
from nversion.core.reasons import reason_of
from nversion.core.settings import resolve
from nversion.data.classes import read_classes
from nversion.data.dataset import DATASET_SOURCES, Dataset
from nversion.data.images import UnreadableImageError, decode_bytes
from nversion.data.walking import is_hidden

if TYPE_CHECKING:
    import polars as pl


class EncodedImages(Dataset):
    """Image files as bytes; they stay in memory as they are stored."""

    def __init__(
        self,
        name: str,
        label_space: LabelSpace,
        sample_ids: Sequence[str],
        labels_N: NDArray[np.int64],
        images: pl.Series,
    ) -> None:
        super().__init__(name, label_space, sample_ids, labels_N)
        self.images = images

    def decode(self, index: int) -> NDArray[np.uint8]:
        return decode_bytes(self._bytes(index), self._where(index), self.max_pixels)

    def content(self, index: int) -> str:
        return fingerprint(self._bytes(index))

    def _bytes(self, index: int) -> bytes:
        content: bytes | None = self.images[index]
        if content is None:
            raise UnreadableImageError(self._where(index), "no bytes")
        return content

    def _where(self, index: int) -> str:
        return f"{self.name} ({self.sample_ids[index]})"


@DATASET_SOURCES.register("parquet")
def open_parquet(
    *,
    path: Path,
    base: Path,
    label_space: str,
    name: str | None = None,
    image_column: str = "image",
    label_column: str = "label",
    num_classes: int | None = None,
    classes: Path | None = None,
) -> Dataset:
    """Encoded images (PNG, JPEG, …) and 0-based labels from one parquet file, or all of a folder.

    The sample id is the file's name and the row in it. Memory: the encoded images.

    Args:
        path: a file, or a folder whose `*.parquet` files are read in the order of their names.
        base: the folder from which `path` and `classes` start.
        label_space: what the labels mean.
        name: of the data set; the name of the file (without suffix) or folder if None.
        image_column: of bytes, or of structs with a field `bytes`, as Hugging Face writes them.
        label_column: of whole numbers.
        num_classes: size of a label space of your own, where nothing names the classes.
        classes: a CSV file of the classes (columns label, name); without it, the names that Hugging
            Face writes into the file, where there are any.

    Raises:
        UserError: no such file or column, or columns of another type.
    """
    path = resolve(path, base)
    all_files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    files = [file for file in all_files if not path.is_dir() or not is_hidden(file.name)]
    if not files or not files[0].is_file():
        raise UserError(
            expected=f"a parquet file, or a folder of them, in {path}",
            found="none",
            next_step="correct the path",
        )
    frames = [_read(file, image_column, label_column) for file in files]
    names = read_classes(resolve(classes, base))[0] if classes else _class_names(files[0], label_column)
    dataset = EncodedImages(
        name or path.stem,
        label_space_of(f"the data set in {path}", label_space, class_names=names, num_classes=num_classes),
        [
            f"{file.name}/{row:06d}"
            for file, (images, _) in zip(files, frames, strict=True)
            for row in range(len(images))
        ],
        _together([labels_n for _, labels_n in frames]),
        _joined([images for images, _ in frames]),
    )
    dataset.hidden = len(all_files) - len(files)
    return dataset


def _together(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Labels of all files; of one type they keep it, so that those beyond int64 are reported as they are."""
    return (
        np.concatenate(parts)
        if len({part.dtype for part in parts}) == 1
        else np.array([label for part in parts for label in part.tolist()])
    )


def _joined(parts: list[pl.Series]) -> pl.Series:
    import polars as pl

    return pl.concat(parts)


def _read(file: Path, image_column: str, label_column: str) -> tuple[pl.Series, NDArray[Any]]:
    """The encoded images of one file, and their labels."""
    import polars as pl

    try:
        schema = pl.read_parquet_schema(file)
        for setting, column in (("image_column", image_column), ("label_column", label_column)):
            if column not in schema:
                raise UserError(
                    expected=f"a column {column!r} in {file}",
                    found=", ".join(map(repr, schema)),
                    next_step=f"{did_you_mean(column, list(schema))} Name it with `{setting} = ...`",
                )
        frame = pl.read_parquet(file, columns=list({image_column, label_column}))
    except UserError:
        raise
    except (Exception, pl.exceptions.PanicException) as error:  # Rust's code panics at some damaged bytes
        raise UserError(
            expected=f"a parquet file in {file}", found=reason_of(error), next_step="write it again"
        ) from error
    images, labels = frame[image_column], _single(frame[label_column])
    kind = images.dtype
    if isinstance(kind, pl.Struct) and "bytes" in {field.name for field in kind.fields}:
        images = images.struct.field("bytes")
    if images.dtype != pl.Binary:
        raise UserError(
            expected=f"bytes, or structs with a field `bytes`, in the column {image_column!r} of {file}",
            found=str(kind),
            next_step="store each image as the bytes of a PNG or JPEG file",
        )
    if not labels.dtype.is_integer() or labels.has_nulls():
        raise UserError(
            expected=f"a 0-based whole number in every row of the column {label_column!r} of {file}",
            found="rows without a label" if labels.dtype.is_integer() else str(labels.dtype),
            next_step="write the index of the class",
        )
    return images, labels.to_numpy()


def _single(labels: pl.Series) -> pl.Series:
    """Labels of lists of one number each, as those numbers."""
    import polars as pl

    if isinstance(labels.dtype, pl.Array):
        labels = labels.arr.to_list()
    lists = isinstance(labels.dtype, pl.List) and not labels.has_nulls()
    return labels.list.get(0) if lists and bool((labels.list.len() == 1).all()) else labels


def _class_names(file: Path, label_column: str) -> list[str] | None:
    """Names of the classes from the description that Hugging Face's library writes into its files."""
    import polars as pl

    described = pl.read_parquet_metadata(file).get("huggingface")
    if described is None:
        return None
    try:
        features: Any = json.loads(described)["info"]["features"]
        names = features[label_column]["names"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None  # a description without names of classes
    return [str(name) for name in names] if isinstance(names, list) else None
