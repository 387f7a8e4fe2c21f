"""Data sets of torchvision, from files that are already on disk unless a download is asked for."""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nversion.core import LabelSpace, UserError, fingerprint
from nversion.core.label_spaces import IMAGENET, label_space_of
from nversion.core.reasons import reason_of
from nversion.core.registry import did_you_mean
from nversion.core.settings import resolve
from nversion.data.dataset import DATASET_SOURCES, Dataset
from nversion.data.images import UnreadableImageError, decode_image, out_of_memory, to_rgb
from nversion.data.walking import is_hidden

# Names of the library's data sets whose label space has a common name.
_KNOWN = {"ImageNet": IMAGENET}
_AS_FOLDER = 'write its images to a folder with a labels.csv and use `source = "folder"`'


class Wrapped(Dataset):
    """A map-style data set of (PIL image, label); the sample id is split/index.

    Where its images are files they are read as every other image file here, not by torchvision, which opens
    them as whatever their content says.
    """

    def __init__(
        self, name: str, label_space: LabelSpace, split: str, labels_N: NDArray[np.int64], wrapped: Any
    ) -> None:
        files = _files_of(wrapped)
        root = Path(getattr(wrapped, "root", ""))
        self.rows = [
            row
            for row in range(len(labels_N))
            if files is None or not is_hidden(os.path.relpath(files[row], root))
        ]
        super().__init__(name, label_space, [f"{split}/{row:06d}" for row in self.rows], labels_N[self.rows])
        self.hidden = len(labels_N) - len(self.rows)
        self.wrapped = wrapped
        self.files = files

    def decode(self, index: int) -> NDArray[np.uint8]:
        if self.files is not None:
            return decode_image(Path(self.files[self.rows[index]]), self.max_pixels)
        where = f"{self.name} ({self.sample_ids[index]})"
        try:
            return np.array(to_rgb(self.wrapped[self.rows[index]][0]))
        except MemoryError as error:
            raise out_of_memory(where) from error
        except (OSError, ValueError, SyntaxError, EOFError) as error:
            raise UnreadableImageError(where, reason_of(error)) from error

    def content(self, index: int) -> str:
        return fingerprint(self.decode(index))


@DATASET_SOURCES.register("torchvision")
def open_torchvision(
    *,
    dataset: str,
    root: Path,
    base: Path,
    split: str = "test",
    name: str | None = None,
    label_space: str | None = None,
    num_classes: int | None = None,
    download: bool = False,
) -> Dataset:
    """A classification data set of torchvision by the name of its class.

    Args:
        dataset: the class ("CIFAR10", "MNIST", "Flowers102").
        root: the folder of the files, as torchvision lays them out.
        base: the folder from which `root` starts.
        split: "train" or "test", or another split that this data set has.
        name: of the data set; the class's name in lower case and the split if None.
        label_space: what the labels mean; the class's name in lower case if None.
        num_classes: where torchvision gives no names of the classes.
        download: fetch missing files into `root`.

    Raises:
        UserError: no such data set or split, or its files are not there.
    """
    from torchvision import datasets

    known = [key for key in datasets.__all__ if key not in ("DatasetFolder", "ImageFolder", "VisionDataset")]
    if dataset not in known:
        raise UserError(
            expected="a data set of torchvision", found=repr(dataset), next_step=did_you_mean(dataset, known)
        )
    root = resolve(root, base)
    wrapped = _open(getattr(datasets, dataset), dataset, root, split, download)
    labels_N = _labels(wrapped, dataset)
    classes = getattr(wrapped, "classes", None)
    if hidden := [c for c in classes or () if isinstance(c, str) and is_hidden(c)]:
        raise UserError(
            expected=f"folders of classes among the files of torchvision's {dataset} in {root}",
            found=f"the hidden folder {hidden[0]!r}, which torchvision counts as a class",
            next_step="remove it",
        )
    names = [c if isinstance(c, str) else c[0] for c in classes] if isinstance(classes, Sequence) else None
    space = label_space_of(
        f"torchvision's {dataset}",
        label_space or _KNOWN.get(dataset, dataset.lower()),
        class_names=names,
        num_classes=num_classes,
    )
    return Wrapped(name or f"{dataset.lower()}-{split}", space, split, labels_N, wrapped)


def _open(kind: Any, dataset: str, root: Path, split: str, download: bool) -> Any:
    parameters = inspect.signature(kind).parameters
    arguments: dict[str, Any] = {}
    if "train" in parameters:
        if split not in ("train", "test"):
            raise UserError(
                expected=f'the split "train" or "test" of torchvision\'s {dataset}',
                found=repr(split),
                next_step="name one of them",
            )
        arguments["train"] = split == "train"
    elif "split" in parameters:
        arguments["split"] = split
    if "download" in parameters:
        arguments["download"] = download
    try:
        return kind(root=str(root), **arguments)
    except (RuntimeError, OSError) as error:
        reason = reason_of(error)
        raise UserError(
            expected=f"the files of torchvision's {dataset} in {root}",
            found=reason,
            next_step="copy them there, or set `download = true` on a machine with internet access",
        ) from error
    except Exception as error:  # its readers of files fail in every type at damaged bytes
        raise UserError(
            expected=f"settings that torchvision's {dataset} takes",
            found=reason_of(error),
            next_step="correct `split`",
        ) from error


def _files_of(wrapped: Any) -> list[str] | None:
    """Paths of the image files, from the attribute that the library's class keeps them in; None: arrays.

    Raises:
        UserError: it opens files that none of these attributes names.
    """
    for attribute in ("_image_files", "_images", "_samples", "samples", "imgs", "data"):
        found = getattr(wrapped, attribute, None)
        if isinstance(found, Sequence) and len(found) == len(wrapped) > 0:
            paths = [item[0] if isinstance(item, tuple) else item for item in found]
            if all(isinstance(path, str | Path) for path in paths):
                return [str(path) for path in paths]
    if "Image.open" in inspect.getsource(type(wrapped)) or hasattr(wrapped, "loader"):
        raise UserError(
            expected="a data set whose images are arrays, or files with known paths",
            found=f"torchvision's {type(wrapped).__name__}",
            next_step=_AS_FOLDER,
        )
    return None


def _labels(wrapped: Any, dataset: str) -> NDArray[np.int64]:
    """Labels without decoding images, from the attribute that the library's class keeps them in."""
    for attribute in ("targets", "labels", "_labels"):
        labels = getattr(wrapped, attribute, None)
        if labels is not None and len(labels) == len(wrapped):
            labels_N = np.asarray(labels)
            if labels_N.ndim == 1 and labels_N.dtype.kind in "iu":
                return labels_N.astype(np.int64)
    samples = getattr(wrapped, "_samples", None) or getattr(wrapped, "samples", None)
    if samples and isinstance(samples[0][1], int):
        return np.array([label for _, label in samples], np.int64)
    raise UserError(
        expected="a data set with one class label per image",
        found=f"torchvision's {dataset}",
        next_step=_AS_FOLDER,
    )
