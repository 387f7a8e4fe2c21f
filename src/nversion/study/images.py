"""The images that a study file asks for: its data sets, their canonical form, and their conditions."""

from __future__ import annotations

from pathlib import Path

from nversion.corruptions import create, united
from nversion.data import Canonical, Condition, Dataset, Tree, open_dataset

from .spec import ImagesSpec


def open_datasets(spec: ImagesSpec, base: Path) -> dict[str, Dataset]:
    """Every data set by the name that the file gives it; relative paths start from `base`."""
    return {
        name: open_dataset({"name": name, **{k: v for k, v in table.items() if k != "terms"}}, base)
        for name, table in spec.data.items()
    }


def canonical_of(spec: ImagesSpec) -> Canonical:
    """How images become canonical."""
    return Canonical(**spec.canonical.model_dump())


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
    return [
        Condition(dataset, corruption, severity, asked.seed)
        for corruption, severities in strengths.items()
        for severity in severities
    ]


def trees_of(spec: ImagesSpec, base: Path, out: Path, layout: str, quality: int) -> list[Tree]:
    """The trees that hold every data set under its corruptions: `out`, or a folder in it for each of several.

    Clean images and stored ones are left out: they are on disk already.
    """
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
