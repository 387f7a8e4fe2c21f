"""The design-diversity model (Figure 3, section 3.1): common failures of methodologies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from nversion.report.blocks import (
    Block,
    Cell,
    Drawing,
    Grid,
    Heading,
    Row,
    Words,
    coefficient_cell,
    left_out,
    points_cell,
    share_cell,
    tables,
)
from nversion.report.charts import INK, ROWS, select, tips
from nversion.report.common_failure import GROUPINGS, groupings, methodology_rows, paragraph
from nversion.report.figure import Figure
from nversion.report.footnotes import footnotes
from nversion.report.frames import conditions_in, with_labels
from nversion.report.labels import condition_label, is_undefined, listed, plural
from nversion.report.registry import figure
from nversion.report.tables import Study

NOT_IDENTIFIED = "not identified"
PROPERTIES = {
    "logically_unrelated": "Logically unrelated",
    "different_factors": "Different factors",
    "indifference": "Indifference",
}
SUBSETS = {"all": "all", "without_suspects": "without suspects"}
_MARGINS = {
    "indifference": "Indifference: the difference of mean failure lies within ± {1:.1f} points.",
    "different_factors": "Different factors: the correlation of difficulty lies below {0:.2f}.",
    "logically_unrelated": "Logically unrelated: the two choices interact by less than {1:.1f} points.",
}


def methodology_blocks(study: Study) -> list[Block]:
    """Verdicts, covariances and the three properties; no blocks where there are no methodologies."""
    if not groupings(study):
        return []
    blocks: list[Block] = [
        Words(
            "The difficulty of an image for a methodology is the probability that a model of it fails on the "
            "image. Two models fail together more often than chance where their difficulties covary "
            "(Eckhardt and Lee: two of one methodology; Littlewood and Miller: one of each). By this model "
            "two models of a mixture never do worse than the average of two of either alone, so the question "
            "is whether they do better than two of the better one."
        ),
        *(Words(paragraph(study, grouping)) for grouping in groupings(study)),
        Drawing("covariances"),
        *tables(methodology_tables(study)),
        *_of_one_model(study),
    ]
    if not study.table("properties").is_empty():
        blocks += [
            Heading("The three properties that the model requires"),
            Words(
                "Methodologies reduce common failure if the choices behind them are logically unrelated, if "
                "their common failures have different factors, and if neither is superior (indifference)."
            ),
            *tables(property_tables(study)),
            *_undecided(study),
        ]
    return blocks


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
    rows = study.table("methodologies", pl.min_horizontal("m_a", "m_b") == 1)
    keys = ["grouping", "methodology_a", "methodology_b"]
    all_pairs, single = (frame.select(keys).unique().height for frame in (study.table("methodologies"), rows))
    if not single:
        return []
    text = (
        f"{single:,} of {plural(all_pairs, 'row')} a condition are left out: a methodology in them has one "
        "model, so joint failures of two models of it are not identified."
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
    if row is None:  # a methodology's correlation with itself
        return Cell("—")
    if is_undefined(row["value"]):
        return Cell(NOT_IDENTIFIED, note=row["note"] or "")
    found: Cell = cell(row)
    return found


def property_tables(study: Study) -> list[Grid]:
    """One table a condition: pairs of methodologies down, in groups; the three properties across.

    Only rows in which a property is decided: `_undecided` counts the others. Whether choices are logically
    unrelated is a property of two choices, not of two methodologies.
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
                notes=["Requirements on the whole interval:", *said] * bool(said)
                + footnotes(row["note"] for key, row in rows.items() if key[:3] in decided),
            )
        )
    return grids


def _undecided(study: Study) -> list[Block]:
    """How many checks are undecided, and why, in one sentence."""
    table = study.table("properties")
    rows = table.filter(pl.col("holds").is_null())
    if rows.is_empty():
        return []
    unknown = rows.filter(pl.col("value").is_nan() | pl.col("low").is_nan()).height
    over = rows.filter(pl.col("note").str.contains("undecided: the interval reaches over the margin")).height
    why = [
        f"in {n:,} {words}"
        for n, words in (
            (unknown, "the value or its interval is not identified"),
            (over, "the interval exceeds the margin"),
            (rows.height - unknown - over, "a methodology has fewer than 3 models, too few to generalise"),
        )
        if n
    ]
    text = (
        f"Of {plural(table.height, 'check')} of a property, of a pair or crossing under a condition, "
        f"{rows.height:,} are undecided, which does not mean “no”: {listed(why)}."
    )
    return [left_out(text, "undecided-properties", rows)]


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


