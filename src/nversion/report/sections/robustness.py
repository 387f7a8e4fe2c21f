"""Effective robustness, and error consistency of pairs of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl
from scipy.special import ndtri

from nversion.report.blocks import Block, Cell, Drawing, Grid, Tables, Words, by_condition, points_cell
from nversion.report.cards import undeclared
from nversion.report.charts import (
    CATEGORIES,
    INK,
    MOST_MARKS,
    ROWS,
    SHAPES,
    colour,
    key,
    marks,
    panels,
    shape,
    tips,
)
from nversion.report.figure import Figure
from nversion.report.footnotes import footnotes
from nversion.report.frames import FEWEST_FOR_A_LINE, conditions_in, has_a_line, keyed, with_labels
from nversion.report.labels import plural
from nversion.report.registry import Blocks, figure, section
from nversion.report.tables import Study

from .representation import pair_matrix

KINDS = {"family": "Family", "training": "Training approach"}
TICKS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_BOLD = "Bold: the 95 % interval excludes zero"


@section("robustness", order=30, nav="Robustness", title="Effective robustness and error consistency")
def robustness(study: Study) -> Blocks:
    blocks: list[Block] = []
    if has_a_line(study):
        blocks += [
            Words(
                "More accurate models are mostly more accurate on corrupted images, too. Effective "
                "robustness is what exceeds that: the residual of corrupted accuracy regressed on clean "
                "accuracy, on probit scale, converted back into points of accuracy."
            ),
            Drawing("effective_robustness"),
            Tables(robustness_tables(study)),
        ]
    elif not study.table("robustness").is_empty():
        blocks.append(
            Words(
                "Effective robustness was not computed: the regression of corrupted on clean accuracy needs "
                f"at least {FEWEST_FOR_A_LINE} models of different accuracy."
            )
        )
    if (
        not study.table("pairs").is_empty()
        and not study.table("pairs", metric="error_consistency").is_empty()
    ):
        blocks.append(Drawing("error_consistency"))
    return blocks


def robustness_tables(study: Study) -> list[Grid]:
    """Residuals by family and training, then by model; conditions across."""
    known = pl.col("residual_points").is_not_nan()
    groups, models = (study.table(name, known) for name in ("robustness_groups", "robustness"))
    conditions = conditions_in(study, models)
    grids = []
    # A group of all models has a mean residual of zero by construction.
    of_all = pl.col("note").fill_null("").str.starts_with("all models are in this group")
    several_rows = groups.filter(pl.col("n_models") > 1, ~of_all)
    single = groups.filter(pl.col("n_models") == 1).select("kind", "group").unique().height
    if several_rows.height:
        rows = [
            (
                f"{group!s} ({max(part['n_models'])})",
                "",
                KINDS.get(str(kind), str(kind)),
                keyed(part, "condition"),
            )
            for (kind, group), part in several_rows.group_by("kind", "group", maintain_order=True)
        ]
        alone = (
            [f"{plural(single, 'group')} of one model: its residual is below, by model."] if single else []
        )
        grids.append(
            by_condition(
                study,
                "Residual by family and training approach, points",
                rows,
                _cell,
                conditions,
                corner="Models (number)",
                source="robustness_groups",
                notes=[f"{_BOLD}.", *alone, *footnotes(several_rows["note"])],
            )
        )
    rows = [
        (model, "", "", keyed(models.filter(model=model), "condition"))
        for model in models["model"].unique(maintain_order=True)
    ]
    options = {"corner": "Model", "source": "robustness", "notes": [f"{_BOLD}, for this model alone."]}
    return [*grids, by_condition(study, "Residual by model, points", rows, _cell, conditions, **options)]


def _cell(row: Mapping[str, Any]) -> Cell:
    return points_cell(row["residual_points"], row["low"], row["high"])


def probit(share: float) -> float:
    """The standard normal quantile; nan at 0 and 1, where it is infinite.

    >>> probit(0.5), round(probit(0.975), 2)
    (0.0, 1.96)
    """
    return float(ndtri(share)) if 0 < share < 1 else float("nan")


def robustness_rows(study: Study) -> pl.DataFrame:
    """The table with accuracies on probit scale: `x` clean, `y` corrupted, `line` expected.

    `mark` is the family, or "N other families" where there are more of them than distinct marks.
    """
    columns = {"x": "clean_top1", "y": "top1", "line": "expected_top1"}
    families = study.values("robustness", "family")
    shown = families if len(families) <= MOST_MARKS else families[: MOST_MARKS - 1]
    mark = pl.when(pl.col("family").is_in(shown)).then("family")
    return (
        with_labels(study, study.table("robustness"))
        .with_columns(
            mark.otherwise(pl.lit(f"{len(families) - len(shown)} other families")).alias("mark"),
            *(
                pl.col(c).map_elements(probit, return_dtype=pl.Float64, skip_nulls=False).alias(name)
                for name, c in columns.items()
            ),
        )
        .drop("condition")
    )


@figure("effective_robustness")
def effective_robustness(study: Study) -> Figure | None:
    """A panel a corrupted condition: a point a model, the regression line; None without a line."""
    if not has_a_line(study):
        return None
    rows = robustness_rows(study)
    families = rows["mark"].unique(maintain_order=True).to_list()
    trainings = rows["training"].unique(maintain_order=True).to_list()
    colours, shapes = marks(families)
    by_family = len(families) > len(CATEGORIES) or len(trainings) > len(SHAPES)
    order = rows["label"].unique(maintain_order=True).to_list()
    legend = key(families, "Family (guessed where not declared)" if undeclared(study, "family") else "Family")
    x, y = _axis(rows, "x", "Clean top-1"), _axis(rows, "y", "Corrupted top-1")
    base = alt.Chart().transform_filter("isValid(datum.x) && isValid(datum.y)").encode(x=alt.X("x:Q", **x))
    dots = base.mark_point(filled=True, size=60, opacity=0.9).encode(
        y=alt.Y("y:Q", **y),
        color=colour("mark", dict(zip(families, colours, strict=True)), legend),
        shape=shape("mark", dict(zip(families, shapes, strict=True)), legend)
        if by_family
        else shape("training", dict(zip(trainings, SHAPES, strict=False)), key(trainings, "Training")),
        tooltip=tips(
            model="Model",
            family="Family",
            training="Training",
            clean_top1=("Clean", ".1%"),
            top1=("Corrupted", ".1%"),
            expected_top1=("Expected", ".1%"),
            residual_points=("Above the line", "+.1%"),
            low=("95 % from", "+.1%"),
            high=("95 % to", "+.1%"),
        ),
    )
    line = base.mark_line(color=INK, strokeWidth=1.4).encode(y=alt.Y("line:Q", **y))
    return Figure(
        title="Effective robustness",
        caption="Both axes are on probit scale, on which the models of one kind lie along a line. A model "
        "above the line is more robust than its clean accuracy predicts. The line is fitted to these "
        f"{plural(rows['model'].n_unique(), 'model')}, so it depends on the pool."
        + (" Point at a mark for how the model was trained." if by_family else ""),
        alt="Scatter plots of corrupted against clean accuracy with the fitted line, for "
        f"{plural(len(order), 'corrupted condition')}; the residuals are in the tables below.",
        chart=panels(alt.layer(line, dots, data=ROWS), "label", order, columns=4, width=210, height=190),
        data={"rows": rows},
        panel_width=276,
    )


def _axis(rows: pl.DataFrame, column: str, title: str) -> dict[str, object]:
    """Scale and axis of one side: ticks at round percentages within the data."""
    values = rows.select("y", "line") if column == "y" else rows.select("x")
    finite = [v for series in values for v in series.drop_nans().drop_nulls()]
    low, high = (min(finite), max(finite)) if finite else (-1.0, 1.0)
    pad = 0.06 * (high - low) or 0.1
    at = [t for t in TICKS if low - pad <= probit(t) <= high + pad]
    at = at[:: max(1, -(-len(at) // 6))]
    words = "".join(f"abs(datum.value - {probit(t):.6f}) < 1e-4 ? '{100 * t:g}%' : " for t in at)
    return {
        "scale": alt.Scale(domain=[low - pad, high + pad], nice=False, zero=False),
        "axis": alt.Axis(title=title, values=[probit(t) for t in at], labelExpr=words + "''"),
    }


@figure("error_consistency")
def error_consistency(study: Study) -> Figure | None:
    """Cohen's kappa of every pair of models; None where it was not measured."""
    return pair_matrix(
        study,
        "error_consistency",
        "Error consistency",
        "Cohen’s κ of correct and incorrect: 1 where two models err on the same images, 0 where they do so "
        "as often as expected by chance from their accuracies. κ below zero is drawn as 0.",
    )
