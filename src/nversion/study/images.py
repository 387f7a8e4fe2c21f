"""The images that a study file asks for: its data sets, their canonical form, and their conditions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from nversion.core import UserError, did_you_mean
from nversion.core.reporter import Reporter
from nversion.core.settings import resolve
from nversion.corruptions import create, united
from nversion.data import (
    Canonical,
    Condition,
    Dataset,
    ReleasedCondition,
    Tree,
    has_codec,
    open_dataset,
    open_stored,
)
from nversion.data.released import CODEC
from nversion.data.trees import MANIFEST
from nversion.severity_search import SearchTable, read_severities

from .spec import ImagesSpec

Images = TypeVar("Images", bound=ImagesSpec)


def open_datasets(spec: ImagesSpec, base: Path) -> dict[str, Dataset]:
    """Every data set by the name that the file gives it; relative paths start from `base`."""
    return {
        name: open_dataset({"name": name, **{k: v for k, v in table.items() if k != "terms"}}, base)
        for name, table in spec.data.items()
    }


def say_hidden(datasets: Iterable[Dataset], reporter: Reporter) -> None:
    """Tell of which data sets hidden files were left out, and how many."""
    for dataset in datasets:
        if dataset.hidden:
            files = "file" if dataset.hidden == 1 else "files"
            reporter.say(
                f"Left out of {dataset.name}: {dataset.hidden:,} hidden {files} "
                "(.ipynb_checkpoints, ._name, __MACOSX and the like)"
            )


def canonical_of(spec: ImagesSpec) -> Canonical:
    """How images become canonical."""
    return Canonical(**spec.canonical.model_dump())


def with_found_severities(spec: Images, base: Path) -> Images:
    """The spec with the severities of its file of severities among its corruptions, after its own.

    Raises:
        UserError: there is no such file, it holds something else, or its severities were found on other
            canonical images.
    """
    asked = spec.conditions
    if asked.severities is None:
        return spec
    path = resolve(Path(asked.severities), base)
    found = read_severities(path)
    facts = found.search
    if facts is not None and facts.canonical != spec.canonical:
        raise UserError(
            expected=f"severities found on images of {_of_canonical(spec)}",
            found=f"{_of_canonical(facts)} in {path}",
            next_step="search again with this file's [canonical]",
        )
    if not any(found.corruptions.values()):
        raise UserError(
            expected=f"a severity under [corruptions] in {path}",
            found="none",
            next_step="search for a smaller drop: its [[found]] has the largest of each corruption",
        )
    corruptions = {name: list(severities) for name, severities in asked.corruptions.items()}
    for name, severities in found.corruptions.items():
        held = corruptions.setdefault(name, [])
        held += [severity for severity in severities if severity not in held]
    return spec.model_copy(update={"conditions": asked.model_copy(update={"corruptions": corruptions})})


def _of_canonical(holder: ImagesSpec | SearchTable) -> str:
    one = holder.canonical
    return f"{one.size} pixels ({one.mode}, resize {one.resize or 'as it is'}, {one.interpolation})"


def corrupted_conditions(spec: ImagesSpec, dataset: str) -> list[Condition]:
    """The conditions that are corrupted as they are needed: of the published sets, then the file's own.

    Raises:
        UserError: an unknown set or corruption, or a severity out of range.
    """
    asked = spec.conditions
    strengths = united(asked.sets, asked.corruptions, spec.canonical.size)
    for corruption, severities in strengths.items():
        for severity in severities:
            create(corruption, severity)
    side, as_released = spec.canonical.size, asked.as_released
    return [
        (ReleasedCondition if as_released and has_codec(corruption, side) else Condition)(
            dataset, corruption, severity, asked.seed
        )
        for corruption, severities in strengths.items()
        for severity in severities
    ]


def say_released(spec: ImagesSpec, conditions: Iterable[Condition], reporter: Reporter) -> None:
    """Tell what `as_released` changes, or that it changes nothing."""
    corrupted = [condition for condition in conditions if condition.corruption is not None]
    if not spec.conditions.as_released or not corrupted:
        return
    released = sum(isinstance(condition, ReleasedCondition) for condition in corrupted)
    if released:
        reporter.say(
            f"As released: {released:,} of {len(corrupted):,} corrupted conditions go through JPEG of "
            "quality 85, 4:2:0, as the images of ImageNet-C did"
        )
    else:
        reporter.say(
            "as_released changes nothing here: only ImageNet-C and ImageNet-C̄ were released as JPEG, "
            "CIFAR-10-C as arrays"
        )


def stored_conditions(spec: ImagesSpec, datasets: Mapping[str, Dataset], base: Path) -> list[Condition]:
    """The conditions whose images lie on disk; trees start from `base`.

    A tree belongs to the data set that its table names, to the only one, or, where it holds a folder
    for each data set, to all.

    Raises:
        UserError: it is unclear whose images a tree holds, or they cannot be used; see `open_stored`.
    """
    found: list[Condition] = []
    for name, table in spec.conditions.stored.items():
        tree = resolve(Path(table.path), base)
        if table.data is not None and table.data not in datasets:
            raise UserError(
                expected=f"a data set of the study as `data` of [conditions.stored.{name}]",
                found=repr(table.data),
                next_step=did_you_mean(table.data, list(datasets)),
            )
        for dataset in datasets if table.data is None else [table.data]:
            inner = tree / dataset
            is_inner = (inner / MANIFEST).is_file()
            if len(datasets) > 1 and table.data is None and not is_inner:
                raise UserError(
                    expected=f"the data set whose images {tree} holds",
                    found=f"none named, and no tree in {inner}",
                    next_step=f'add `data = "{dataset}"` under [conditions.stored.{name}]',
                )
            found += open_stored(
                inner if is_inner else tree,
                name,
                datasets[dataset],
                dataset,
                canonical_of(spec),
                table.corruptions,
                table.severities,
            )
    return found


def trees_of(spec: ImagesSpec, base: Path, out: Path, layout: str, quality: int) -> list[Tree]:
    """The trees that hold every data set under its corruptions: `out`, or a folder in it for each of several.

    Clean images and stored ones are left out: they are on disk already.
    """
    spec = with_found_severities(spec, base)
    if layout == "imagenet-c" and spec.conditions.as_released:
        if quality != CODEC["quality"]:
            raise UserError(
                expected=f"JPEG of quality {CODEC['quality']} for images as released",
                found=f"quality {quality}",
                next_step="leave --quality out",
            )
        # The files are that JPEG: a round trip before it would be a second one.
        spec = spec.model_copy(
            update={"conditions": spec.conditions.model_copy(update={"as_released": False})}
        )
    corrupted = {name: corrupted_conditions(spec, name) for name in spec.data}
    return [
        Tree(
            out if len(corrupted) == 1 else out / name,
            dataset,
            canonical_of(spec),
            tuple(corrupted[name]),
            layout,
            quality,
        )
        for name, dataset in open_datasets(spec, base).items()
    ]
