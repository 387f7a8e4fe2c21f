"""The design-diversity model (Figure 3, section 3.1): does mixing methodologies buy less common failure?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

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
    coefficient_cell,
    left_out,
    points_cell,
    share_cell,
)
from nversion.report.common_failure import (
    GROUPINGS,
    groupings,
    methodology_rows,
    paragraph,
    prediction_rows,
)
from nversion.report.contenders import Contender, absent, contenders, leaning, of
from nversion.report.figures.methodologies import SYSTEMS
from nversion.report.footnotes import footnotes
from nversion.report.frames import wilson
from nversion.report.labels import condition_label, is_undefined, listed, plural, points, points_interval
from nversion.report.tables import Study
from nversion.report.undefined import defined, number

NOT_IDENTIFIED = "not identified"
PROPERTIES = {
    "logically_unrelated": "Logically unrelated",
    "different_factors": "Different factors",
    "indifference": "Indifference",
}
SUBSETS = {"all": "all", "without_suspects": "without suspects"}
_JOINT = (
    ("all_fail", "All members fail", 2),
    ("all_fail_independent", "… if independent", 2),
    ("majority_fail", "A majority fails", 1),
    ("majority_fail_independent", "… if independent", 1),
    ("vote_fail", "Plurality vote fails", 1),
    ("identical_wrong", "Half or more name one wrong class", 1),
)


def section(study: Study) -> Section | None:
    """None where neither methodologies nor joint failures were measured."""
    blocks: list[Block] = []
    if groupings(study):
        blocks.append(
            Words(
                "The difficulty of an image for a methodology is the probability that a model made that way "
                "fails on it. Two models fail together more often than chance where their difficulties vary "
                "together (Eckhardt and Lee: two of one methodology; Littlewood and Miller: one of each). By "
                "this model two of a mixture never do worse than the average of two of either alone, so the "
                "question is whether they do better than two of the better one."
            )
        )
        blocks += [Words(paragraph(study, grouping)) for grouping in groupings(study)]
        grids = methodology_tables(study)
        blocks += [Drawing("covariances"), *([Tables(grids)] if grids else []), *_of_one_model(study)]
        properties = property_tables(study)
        if not study.table("properties").is_empty():
            blocks += [
                Heading("The three properties that the model asks for"),
                Words(
                    "Methodologies make for less common failure if the choices behind them are logically "
                    "unrelated, if what makes them fail together are different factors, and if none is "
                    "superior (indifference)."
                ),
                *([Tables(properties)] if properties else []),
                *_undecided(study),
            ]
    if not study.table("predicted_failures").is_empty() and study.default_size:
        blocks += [
            Heading("Can common failures be foretold?"),
            Words(
                "The failure rate of an ensemble, predicted from one half of the images or from other models "
                "of the same methodologies, against what was observed; and what one would expect if members "
                "failed independently of each other. From other models means on the same images: over all "
                "ensembles of a pool these errors cancel by symmetry, so their spread counts, not their mean."
            ),
            Drawing("predicted_failures"),
            *([Tables(predicted)] if (predicted := prediction_tables(study)) else []),
            *_not_predicted(study),
        ]
    if not study.table("joint_failures").is_empty() and study.default_size:
        blocks += [
            Heading("Joint failures, with and without suspected label errors"),
            Words(
                "An image with a wrong label looks like a common failure of all models. Every number stands "
                "twice: over all images, and without those that nearly all models miss. The truth lies "
                "between: some of these are only hard, and leaving out what nearly all models miss "
                "lowers every number here by construction."
            ),
            *(Words(text, quiet=True) for text in (leaning(study), absent(study)) if text),
            Tables(joint_tables(study), "Of: "),
            Drawing("beta"),
        ]
    return Section("common-failure", "Common failure", "Failing together", blocks) if blocks else None


def methodology_tables(study: Study) -> list[Grid]:
    """One table a grouping and condition: pairs of methodologies down, the model's quantities across.

    Without methodologies of one model: how two of them fail together is not identified.
    """
    grids = []
    for grouping in groupings(study):
        for condition in study.condition_names:
            both = {subset: methodology_rows(study, grouping, condition, subset) for subset in SUBSETS}
            several = [key[:2] for key, row in both["all"].items() if min(row["m_a"], row["m_b"]) > 1]
            pairs = list(dict.fromkeys(several))
            if not pairs:
                continue
            has_other = bool(both["without_suspects"])
            grids.append(
                Grid(
                    f"{condition_label(study, condition)}, by {GROUPINGS.get(grouping, grouping)}",
                    [
                        "Models",
                        "Fail together, %",
                        "If independent, %",
                        "Covariance, points",
                        *(["… without suspects"] * has_other),
                        "Correlation of difficulty",
                    ],
                    [_methodology_row(a, b, both, has_other) for a, b in pairs],
                    corner="Methodologies",
                    source="methodologies",
                    notes=[
                        "Bold: the 95 % interval excludes zero.",
                        *footnotes(row["note"] for key, row in both["all"].items() if key[:2] in set(pairs)),
                    ],
                )
            )
    return grids


def _of_one_model(study: Study) -> list[Block]:
    """How many pairs the tables leave out because a methodology has one model."""
    rows = study.table("methodologies").filter(pl.min_horizontal("m_a", "m_b") == 1)
    keys = ["grouping", "methodology_a", "methodology_b"]
    all_pairs, single = (frame.select(keys).unique().height for frame in (study.table("methodologies"), rows))
    if not single:
        return []
    text = (
        f"{single:,} of {plural(all_pairs, 'row')} a condition are left out: a methodology in them has one "
        "model, so how two models made that way fail together is not identified."
    )
    return [left_out(text, "methodologies-of-one-model", rows)]


def _methodology_row(a: str, b: str, both: Mapping[str, Mapping[Any, Any]], has_other: bool) -> Row:
    rows = {
        name: {k[2]: r for k, r in of_subset.items() if k[:2] == (a, b)} for name, of_subset in both.items()
    }
    own = rows["all"]
    first = next(iter(own.values()))
    number = f"{first['m_a']:,}" if a == b else f"{first['m_a']:,} and {first['m_b']:,}"
    cells = [Cell(number)]
    cells += [
        _identified(own.get(q), lambda r: share_cell(r["value"], r["low"], r["high"]))
        for q in ("joint_failure", "independent")
    ]
    subsets = list(SUBSETS)[: 1 + has_other]
    cells += [
        _identified(rows[s].get("covariance"), lambda r: points_cell(r["value"], r["low"], r["high"]))
        for s in subsets
    ]
    cells.append(
        _identified(own.get("correlation"), lambda r: coefficient_cell(r["value"], r["low"], r["high"]))
    )
    return Row(f"two of {a}" if a == b else f"{a} and {b}", cells)


def _identified(row: Mapping[str, Any] | None, cell: Any) -> Cell:
    if row is None:  # not asked: a methodology's correlation with itself
        return Cell("—")
    if is_undefined(row["value"]):
        return Cell(NOT_IDENTIFIED, note=row["note"] or "")
    found: Cell = cell(row)
    return found


def property_tables(study: Study) -> list[Grid]:
    """One table a condition: pairs of methodologies down, in groups; the three properties across.

    Only rows in which a property is decided: `_undecided` says how many are not, and why. Whether choices
    are logically unrelated is asked of two choices, not of two methodologies.
    """
    table = study.table("properties")
    grids = []
    for condition in study.condition_names:
        part = table.filter(condition=condition)
        if part.is_empty():
            continue
        rows = {
            (r["grouping"], r["methodology_a"], r["methodology_b"], r["property"]): r
            for r in part.iter_rows(named=True)
        }
        decided = dict.fromkeys(key[:3] for key, row in rows.items() if row["holds"] is not None)
        if not decided:
            continue
        margins = {r["property"]: r["margin"] for r in rows.values() if not is_undefined(r["margin"])}
        said = [_MARGINS[kind].format(m, 100 * m) for kind, m in margins.items() if kind in _MARGINS]
        grids.append(
            Grid(
                condition_label(study, condition),
                list(PROPERTIES.values()),
                [
                    Row(
                        f"{GROUPINGS.get(a, a)} and {GROUPINGS.get(b, b)}",
                        [_property_cell(rows.get((grouping, a, b, kind))) for kind in PROPERTIES],
                        group=f"By {GROUPINGS.get(grouping, grouping)}",
                    )
                    for grouping, a, b in decided
                ],
                corner="Methodologies",
                source="properties",
                notes=["What is asked of the whole interval:", *said] * bool(said)
                + footnotes(row["note"] for key, row in rows.items() if key[:3] in decided),
            )
        )
    return grids


def _undecided(study: Study) -> list[Block]:
    """How many checks decide nothing, and why, in one sentence."""
    table = study.table("properties")
    rows = table.filter(pl.col("holds").is_null())
    if rows.is_empty():
        return []
    unknown = rows.filter(pl.col("value").is_nan() | pl.col("low").is_nan()).height
    over = rows.filter(pl.col("note").str.contains("undecided: the interval reaches over the margin")).height
    why = [
        f"in {n:,} {words}"
        for n, words in (
            (unknown, "the number or its interval is not identified"),
            (over, "the interval reaches over the margin"),
            (rows.height - unknown - over, "a methodology has fewer than 3 models to speak for others"),
        )
        if n
    ]
    text = (
        f"Of {plural(table.height, 'check')} of a property, of a pair or crossing under a condition, "
        f"{rows.height:,} decide nothing, which is no “no”: {listed(why)}."
    )
    return [left_out(text, "undecided-properties", rows)]


_MARGINS = {
    "indifference": "Indifference: the difference of mean failure lies within ± {1:.1f} points.",
    "different_factors": "Different factors: the correlation of difficulty lies below {0:.2f}.",
    "logically_unrelated": "Logically unrelated: the two choices interact by less than {1:.1f} points.",
}


def _property_cell(row: Mapping[str, Any] | None) -> Cell:
    if row is None:
        return Cell("—")
    holds = row["holds"]
    note = row["note"] or ""
    if is_undefined(row["value"]):
        return Cell(NOT_IDENTIFIED, note=note)
    undecided = "undecided" if not is_undefined(row["low"]) else NOT_IDENTIFIED
    text = undecided if holds is None else "yes" if holds else "no"
    in_points = row["property"] != "different_factors"
    cell = (points_cell if in_points else coefficient_cell)(row["value"], row["low"], row["high"])
    unit = " points" if in_points else ""
    return Cell(text, f"{cell.text}{unit} {cell.small}", note=note)


def prediction_tables(study: Study) -> list[Grid]:
    """One table a system and source: conditions down, mean failure rates and errors over ensembles across."""
    table = prediction_rows(study)
    grids = []
    for (system, source), part in table.group_by("system", "source", maintain_order=True):
        rows = []
        for condition in study.condition_names:
            own = part.filter(condition=condition)
            if own.is_empty():
                continue
            known = own.filter(pl.col("predicted").is_not_nan(), pl.col("observed").is_not_nan())
            number = Cell(f"{known.height:,} of {own.height:,}")
            label = condition_label(study, condition)
            if known.is_empty():
                rows.append(Row(label, [number, *[Cell(NOT_IDENTIFIED)] * 5]))
                continue
            rows.append(
                Row(
                    label,
                    [
                        number,
                        _spread_cell(known["observed"]),
                        *(
                            cell
                            for column in ("predicted", "independent")
                            for cell in (_error_cell(known, column), _held_cell(known, column))
                        ),
                    ],
                )
            )
        if all(row.cells[1].text == NOT_IDENTIFIED for row in rows):
            continue
        notes = list(dict.fromkeys(note for note in part["note"] if note))
        grids.append(
            Grid(
                f"{SYSTEMS.get(str(system), str(system))}, predicted from {source}",
                [
                    "Ensembles",
                    "Observed, %",
                    "Error of the prediction, points",
                    "… within the observed interval",
                    "Error of independence, points",
                    "… within the observed interval",
                ],
                rows,
                corner="Condition",
                source="predicted_failures",
                notes=[
                    "Means over ensembles with 5 to 95 % of them below; an error is predicted less observed.",
                    *(f"Noted in the table: {note}." for note in notes[:3]),
                ],
            )
        )
    return grids


def _not_predicted(study: Study) -> list[Block]:
    """From what no ensemble could be predicted at all."""
    known = pl.col("predicted").is_not_nan() & pl.col("observed").is_not_nan()
    sources = prediction_rows(study).group_by("source", maintain_order=True).agg(known.any().alias("any"))
    none = sources.filter(~pl.col("any"))["source"].to_list()
    if not none:
        return []
    needs = "that takes as many further models of each member’s methodology as an ensemble has of them"
    return [Words(f"From {listed(none, 'or')} no ensemble could be predicted: {needs}.", quiet=True)]


def _spread_cell(values: pl.Series) -> Cell:
    low, high = values.quantile(0.05), values.quantile(0.95)
    mean = values.mean()
    return share_cell(mean if isinstance(mean, float) else None, low, high)


def _error_cell(rows: pl.DataFrame, column: str) -> Cell:
    errors = (rows[column] - rows["observed"]).fill_nan(None)
    mean = errors.mean()
    span = points_interval(errors.quantile(0.05), errors.quantile(0.95))
    return Cell(points(mean if isinstance(mean, float) else None), span)


def _held_cell(rows: pl.DataFrame, column: str) -> Cell:
    value, low, high = (defined(c) for c in (column, "observed_low", "observed_high"))
    known, held = rows.select(
        number(value.is_not_null() & low.is_not_null() & high.is_not_null()).alias("known"),
        number((value >= low) & (value <= high)).alias("held"),
    ).row(0)
    return Cell(f"{100 * held / known:.0f} %" if known else NOT_IDENTIFIED)


def joint_tables(study: Study) -> list[Grid]:
    """One table a contender: conditions down, each with and without suspected label errors."""
    table = study.table("joint_failures")
    values = [column for column, *_ in _JOINT]
    grids = []
    for who in contenders(study):
        found = of(table, who, ["condition", "subset"], [*values, "all_fail_low", "all_fail_high", "n"])
        measured = {(r["condition"], r["subset"]): r for r in found.iter_rows(named=True)}
        rows = [
            Row(words, _joint_cells(row, who), group=condition_label(study, condition))
            for condition in study.condition_names
            for subset, words in SUBSETS.items()
            if (row := measured.get((condition, subset))) is not None
        ]
        if rows:
            grids.append(
                Grid(
                    who.label if who.ensemble is None else f"{who.label}: {who.ensemble}",
                    ["Images", *(words for _, words, _ in _JOINT)],
                    rows,
                    corner="Condition",
                    source="joint_failures",
                    notes=[
                        "In percent of the images; in italics, where 5 to 95 % of the ensembles lie, which "
                        "is no interval."
                        if who.ensemble is None
                        else "In percent of the images, with 95 % intervals; none is known for what "
                        "independence would give, which is computed from the members' own failure rates."
                    ],
                )
            )
    return grids


def _joint_cells(row: Mapping[str, Any], who: Contender) -> list[Cell]:
    cells = [Cell(f"{row['n']:,.0f}")]
    for column, _, digits in _JOINT:
        if who.ensemble is None:
            low, high = row[f"{column}_p05"], row[f"{column}_p95"]
        elif column == "all_fail":
            low, high = row["all_fail_low"], row["all_fail_high"]
        elif column.endswith("_independent"):
            low = high = float("nan")
        else:
            low, high = wilson(row[column], row["n"])
        cells.append(share_cell(row[column], low, high, digits, spread=who.ensemble is None))
    return cells
