"""Corrupted images on disk as conditions of a data set: our own trees, and the benchmarks as released.

The folders of corruptions may lie in folders of groups, as the downloads of ImageNet-C do
(noise/gaussian_noise/1/…). Images are used as they are: never resized or cropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nversion.core import UserError, did_you_mean, fingerprint
from nversion.data.canonical import Canonical
from nversion.data.conditions import Condition
from nversion.data.dataset import Dataset
from nversion.data.walking import is_hidden

from .arrays import arrays_in
from .folders import folders_in
from .images import StoredImages, check_size
from .layout import LABELS, WORK, read_manifest

Openers = Mapping[str, Mapping[float, Callable[[], StoredImages]]]
"""What opens the images of each corruption and severity."""


@dataclass(frozen=True)
class StoredCondition(Condition):
    """A condition whose corrupted images lie on disk; see `open_stored`.

    Attributes:
        images: the images themselves.
        row_of: the row of each sample of the data set.
        identity: what distinguishes these images from others.
    """

    _: KW_ONLY
    images: StoredImages = field(compare=False, repr=False)
    row_of: Mapping[str, int] = field(compare=False, repr=False)
    identity: str = field(repr=False)

    def description(self) -> dict[str, Any]:
        return {"corruption": self.corruption, "severity": self.severity, "stored": self.identity}

    def parameters(self, sample_ids: Sequence[str], size: tuple[int, int]) -> list[dict[str, Any]]:
        """Empty ones: nothing is drawn any more."""
        return [{} for _ in sample_ids]

    def render(self, images_N3HW: Tensor, sample_ids: Sequence[str]) -> Tensor:
        """The stored images of these samples, in the shape and on the device of the canonical ones.

        Raises:
            UserError: a stored image cannot be read, or has another size than the canonical one.
        """
        stored_NHW3 = self.images.read([self.row_of[sample_id] for sample_id in sample_ids])
        check_size(stored_NHW3.shape[1:3], images_N3HW.shape[-1], self.images.where())
        return torch.from_numpy(stored_NHW3).permute(0, 3, 1, 2).contiguous().to(images_N3HW.device)


def open_stored(
    tree: Path,
    name: str,
    dataset: Dataset,
    condition_of: str,
    canonical: Canonical,
    corruptions: Sequence[str] | None = None,
    severities: Sequence[float] | None = None,
) -> list[StoredCondition]:
    """The conditions that a tree of corrupted images holds for a data set.

    Samples are found by class folder and name, or by name alone where the data set lies in one folder;
    in arrays by row: the data set is the one that they were made from, in its order, or a part of it.

    What identifies the images in results: names and sizes of the files that are read, or the bytes of
    an array, and, of a tree that nversion wrote, its manifest.

    Args:
        tree: the folder.
        name: what the conditions are called after: "dataset/corruption-severity@name".
        dataset: whose images were corrupted.
        condition_of: the data set's name in conditions.
        canonical: of the study; stored images have its size.
        corruptions, severities: which of those that are there; None: all.

    Raises:
        UserError: no such tree, corruption or severity; an unfinished or broken tree; missing or
            ambiguous samples; labels or sizes that differ from those of the data set.
    """
    if not tree.is_dir():
        raise UserError(
            expected=f"a tree of corrupted images in {tree}",
            found="no such folder",
            next_step=f"correct `path` of [conditions.stored.{name}], or write one with: "
            "nversion corruptions apply",
        )
    manifest = read_manifest(tree)
    if (tree / WORK).exists() or (manifest is not None and not manifest["complete"]):
        raise UserError(
            expected=f"a finished tree of corrupted images in {tree}",
            found="one whose writing was interrupted or goes on",
            next_step=f"finish it: nversion corruptions apply FILE.toml --out {tree}",
        )
    if manifest is not None:
        _check_canonical(manifest, canonical, tree)
    is_array = any(path.name != LABELS and not is_hidden(path.name) for path in tree.glob("*.npy"))
    there = arrays_in(tree, dataset, manifest) if is_array else folders_in(tree, dataset)
    row_of = {sample_id: row for row, sample_id in enumerate(dataset.sample_ids)}
    seeds = _seeds(manifest)
    made = None if manifest is None else [manifest["what"], manifest["made_with"]]
    conditions = []
    for corruption, severity in _asked(there, corruptions, severities, tree):
        images = there[corruption][severity]()
        check_size(images.read([0]).shape[1:3], canonical.size, images.where())
        conditions.append(
            StoredCondition(
                condition_of,
                corruption,
                severity,
                seeds.get((corruption, severity), 0),
                name,
                images=images,
                row_of=row_of,
                identity=fingerprint([images.fingerprint(), made]),
            )
        )
    return conditions


def _check_canonical(manifest: Mapping[str, Any], canonical: Canonical, tree: Path) -> None:
    for key, value in manifest["what"]["canonical"].items():
        if key != "size" and vars(canonical)[key] != value:  # a wrong size has a sentence of its own
            raise UserError(
                expected=f"the canonical images that {tree} was made from, with {key} = {value!r}",
                found=f"{key} = {vars(canonical)[key]!r}",
                next_step="set it so under [canonical]: clean and stored images must show the same section",
            )


def _seeds(manifest: Mapping[str, Any] | None) -> dict[tuple[str, float], int]:
    made = [] if manifest is None else manifest["what"]["conditions"]
    return {(c["corruption"], c["severity"]): c["seed"] for c in made}


def _asked(
    there: Openers,
    corruptions: Sequence[str] | None,
    severities: Sequence[float] | None,
    tree: Path,
) -> Iterator[tuple[str, float]]:
    for corruption in there if corruptions is None else corruptions:
        if corruption not in there:
            raise UserError(
                expected=f"a corruption that is stored in {tree}",
                found=repr(corruption),
                next_step=did_you_mean(corruption, list(there)),
            )
        wanted = list(there[corruption]) if severities is None else [float(s) for s in severities]
        for severity in wanted:
            if severity not in there[corruption]:
                known = ", ".join(f"{s:g}" for s in there[corruption])
                raise UserError(
                    expected=f"a severity of {corruption!r} that is stored in {tree}",
                    found=f"{severity:g}",
                    next_step=f"there are: {known}",
                )
            yield corruption, severity
