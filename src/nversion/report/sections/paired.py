"""How many ensembles beat their best member once all comparisons are accounted for."""

from __future__ import annotations

from nversion.report.blocks import Cell, Grid, Row
from nversion.report.frames import compared
from nversion.report.labels import condition_label, consensus_label
from nversion.report.tables import Study


def comparison_table(study: Study) -> Grid | None:
    """Conditions down, sizes and rules across: ensembles shown to be better, and worse; None without any."""
    table = compared(study)
    if table.is_empty():
        return None
    found = {(r["size"], r["consensus"], r["condition"]): r for r in table.iter_rows(named=True)}
    columns = [
        (size, rule)
        for size in study.sizes
        for rule in study.rules(size)
        if any(key[:2] == (size, rule) for key in found)
    ]
    several = len(study.sizes) > 1
    rows = [
        Row(condition_label(study, c), [_cell(found.get((*column, c))) for column in columns])
        for c in study.condition_names
    ]
    return Grid(
        "Ensembles shown to be better than their best member, out of all",
        [consensus_label(rule) + (f", {size} members" if several else "") for size, rule in columns],
        rows,
        corner="Condition",
        source="comparisons",
        notes=[
            "The interval of the difference on the same images, made wide enough that all comparisons of one "
            "size, rule and condition hold together with 95 %, excludes zero. Small: those shown to be "
            "worse, and those that McNemar's exact test with Holm's correction shows to differ at 5 %."
        ],
    )


def _cell(row: dict[str, int] | None) -> Cell:
    if row is None:
        return Cell("not measured")
    return Cell(f"{row['better']:,} of {row['num']:,}", f"{row['worse']:,} worse; McNemar {row['tested']:,}")
