"""The validation images of ImageNet-1k, in class folders or flat with the devkit's or Kaggle's labels."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nversion.core import UserError
from nversion.core.reasons import reason_of
from nversion.core.settings import resolve
from nversion.data.class_folders import check_whole, imagenet_label_space, read_class_folders, subfolders
from nversion.data.classes import imagenet_wnids, read_csv
from nversion.data.dataset import DATASET_SOURCES, Dataset
from nversion.data.image_files import ImageFiles

PER_CLASS = 50
TRUTH = "ILSVRC2012_validation_ground_truth.txt"
META = "meta.mat"
SOLUTION = "LOC_val_solution.csv"
FIRST = "ILSVRC2012_val_00000001.JPEG"
_FILE = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")
_DEVKIT = Path("ILSVRC2012_devkit_t12")


@DATASET_SOURCES.register("imagenet")
def open_imagenet(
    *,
    path: Path,
    base: Path,
    name: str | None = None,
    labels: Path | None = None,
    partial: bool = False,
) -> Dataset:
    """The 50 000 validation images of ImageNet-1k (ILSVRC 2012), in one of its two usual layouts.

    - A folder for each class, called by its wnid (n01440764/ILSVRC2012_val_00000293.JPEG). A class's label is
      the place of its wnid in the sorted list of all 1000, whatever folders are there.
    - All files in one folder, as the archive unpacks, with labels in the same folder: the devkit's
      ILSVRC2012_validation_ground_truth.txt and meta.mat, or Kaggle's LOC_val_solution.csv.

    Args:
        path: the folder of the images, or the one that holds it as `val`.
        base: the folder from which `path` and `labels` start.
        name: of the data set; "imagenet" if None.
        labels: Kaggle's file, or the folder of the devkit or its `data`; if None they are looked for
            in the folder of the images and in the one above.
        partial: take an incomplete copy.

    Raises:
        UserError: neither layout, labels that cannot be read, or an incomplete copy.
    """
    path = resolve(path, base)
    if (path / "val").is_dir() and not any(re.fullmatch(r"n\d{8}", folder) for folder in subfolders(path)):
        path /= "val"
    wnids = imagenet_wnids()
    label_of = {wnid: label for label, wnid in enumerate(wnids)}
    if subfolders(path):
        kind = "a wnid of ImageNet-1k such as n01440764"
        files, labels_N, hidden = read_class_folders(path, label_of.get, kind)
    else:
        files = sorted(p.name for p in path.iterdir() if _FILE.fullmatch(p.name))
        if not files:
            raise UserError(
                expected=f"class folders such as n01440764, or files such as {FIRST}, in {path}",
                found="neither",
                next_step="name the folder that the archive of validation images was unpacked in",
            )
        hidden = 0
        labels_N = _labels(files, path, None if labels is None else resolve(labels, base), label_of)
    if not partial:
        check_whole(path, labels_N, PER_CLASS, wnids)
    return ImageFiles(name or "imagenet", imagenet_label_space(), path, files, labels_N, hidden)


def _labels(files: list[str], path: Path, given: Path | None, label_of: dict[str, int]) -> NDArray[np.int64]:
    """Labels of flat files, from whatever holds them."""
    if given is not None:
        places = [given.parent] if given.is_file() else [given, given / "data"]
    else:
        places = [p for f in (path, path.parent) for p in (f, f / _DEVKIT / "data", f / "data")]
    for place in places:
        if (place / SOLUTION).is_file():
            return _of_kaggle(files, place / SOLUTION, label_of)
        if (place / TRUTH).is_file():
            return _of_devkit(files, place / TRUTH, label_of)
    raise UserError(
        expected=f"the labels of the images in {path}: {TRUTH} with {META}, or {SOLUTION}",
        found=f"neither in {', '.join(map(str, places))}",
        next_step="copy them there, or name their place with `labels = ...`",
    )


def _of_devkit(files: list[str], truth: Path, label_of: dict[str, int]) -> NDArray[np.int64]:
    """Line n of the ground truth is the ILSVRC2012_ID of image n; meta.mat says which wnid that is."""
    label_of_id = _read_meta(truth.with_name(META), label_of)
    lines = truth.read_text(encoding="utf-8", errors="replace").split()
    labels = []
    for file in files:
        number = _number(file)
        text = lines[number - 1] if number <= len(lines) else "nothing"
        if not text.isdecimal() or len(text) > 9 or int(text) not in label_of_id:
            raise UserError(
                expected=f"the ILSVRC2012_ID of {file} in line {number} of {truth}",
                found=repr(text[:40]),
                next_step="copy the file from the devkit again",
            )
        labels.append(label_of_id[int(text)])
    return np.array(labels, np.int64)


def _read_meta(path: Path, label_of: dict[str, int]) -> dict[int, int]:
    """The label of each ILSVRC2012_ID; synsets that are no classes of the task have higher ids."""
    from scipy.io import loadmat

    try:
        synsets = np.atleast_1d(loadmat(path, squeeze_me=True)["synsets"])
        pairs = zip(synsets["ILSVRC2012_ID"].tolist(), synsets["WNID"].tolist(), strict=True)
        return {int(number): label_of[wnid] for number, wnid in pairs if wnid in label_of}
    except Exception as error:  # SciPy's reader fails in every type at damaged bytes
        raise UserError(
            expected=f"the devkit's table of synsets in {path}",
            found="no such file" if not path.exists() else reason_of(error, with_type=True),
            next_step=f"copy {META} from ILSVRC2012_devkit_t12/data",
        ) from error


def _of_kaggle(files: list[str], solution: Path, label_of: dict[str, int]) -> NDArray[np.int64]:
    """`PredictionString` begins with the wnid; boxes follow."""
    wnid_of = {}
    for line, row in read_csv(solution):
        if not {"ImageId", "PredictionString"} <= row.keys():
            raise UserError(
                expected=f"the columns ImageId and PredictionString in {solution}",
                found=", ".join(row),
                next_step="copy the file from Kaggle again",
            )
        wnid = row["PredictionString"].split(" ")[0]
        if wnid not in label_of:
            raise UserError(
                expected=f"a wnid of ImageNet-1k in line {line} of {solution}",
                found=repr(wnid),
                next_step="copy the file from Kaggle again",
            )
        wnid_of[row["ImageId"]] = wnid
    missing = [file for file in files if file.removesuffix(".JPEG") not in wnid_of]
    if missing:
        raise UserError(
            expected=f"a row for each of the {len(files):,} images in {solution}",
            found=f"none for {len(missing):,}, the first {missing[0]!r}",
            next_step="copy the file from Kaggle again",
        )
    return np.array([label_of[wnid_of[file.removesuffix(".JPEG")]] for file in files], np.int64)


def _number(file: str) -> int:
    match = _FILE.fullmatch(file)
    assert match is not None, file
    return int(match[1])
