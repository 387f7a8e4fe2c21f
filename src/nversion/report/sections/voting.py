"""What use the members' disagreement is: voters that stop, and answers that are not taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nversion.report.blocks import (
    Block,
    Cell,
    Drawing,
    Grid,
    Heading,
    Row,
    Section,
    Tables,
    Words,
    share_cell,
)
from nversion.report.contenders import Contender, absent, contenders, leaning, of
from nversion.report.figures.voting import OUTCOMES, voter_label
from nversion.report.frames import wilson
from nversion.report.labels import condition_label
from nversion.report.tables import Study


def section(study: Study) -> Section | None:
    """None where neither votes nor agreement were counted."""
    if study.default_size is None:
        return None
    blocks: list[Block] = []
    if not study.table("votes").is_empty():
        blocks += [
            Words(
                "For a system that can stop safely an answer that is withheld costs availability, and a "
                "wrong answer that the voter lets pass costs safety. Diversity is of use where it turns the "
                "second into the first."
            ),
            Drawing("voter_outcomes"),
            Tables(vote_tables(study), "Of: "),
        ]
    if not study.table("agreement").is_empty():
        blocks += [
            Heading("Risk by the number of members that agree"),
            Drawing("risk_coverage"),
            Tables(coverage_tables(study), "Of: "),
        ]
    if not study.table("rival").is_empty():
        blocks += [Heading("Or one model that stops when it is not sure"), Drawing("confidence_rival")]
    if not blocks:
        return None
    blocks += [Words(text, quiet=True) for text in (leaning(study), absent(study)) if text]
    return Section("voting", "Voting", "Right, stopped, or silently wrong", blocks)


def _caption(who: Contender) -> str:
    return who.label if who.ensemble is None else f"{who.label}: {who.ensemble}"


def _note(who: Contender) -> str:
    if who.ensemble is None:
        return "In percent; in italics, where 5 to 95 % of the ensembles lie, which is no interval."
    return "In percent, with 95 % intervals."


def vote_tables(study: Study) -> list[Grid]:
    """One table a contender: conditions down; each voter's three outcomes across."""
    table = study.table("votes")
    grids = []
    for who in contenders(study):
        columns = [*OUTCOMES, "silent_wrong_low", "silent_wrong_high", "n"]
        found = of(table, who, ["condition", "voter"], columns)
        measured = {(r["condition"], r["voter"]): r for r in found.iter_rows(named=True)}
        voters = found["voter"].unique(maintain_order=True).to_list()
        if who.size == 2 and "majority" in voters:  # two members that agree are all of them
            voters = ["majority"]
        if not voters:
            continue
        names = [voter_label(voter, who.size) for voter in voters]
        grids.append(
            Grid(
                _caption(who),
                [f"{name}: {what}" for name in names for what in ("right", "safe stop", "silently wrong")],
                [
                    Row(
                        condition_label(study, c),
                        [cell for voter in voters for cell in _vote_cells(measured.get((c, voter)), who)],
                    )
                    for c in study.condition_names
                ],
                corner="Condition",
                source="votes",
                notes=[_note(who)],
            )
        )
    return grids


def _vote_cells(row: Mapping[str, Any] | None, who: Contender) -> list[Cell]:
    if row is None:
        return [Cell("not measured")] * len(OUTCOMES)
    cells = []
    for outcome in OUTCOMES:
        if who.ensemble is None:
            low, high = row[f"{outcome}_p05"], row[f"{outcome}_p95"]
        elif outcome == "silent_wrong":
            low, high = row["silent_wrong_low"], row["silent_wrong_high"]
        else:
            low, high = wilson(row[outcome], row["n"])
        cells.append(share_cell(row[outcome], low, high, spread=who.ensemble is None))
    return cells


def coverage_tables(study: Study) -> list[Grid]:
    """One table a contender: conditions down; coverage and risk for each number of agreeing members."""
    table = study.table("agreement")
    grids = []
    for who in contenders(study):
        found = of(table, who, ["condition", "agreeing"], ["coverage", "risk", "risk_low", "risk_high", "n"])
        measured = {(r["condition"], r["agreeing"]): r for r in found.iter_rows(named=True)}
        numbers = sorted(found["agreeing"].unique())
        if not numbers:
            continue
        columns = [f"{k} or more agree: {what}" for k in numbers for what in ("coverage", "risk")]
        cells = {
            c: [cell for k in numbers for cell in _coverage_cells(measured.get((c, k)), who)]
            for c in study.condition_names
        }
        skipped = int(numbers[0] == 1)  # an answer agrees with itself: that coverage is 100 % by construction
        grids.append(
            Grid(
                _caption(who),
                columns[skipped:],
                [Row(condition_label(study, c), cells[c][skipped:]) for c in study.condition_names],
                corner="Condition",
                source="agreement",
                notes=[_note(who) + " Risk is the error among the images that are answered."],
            )
        )
    return grids


def _coverage_cells(row: Mapping[str, Any] | None, who: Contender) -> list[Cell]:
    if row is None:
        return [Cell("not measured")] * 2
    if who.ensemble is None:
        return [
            share_cell(row[column], row[f"{column}_p05"], row[f"{column}_p95"], spread=True)
            for column in ("coverage", "risk")
        ]
    return [
        share_cell(row["coverage"], *wilson(row["coverage"], row["n"])),
        share_cell(row["risk"], row["risk_low"], row["risk_high"]),
    ]
