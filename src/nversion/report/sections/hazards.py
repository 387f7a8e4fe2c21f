"""What could bring an ensemble down at once: shared ancestry, the worst class, what mistakes cost."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import polars as pl

from nversion.report.blocks import Block, Cell, Grid, Heading, Row, Section, Tables, Words, share_cell
from nversion.report.cards import states
from nversion.report.contenders import chosen, contenders
from nversion.report.labels import coefficient, condition_label, is_undefined, listed
from nversion.report.tables import Study

KINDS = {
    "architecture": "architecture",
    "initial_weights": "initial weights",
    "teacher": "teacher",
    "training_data": "training data",
}
FEWEST_IMAGES = 5
"""Of a class or group that is called the worst, as `study/hazards.py` has it (which imports torch)."""


def section(study: Study) -> Section | None:
    """None where neither ancestry nor hazards were recorded, or no ensemble is to be spoken of."""
    subjects = spoken_of(study)
    if not subjects:
        return None
    blocks: list[Block] = []
    if "lineage" in study.extra:
        blocks += [
            Heading("Shared ancestry"),
            Words(
                "What members have in common is an initiator of dependent failure: a flaw in it is in all of "
                "them. Only what the models' cards state is known: what a card does not state may be shared."
            ),
            Tables([lineage_table(study, subjects)]),
        ]
    tables = hazard_tables(study, subjects)
    if not tables and study.table("hazards").height:
        blocks += [
            Heading("The worst class and the worst group"),
            Words(
                "No class has so many images that it could be called the worst: that takes "
                f"{FEWEST_IMAGES} of one class."
            ),
        ]
    if tables:
        blocks += [
            Heading("The worst class and the worst group"),
            Words(
                "On average an ensemble may do well and fail together on one class. The worst of many "
                "classes is picked by the same images that it is reported on, so its rate is overstated and "
                "its interval, which is for a class named beforehand, is too narrow: it shows where to look."
            ),
            Tables(tables),
        ]
    costs = cost_table(study, subjects)
    if costs is not None:
        blocks += [Heading("What mistakes cost"), Tables([costs])]
    return Section("hazards", "Hazards", "What could fail at once", blocks) if blocks else None


def spoken_of(study: Study) -> list[tuple[str, str]]:
    """Labels and names: the chosen ensemble, those named in the study, and those of the front."""
    found = {who.ensemble: who.label for who in contenders(study) if who.ensemble is not None}
    for name in study.table("front").filter(~pl.col("is_single"))["ensemble"].unique(maintain_order=True):
        found.setdefault(name, "On the front")
    own = chosen(study)
    names = sorted(found, key=lambda name: own is None or name != own.ensemble)
    return [(found[name], name) for name in names]


def lineage_table(study: Study, subjects: list[tuple[str, str]]) -> Grid:
    """Ensembles down; what some of their members share, and which members, across."""
    shared = {
        (r["model_a"], r["model_b"], r["kind"], r["value"])
        for r in study.table("lineage").iter_rows(named=True)
    }
    rows = []
    for label, name in subjects:
        members = study.members(name)
        pairs = set(itertools.permutations(members, 2))
        own = [entry for entry in sorted(shared) if entry[:2] in pairs]
        said = []
        for kind, words in KINDS.items():
            for value in dict.fromkeys(entry[3] for entry in own if entry[2] == kind):
                having = {m for e in own if e[2:] == (kind, value) for m in e[:2]}
                who = "all" if having == set(members) else listed([m for m in members if m in having])
                said.append(f"{words} {value} ({who})")
        unshared = [kind for kind in KINDS if all(entry[2] != kind for entry in own)]
        of_none = [k for k in unshared if all(states(study, member, k) for member in members)]
        unknown = [k for k in unshared if k not in of_none]
        columns = ["; ".join(said), *(listed([KINDS[k] for k in kinds]) for kinds in (of_none, unknown))]
        cells = [Cell(text or "—") for text in columns]
        rows.append(Row(name, cells, small=label))
    return Grid(
        "Initiators of dependent failure",
        ["Shared by members", "Shared by none", "Not stated by all"],
        rows,
        corner="Ensemble",
        source="lineage",
        words=True,
    )


def hazard_tables(study: Study, subjects: list[tuple[str, str]]) -> list[Grid]:
    """One table a kind: ensembles down, conditions across; the worst one with its joint failure.

    None of a kind of which no class or group has images enough.
    """
    table = study.table("hazards").filter(pl.col("joint_failure").is_not_nan())
    grids = []
    for kind in table["kind"].unique(maintain_order=True):
        part = table.filter(kind=kind)
        found = {(r["ensemble"], r["condition"]): r for r in part.iter_rows(named=True)}
        conditions = [c for c in study.condition_names if any(key[1] == c for key in found)]
        grids.append(
            Grid(
                f"Worst {kind}: share of its images on which all members fail",
                [condition_label(study, c) for c in conditions],
                [
                    Row(name, [_hazard_cell(found.get((name, c))) for c in conditions], small=label)
                    for label, name in subjects
                    if any((name, c) in found for c in conditions)
                ],
                corner="Ensemble",
                source="hazards",
                notes=["In percent, with 95 % intervals and the number of images."],
            )
        )
    return [grid for grid in grids if grid.rows]


def _hazard_cell(row: Mapping[str, Any] | None) -> Cell:
    if row is None:
        return Cell("too few images")
    cell = share_cell(row["joint_failure"], row["low"], row["high"])
    return Cell(cell.text, cell.small, name=f"{row['name']}, n = {row['n']:,}")


def cost_table(study: Study, subjects: list[tuple[str, str]]) -> Grid | None:
    """Mean cost an image by averaging; None where the study has no cost matrix."""
    table = study.table("hazards").filter(pl.col("expected_cost").is_not_nan())
    if table.is_empty():
        return None
    found = {(r["ensemble"], r["condition"]): r["expected_cost"] for r in table.iter_rows(named=True)}
    rows = [
        Row(name, [_cost_cell(found.get((name, c))) for c in study.condition_names], small=label)
        for label, name in subjects
    ]
    return Grid(
        "Expected cost an image, by the study's cost matrix",
        [condition_label(study, c) for c in study.condition_names],
        rows,
        corner="Ensemble",
        source="hazards",
        notes=["The table holds no interval of it."],
    )


def _cost_cell(value: float | None) -> Cell:
    return Cell("not measured" if value is None or is_undefined(value) else coefficient(value, 3))
