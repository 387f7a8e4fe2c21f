"""Trees of corrupted images on disk: which layouts there are, where an image lies, what the manifest says.

    imagenet-c   TREE/CORRUPTION/SEVERITY/CLASS/NAME.JPEG, as ImageNet-C and ImageNet-C̄ are released
    png          the same with NAME.png, without loss
    cifar-c      TREE/CORRUPTION.npy, (L·N, H, W, 3) uint8, a block of N rows for each of the L severities
                 from low to high, and TREE/labels.npy, as CIFAR-10-C is released

A tree holds one data set. What this package writes has a manifest.json, a released one has none.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from nversion.core import UserError, did_you_mean, fingerprint, read_record
from nversion.core.label_spaces import IMAGENET
from nversion.corruptions import LEVELS_IMAGENET
from nversion.data.classes import imagenet_wnids
from nversion.data.dataset import Dataset
from nversion.data.images import IMAGE_SUFFIXES

SUFFIXES = {"imagenet-c": ".JPEG", "png": ".png"}
ARRAYS = "cifar-c"
LAYOUTS = (*SUFFIXES, ARRAYS)
MANIFEST = "manifest.json"
LABELS = "labels.npy"
MOST_BYTES = 255  # of a name, in the usual file systems
WORK = ".unfinished"
"""Folder in a tree that is being written: the lock, records of finished chunks, arrays that lack rows."""


def check_layout(layout: str) -> None:
    """
    Raises:
        UserError: there is no such layout.
    """
    if layout not in LAYOUTS:
        raise UserError(
            expected="a layout of corrupted images",
            found=repr(layout),
            next_step=did_you_mean(layout, list(LAYOUTS)),
        )


def severity_folder(corruption: str, severity: float) -> str:
    """The folder of a severity: a whole level as ImageNet-C has it, two decimals as ImageNet-C̄ has it.

    A severity that two decimals do not represent keeps all its digits.

    >>> severity_folder("fog", 3.0), severity_folder("lines", 1.6), severity_folder("lines", 1.625)
    ('3', '1.60', '1.625')
    """
    short = f"{severity:.2f}" if corruption in LEVELS_IMAGENET else f"{severity:g}"
    return short if float(short) == severity else f"{severity:g}"


def stem_of(sample_id: str) -> str:
    """The name of a sample without its folders and without the suffix of an image file.

    >>> stem_of("n01440764/a.v2.JPEG"), stem_of("x/000001"), stem_of("a.v2")
    ('a.v2', '000001', 'a.v2')
    """
    path = PurePosixPath(sample_id)
    return path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name


def folder_of(sample_id: str) -> str | None:
    """The folder that a sample lies in by its id; None where it lies in none.

    >>> folder_of("val/n01440764/a.JPEG"), folder_of("a.JPEG")
    ('n01440764', None)
    """
    parent = PurePosixPath(sample_id).parent.name
    return parent if parent not in ("", "..") else None


def class_folders(dataset: Dataset) -> list[str]:
    """The class folder of each sample: the one it lies in, or its label as wnid or as four digits."""
    of_imagenet = dataset.label_space.name == IMAGENET
    names = imagenet_wnids() if of_imagenet else [f"{c:04d}" for c in range(dataset.label_space.num_classes)]
    return [
        folder_of(sample_id) or names[label]
        for sample_id, label in zip(dataset.sample_ids, dataset.labels_N.tolist(), strict=True)
    ]


def samples_fingerprint(dataset: Dataset) -> str:
    """Of the sample ids in their order: arrays hold no names, so this is what their rows are known by."""
    return fingerprint(list(dataset.sample_ids))


def image_places(dataset: Dataset, layout: str) -> list[str]:
    """CLASS/NAME of each sample's file under its severity.

    Raises:
        UserError: two samples would share a file, or the name of one is too long.
    """
    places: dict[str, str] = {}
    for sample_id, folder in zip(dataset.sample_ids, class_folders(dataset), strict=True):
        name = stem_of(sample_id) + SUFFIXES[layout]
        if max(len(name.encode()), len(folder.encode())) > MOST_BYTES:
            raise UserError(
                expected=f"names of at most {MOST_BYTES} bytes for files and folders of the data set "
                f"{dataset.name!r}",
                found=f"{len(name.encode())} in {folder}/{name}",
                next_step=f"rename that image, or write the layout {ARRAYS}, which has no names",
            )
        place = f"{folder}/{name}"
        if place in places:
            raise UserError(
                expected=f"samples of the data set {dataset.name!r} that differ in class folder and name",
                found=f"{places[place]!r} and {sample_id!r}, both {place}",
                next_step=f"rename one, or write the layout {ARRAYS}, which has no names",
            )
        places[place] = sample_id
    return list(places)


def read_manifest(tree: Path) -> dict[str, Any] | None:
    """What the tree was made of, as it was written; None where nversion did not write it.

    Raises:
        UserError: the manifest is not as it was written.
    """
    path = tree / MANIFEST
    try:
        manifest = read_record(path)
    except UserError as error:
        raise _no_manifest(path, "other content than was written: damaged, or edited") from error
    if manifest is not None and {"name", "what", "made_with", "complete"} - manifest.keys():
        raise _no_manifest(path, "other content")
    return manifest


def _no_manifest(path: Path, found: str) -> UserError:
    return UserError(
        expected=f"the manifest of a tree of corrupted images in {path}",
        found=found,
        next_step="name another folder, or move the file away",
    )
