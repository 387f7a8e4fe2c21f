"""Arrays of images and labels in one .npz file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nversion.core import UserError, generator
from nversion.core.label_spaces import label_space_of
from nversion.core.reasons import reason_of
from nversion.core.registry import did_you_mean
from nversion.core.settings import resolve
from nversion.data.arrays import Arrays
from nversion.data.dataset import DATASET_SOURCES, Dataset
from nversion.data.labels import whole_numbers


@DATASET_SOURCES.register("npz")
def open_npz(
    *,
    path: Path,
    base: Path,
    label_space: str,
    name: str | None = None,
    x: str = "x",
    y: str = "y",
    class_names: str = "class_names",
    num_classes: int | None = None,
    split: Literal["train", "test"] | None = None,
    groups: str | None = None,
    test_fraction: float = 0.2,
    split_seed: int = 0,
) -> Dataset:
    """Images (N, H, W, 3), (N, H, W, 1) or (N, H, W) uint8, and 0-based labels (N,) or (N, 1).

    No pickled objects. The sample id is the array's name and the index in it. Memory: all images.

    Args:
        path: the file.
        base: the folder from which `path` starts.
        label_space: what the labels mean.
        name: of the data set; the file's name without suffix if None, with `split`.
        x: name of the array of images.
        y: name of the array of labels.
        class_names: name of the array of class names; used where it exists.
        num_classes: size of a label space of your own, where there are no class names.
        split: take the seeded "train" or "test" part of the array; None takes all.
        groups: name of an array (N,) of group numbers; a group is never split, as it must be where
            images of one group are nearly alike (frames of one track).
        test_fraction: of the groups, or of the images where there are none.
        split_seed: of the choice of the groups.

    Raises:
        UserError: no such file or array, or arrays of another shape or type.
    """
    path = resolve(path, base)
    arrays = _read(path, {"x": x, "y": y} | ({"groups": groups} if groups else {}), class_names)
    images_NHW3 = _rgb(arrays["x"], f"{x!r} in {path}")
    num = len(images_NHW3)
    for key in ("y", "groups"):
        if key in arrays:
            where, step = f"the array {key!r} of {path}", f"name the right array with `{key} = ...`"
            arrays[key] = whole_numbers(arrays[key], num, where, step)
    labels_N = arrays["y"]
    if split is None and groups is not None:
        raise UserError(
            expected="`split` beside `groups`", found="none", next_step='add `split = "train"` or "test"'
        )
    names = _names(arrays["class_names"], f"{class_names!r} in {path}") if "class_names" in arrays else None
    space = label_space_of(f"the data in {path}", label_space, num_classes=num_classes, class_names=names)
    indices = np.arange(num)
    if split is not None:
        in_test_N = _in_test(arrays.get("groups", indices), test_fraction, split_seed)
        indices = np.flatnonzero(in_test_N == (split == "test"))
    return Arrays(
        name or (path.stem if split is None else f"{path.stem}-{split}"),
        space,
        [f"{x}/{index:06d}" for index in indices],
        labels_N[indices],
        images_NHW3[indices],
    )


def _in_test(groups_N: NDArray[Any], test_fraction: float, seed: int) -> NDArray[np.bool_]:
    if not 0 < test_fraction < 1:
        raise UserError(
            expected="a test_fraction between 0 and 1", found=str(test_fraction), next_step="0.2 is usual"
        )
    unique = np.unique(groups_N)
    shuffled = generator("npz split", seed).permutation(unique)
    return np.isin(groups_N, shuffled[: max(1, round(test_fraction * len(unique)))])


def _rgb(images: NDArray[Any], what: str) -> NDArray[np.uint8]:
    if images.ndim == 3:
        images = images[..., None]
    sound = images.ndim == 4 and images.shape[-1] in (1, 3) and 0 not in images.shape[1:]
    if not sound or images.dtype != np.uint8:
        raise UserError(
            expected=f"uint8 images (N, H, W, 3) in the array {what}",
            found=f"{images.dtype} {images.shape}",
            next_step="store channels last, and pixels from 0 to 255",
        )
    return images if images.shape[-1] == 3 else np.repeat(images, 3, axis=-1)


def _names(array: NDArray[Any], what: str) -> list[str]:
    if array.ndim != 1 or array.dtype.kind not in "USiu":
        raise UserError(
            expected=f"a list of texts in the array {what}",
            found=f"{array.dtype} {array.shape}",
            next_step="store one name for each class, or name another array with `class_names = ...`",
        )
    return [one.decode(errors="replace") if isinstance(one, bytes) else str(one) for one in array.tolist()]


def _read(path: Path, wanted: dict[str, str], class_names: str) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise UserError(expected=f"the file {path}", found="no such file", next_step="correct the path")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            for setting, array in wanted.items():
                if array not in file:
                    raise UserError(
                        expected=f"the array {array!r} in {path}",
                        found=", ".join(map(repr, file)) or "no arrays",
                        next_step=f"{did_you_mean(array, list(file))} Name it with `{setting} = ...`",
                    )
            present = wanted | ({"class_names": class_names} if class_names in file else {})
            return {setting: file[array] for setting, array in present.items()}
    except UserError:
        raise
    except Exception as error:  # zip archives and headers of arrays fail in every type when they are damaged
        raise UserError(
            expected=f"an .npz file of plain arrays in {path}",
            found=reason_of(error, with_type=not isinstance(error, ValueError | OSError)),
            next_step="write it with numpy.savez, without Python objects",
        ) from error
