"""Causes of joint failure: shared lineage, the worst class or group, and the expected cost of errors."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from nversion.report.blocks import Block, Cell, Grid, Heading, Row, Tables, Words, by_condition, share_cell
from nversion.report.cards import states
from nversion.report.contenders import chosen, contenders
from nversion.report.frames import conditions_in, keyed
from nversion.report.labels import coefficient, listed
from nversion.report.registry import Blocks, section
from nversion.report.tables import Study

KINDS = {
    "architecture": "architecture",
    "initial_weights": "initial weights",
    "teacher": "teacher",
    "training_data": "training data",
}
FEWEST_IMAGES = 5
"""Images of a class or group that can be called the worst; as in the hazards table."""


@section("hazards", order=170, nav="Hazards", title="Hazards: causes of joint failure")
def hazards(study: Study) -> Blocks:
    subjects = shown_ensembles(study)
    if not subjects:
        return None
    blocks: list[Block] = []
    if "lineage" in study.tables:
        blocks += [
            Heading("Shared lineage"),
            Words(
                "What members have in common can cause dependent failure: a flaw in it is in all of "
                "them. Only what the models' cards state is known: what a card does not state may be shared."
            ),
            Tables([lineage_table(study, subjects)]),
        ]
    if not (table := study.table("hazards")).is_empty():
        grids = hazard_tables(study, subjects)
        blocks.append(Heading("The worst class and the worst group"))
        blocks += (
            [
                Words(
                    "An ensemble that is accurate on average may fail jointly on one class. The worst of "
                    "many classes is selected on the same images, so its rate is overestimated and its "
                    "interval, which is for a class named beforehand, is too narrow."
                ),
                Tables(grids),
            ]
            if grids
            else [
                Words(
                    f"No class has enough images to be called the worst: at least {FEWEST_IMAGES} are needed."
                )
            ]
        )
        if (costs := cost_table(study, table, subjects)) is not None:
            blocks += [Heading("Expected cost of errors"), Tables([costs])]
    return blocks


def shown_ensembles(study: Study) -> list[tuple[str, str]]:
    """Labels and names: the chosen ensemble, those named in the study, and those of the front."""
    found = {who.ensemble: who.label for who in contenders(study) if who.ensemble is not None}
    front = study.table("front")
    for name in (
        [] if front.is_empty() else front.filter(~pl.col("is_single"))["ensemble"].unique(maintain_order=True)
    ):
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
        rows.append(Row(name, [Cell(text or "—") for text in columns], small=label))
    return Grid(
        "Shared architecture, weights, teacher and data",
        ["Shared by members", "Shared by none", "Not stated by all"],
        rows,
        corner="Ensemble",
        source="lineage",
        style="words",
    )


def hazard_tables(study: Study, subjects: list[tuple[str, str]]) -> list[Grid]:
    """One table a kind: ensembles down, conditions across; the worst one with its joint failure.

    None of a kind of which no class or group has enough images.
    """
    table = study.table("hazards", pl.col("joint_failure").is_not_nan())
    return [
        by_condition(
            study,
            f"Worst {kind}: share of its images on which all members fail",
            rows,
            _hazard_cell,
            conditions_in(study, part),
            corner="Ensemble",
            source="hazards",
            notes=["In percent, with 95 % intervals and the number of images."],
        )
        for (kind,), part in table.group_by("kind", maintain_order=True)
        if (rows := _rows(part, subjects))
    ]


def _rows(
    part: pl.DataFrame, subjects: list[tuple[str, str]]
) -> list[tuple[str, str, str, dict[str, dict[str, Any]]]]:
    """Ensembles that have rows, with their labels below, and the rows by condition."""
    found = [(name, label, "", keyed(part.filter(ensemble=name), "condition")) for label, name in subjects]
    return [row for row in found if row[3]]


def _hazard_cell(row: Mapping[str, Any]) -> Cell:
    cell = share_cell(row["joint_failure"], row["low"], row["high"])
    return replace(cell, name=f"{row['name']}, n = {row['n']:,}")


def cost_table(study: Study, table: pl.DataFrame, subjects: list[tuple[str, str]]) -> Grid | None:
    """Mean cost an image by averaging; None where the study has no cost matrix."""
    rows = _rows(table.filter(pl.col("expected_cost").is_not_nan()), subjects)
    if not rows:
        return None

    def cell(row: Mapping[str, Any]) -> Cell:
        return Cell(coefficient(row["expected_cost"], 3))

    caption = "Expected cost an image, by the study's cost matrix"
    options = {"corner": "Ensemble", "source": "hazards", "notes": ["Without intervals."]}
    return by_condition(study, caption, rows, cell, **options)