def covariance_rows(study: Study) -> pl.DataFrame:
    """Both halves of the matrix, of methodologies of several models: covariance, on the diagonal variance."""
    table = study.table("methodologies")
    if table.is_empty():
        return table
    several = pl.min_horizontal("m_a", "m_b") > 1  # one model does not represent others of its methodology
    table = table.filter(several, quantity="covariance", subset="all")
    columns = ["condition", "grouping", "value", "low", "high", "note"]
    halves = [
        table.select(*columns, pl.col(a).alias("down"), pl.col(b).alias("across"))
        for a, b in (("methodology_a", "methodology_b"), ("methodology_b", "methodology_a"))
    ]
    unknown = pl.col("value").is_nan()
    keys = ["condition", "grouping", "down", "across"]
    return with_labels(study, pl.concat(halves).unique(keys, keep="first", maintain_order=True)).with_columns(
        pl.when(unknown)
        .then(pl.lit("?"))
        .otherwise((100 * pl.col("value")).round(1).cast(pl.String).str.replace("-", "−"))
        .alias("said"),
        pl.when(pl.col("down") == pl.col("across"))
        .then(pl.lit("variance (Eckhardt–Lee)"))
        .otherwise(pl.lit("covariance (Littlewood–Miller)"))
        .alias("what"),
        pl.col("note").fill_null(""),
    )


@figure("covariances")
def covariances(study: Study) -> Figure | None:
    """Methodologies by methodologies; None where there are none."""
    rows = covariance_rows(study)
    if rows.is_empty():
        return None
    fields = [f for f in groupings(study) if f in set(rows["grouping"])]
    order = rows["down"].unique(maintain_order=True).to_list()
    extent = float(rows["value"].fill_nan(None).abs().max() or 0.01)  # type: ignore[arg-type]
    conditions = conditions_in(study, rows)
    across = {"labelAngle": -40 if sum(map(len, order)) > 60 else 0, "labelLimit": 260}
    base = (
        alt.Chart(ROWS)
        .transform_filter("datum.condition === condition && datum.grouping === grouping")
        .encode(
            x=alt.X("across:N", sort=order, axis=alt.Axis(title=None, orient="top", **across)),
            y=alt.Y("down:N", sort=order, axis=alt.Axis(title=None, labelLimit=300)),
        )
    )
    cells = base.mark_rect(stroke="white", strokeWidth=2).encode(
        color=alt.when("isValid(datum.value)")
        .then(
            alt.Color(
                "value:Q",
                scale=alt.Scale(range=["#0b5d80", "#f7f7f7", "#b3450b"], domain=[-extent, 0, extent]),
                legend=alt.Legend(
                    title="Covariance, points",
                    orient="bottom",
                    gradientLength=180,
                    labelExpr="datum.value === 0 ? '0' : format(datum.value * 100, '+.1f')",
                ),
            )
        )
        .otherwise(alt.value("#e4e8ea")),
        tooltip=tips(
            down="Methodology",
            across="Methodology",
            what="Shown",
            value=("Value", ".4f"),
            low=("95 % from", ".4f"),
            high=("95 % to", ".4f"),
            note="Note",
        ),
    )
    text = base.mark_text(fontSize=12.5).encode(
        text="said:N",
        color=alt.when(f"abs(datum.value) > {0.55 * extent}")
        .then(alt.value("#ffffff"))
        .otherwise(alt.value(INK)),
    )
    chart = (
        alt.layer(cells, text)
        .add_params(
            select(
                "condition",
                "Condition: ",
                conditions,
                [condition_label(study, c) for c in conditions],
                conditions[0],
            ),
            select("grouping", "Methodology: ", fields, [GROUPINGS.get(f, f) for f in fields], fields[0]),
        )
        .properties(height=alt.Step(46))
    )
    return Figure(
        title="Covariance of the difficulties of methodologies",
        caption="By how many points of probability two models fail together more often than independent "
        "ones: one of each methodology, and on the diagonal two of one. Orange: common failures; blue: one "
        "succeeds where the other fails. A question mark: not identified. The intervals are in the table.",
        alt=f"Matrix of the covariances of the difficulty of {listed(order)}; "
        "the numbers and their intervals are in the table below.",
        chart=chart,
        data={"rows": rows},
    )
