"""Corruption errors over published sets of corruptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from nversion.report.benchmark_sets import (
    BenchmarkSet,
    benchmark_sets,
    models_and_contenders,
    percent_cell,
    values_of,
)
from nversion.report.blocks import SMALL_PRINT, Block, Cell, Grid, Heading, Row, Tables, Words, quiet, tables
from nversion.report.contenders import Contender, leaning
from nversion.report.labels import consensus_label, is_undefined, listed, plural
from nversion.report.registry import Blocks, section
from nversion.report.tables import Study
from nversion.report.undefined import defined

from .severities import severity_blocks

MOST_LISTED = 10
"""Most accurate ensembles that are listed with the contenders."""
_HEADS = {
    "mce": "mCE, %",
    "relative_mce": "Relative mCE, %",
    "mean_error": "Mean error, %",
    "partial_mce": "Mean CE, %",
    "partial_relative_mce": "Mean relative CE, %",
    "partial_mean_error": "Mean error, %",
}
_OF_CORRUPTIONS = {"ce": "Corruption error", "relative_ce": "Relative corruption error", "error": "Error"}


@section("benchmark", order=40, nav="Benchmark", title="Corruption errors and accuracy against severity")
def benchmark(study: Study) -> Blocks:
    sets = benchmark_sets(study)
    if not sets:
        return None
    blocks: list[Block] = [Words(_meaning(sets)), *(Words(_coverage(one)) for one in sets)]
    blocks += [Words(_of_baseline(study, sets)), Tables([standing(one) for one in sets])]
    if study.sizes:
        blocks += [Tables([of_ensembles(one) for one in sets]), *quiet(leaning(study))]
    by = [grid for one in sets for grid in by_corruption(one)]
    return [*blocks, Heading("By corruption"), *tables(by), *severity_blocks(study)]


def _meaning(sets: Sequence[BenchmarkSet]) -> str:
    mean = (
        "The mean error is over the levels of each corruption, then over corruptions, with equal weights, as "
        "Mintun et al. report it. Lower is better."
    )
    if not any("mce" in quantity for one in sets for quantity in one.quantities):
        return mean
    return (
        "The corruption error (CE) of Hendrycks and Dietterich is the error summed over the levels of a "
        "corruption, divided by the same sum of a baseline: below 100 % a classifier errs less than the "
        "baseline. Its mean over corruptions is called mCE where the whole set was studied. The relative CE "
        "uses the error beyond a classifier's own clean error: it measures the loss of accuracy, not "
        f"accuracy. {mean}"
    )


def _coverage(one: BenchmarkSet) -> str:
    facts = one.facts
    of_dataset = one.study.conditions.filter(dataset=one.key["dataset"])
    on = f"on {plural(int(of_dataset['n'][0]), 'image')}"
    made = f"read from disk ({one.key['stored']})" if one.key["stored"] else "made by nversion"
    if one.key["stored"] == "as_released":
        made = "made by nversion and stored as the released images were (JPEG, quality 85, 4:2:0)"
    if facts["of_corruptions"] is None:
        names = one.of_corruptions["corruption"].unique(maintain_order=True).to_list()
        these = listed([name.replace("_", " ") for name in names])
        return (
            f"{one.name}, {on}, not part of a published set at the severities studied: {these}. Compare "
            "their numbers within this study only."
        )
    if facts["complete"]:
        return (
            f"{one.name}: all {facts['of_corruptions']} corruptions at all {facts['of_levels']} levels, "
            f"{made}, {on}. Published numbers are over all released images."
        )
    many = f"{facts['corruptions']} of {facts['of_corruptions']} corruptions"
    levels = f"{facts['levels']} of {facts['of_levels']} levels"
    size = ""
    if facts["levels"] == facts["of_levels"]:
        size = ", on images of another size than the published ones"
    return (
        f"{one.name}: {many}, {levels}, {made}, {on}{size}. Do not compare these numbers with published ones "
        "of the whole set."
    )


def _of_baseline(study: Study, sets: Sequence[BenchmarkSet]) -> str:
    names = [name for one in sets for name in one.rows["baseline"].unique().to_list() if name]
    if not names:
        return (
            "No baseline is set, so there are no corruption errors. To add them, set [benchmark] "
            'baseline = "NAME" in the study file, a model of the study, or "alexnet" on ImageNet at 224 '
            "pixels, and run the study again; no model runs for it."
        )
    name = names[0]
    notes = [note for one in sets for note in one.rows["note"].unique(maintain_order=True) if note]
    said = f"The baseline is {name}, " + (
        "a model of this study: its errors are on the same images, and the intervals account for that."
        if name in study.model_names
        else "as published: its errors are taken as fixed, without their own uncertainty."
    )
    return said + (f" Left out of the means: {'; '.join(dict.fromkeys(notes))}." if notes else "")


def standing(one: BenchmarkSet) -> Grid:
    """Models and contenders, best first, each with its difference from the one above on the same images."""
    found = []
    for label, small, who in models_and_contenders(one.study):
        values = {r["quantity"]: r for r in values_of(one.rows, who).iter_rows(named=True)}
        row = values.get(one.sorted_by)
        if row is not None and not is_undefined(row["value"]):
            found.append((row["value"], label, small, who, values))
    found.sort(key=lambda entry: entry[0])
    rows, above = [], None
    differences = []
    for _, label, small, who, values in found:
        difference = Cell("—")
        if who.ensemble is not None:
            if above is not None:
                difference = one.difference(who.ensemble, above)
                differences.append(difference)
            above = who.ensemble
        cells = [percent_cell(values.get(quantity)) for quantity in one.quantities]
        rows.append(Row(label, [*cells, difference], small=small))
    apart = sum(difference.sure for difference in differences)
    return Grid(
        f"{one.name}, {one.over(one.sorted_by)}",
        [*(_HEADS[quantity] for quantity in one.quantities), "Difference from the one above, points"],
        rows,
        corner="Model or ensemble",
        source="benchmark",
        notes=[
            f"Sorted by {_HEADS[one.sorted_by].removesuffix(', %')}. {SMALL_PRINT}",
            "The last column is the difference from the nearest model or single ensemble above, on the same "
            "images; bold where its 95 % interval, for this pair alone, excludes zero. "
            f"{apart} of {plural(len(differences), 'neighbour')} differ by these intervals; the order of the "
            "others is uncertain.",
        ],
    )


def of_ensembles(one: BenchmarkSet) -> Grid:
    """The contenders that are ensembles and the best of all, each compared with its best member."""
    value = defined("value")
    measured = one.rows.filter(value.is_not_null(), quantity=one.sorted_by)
    ensembles = measured.filter(pl.col("size") > 1).sort("value", maintain_order=True)
    models = dict(measured.filter(pl.col("size") == 1).select("ensemble", "value").iter_rows())
    shown = [
        (label, small, who)
        for label, small, who in models_and_contenders(one.study)
        if who.size > 1 and who.ensemble
    ]
    known = {who.ensemble for _, _, who in shown}
    shown += [
        (name, "", Contender(name, name, size))
        for name, size in ensembles.select("ensemble", "size").head(MOST_LISTED).iter_rows()
        if name not in known
    ]
    rows = []
    for label, small, who in shown:
        values = {r["quantity"]: r for r in values_of(one.rows, who).iter_rows(named=True)}
        assert who.ensemble is not None
        best = min(one.study.members(who.ensemble), key=lambda member: models.get(member, float("inf")))
        difference = one.difference(who.ensemble, best)
        cells = [percent_cell(values.get(quantity)) for quantity in one.quantities]
        is_lowest = label == who.ensemble
        group = f"Lowest of all {plural(ensembles.height, 'ensemble')}" if is_lowest else "Shown throughout"
        rows.append(Row(label, [*cells, replace(difference, name=best)], small, group))
    return Grid(
        f"Ensembles on {one.name}, {one.over(one.sorted_by)}",
        [*(_HEADS[q] for q in one.quantities), "Difference from its best member, points"],
        rows,
        corner="Ensemble",
        source="benchmark",
        notes=[
            f"Ensembles decide by {_consensus(one)}; the best member has the lowest "
            f"{_HEADS[one.sorted_by].removesuffix(', %')}. The lowest of many ensembles is selected on these "
            "images, so its error is underestimated.",
            SMALL_PRINT,
        ],
    )


def _consensus(one: BenchmarkSet) -> str:
    return consensus_label(str(one.rows.filter(pl.col("size") > 1)["consensus"][0]))


def by_corruption(one: BenchmarkSet) -> list[Grid]:
    """A table for each quantity: models and contenders down, corruptions across."""
    columns = one.of_corruptions.select("corruption", "levels", "of_levels").unique(maintain_order=True)
    grids = []
    for quantity, name in _OF_CORRUPTIONS.items():
        rows_of = one.of_corruptions.filter(quantity=quantity)
        if rows_of["value"].is_nan().all():
            continue
        rows = []
        for label, small, who in models_and_contenders(one.study):
            found = {r["corruption"]: r for r in values_of(rows_of, who, "corruption").iter_rows(named=True)}
            rows.append(Row(label, [percent_cell(found.get(c)) for c in columns["corruption"]], small=small))
        grids.append(
            Grid(
                f"{name}, %: {one.name}",
                [
                    f"{corruption.replace('_', ' ')}, {levels}"
                    + (f" of {of_levels} levels" if of_levels is not None else " severities")
                    for corruption, levels, of_levels in columns.iter_rows()
                ],
                rows,
                corner="Model or ensemble",
                source="benchmark_corruptions",
                notes=[SMALL_PRINT],
            )
        )
    return grids
