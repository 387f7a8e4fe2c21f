"""Effective robustness: corrupted accuracy against what clean accuracy lets one expect."""

from __future__ import annotations

from statistics import NormalDist

import altair as alt
import polars as pl

from nversion.report.cards import undeclared
from nversion.report.frames import has_a_line
from nversion.report.labels import condition_label, plural
from nversion.report.tables import Study

from .figure import CATEGORIES, INK, MOST_MARKS, ROWS, SHAPES, Figure, key, marks

TICKS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def probit(share: float) -> float:
    """The standard normal quantile; nan at 0 and 1, where it is infinite.

    >>> probit(0.5), round(probit(0.975), 2)
    (0.0, 1.96)
    """
    return NormalDist().inv_cdf(share) if 0 < share < 1 else float("nan")


def robustness_rows(study: Study) -> pl.DataFrame:
    """The table with accuracies on probit scale: `x` clean, `y` corrupted, `line` expected.

    `mark` is the family, or "N other families" where there are more of them than distinct marks.
    """
    labels = {c: condition_label(study, c) for c in study.condition_names}
    columns = {"x": "clean_top1", "y": "top1", "line": "expected_top1"}
    families = study.table("robustness")["family"].unique(maintain_order=True).to_list()
    shown = families if len(families) <= MOST_MARKS else families[: MOST_MARKS - 1]
    return (
        study.table("robustness")
        .with_columns(
            pl.col("condition").replace_strict(labels, default=None).alias("label"),
            pl.when(pl.col("family").is_in(shown))
            .then("family")
            .otherwise(pl.lit(f"{len(families) - len(shown)} other families"))
            .alias("mark"),
            *(
                pl.col(c).map_elements(probit, return_dtype=pl.Float64, skip_nulls=False).alias(name)
                for name, c in columns.items()
            ),
        )
        .drop("condition")
    )


def effective_robustness(study: Study) -> Figure | None:
    """A panel a corrupted condition: a point a model, the line that is expected; None without a line."""
    if not has_a_line(study):
        return None
    rows = robustness_rows(study)
    families = rows["mark"].unique(maintain_order=True).to_list()
    trainings = rows["training"].unique(maintain_order=True).to_list()
    colours, shapes = marks(families)
    by_family = len(families) > len(CATEGORIES) or len(trainings) > len(SHAPES)
    order = rows["label"].unique(maintain_order=True).to_list()
    panel_width = 210
    title = "Family (guessed where not declared)" if undeclared(study, "family") else "Family"
    base = alt.Chart().transform_filter("isValid(datum.x) && isValid(datum.y)")
    x, y = _axis(rows, "x", "Clean top-1"), _axis(rows, "y", "Corrupted top-1")
    dots = base.mark_point(filled=True, size=60, opacity=0.9).encode(
        x=alt.X("x:Q", **x),
        y=alt.Y("y:Q", **y),
        color=alt.Color(
            "mark:N",
            sort=families,
            scale=alt.Scale(domain=families, range=colours),
            legend=key(families, title),
        ),
        shape=alt.Shape(
            "mark:N",
            sort=families,
            scale=alt.Scale(domain=families, range=shapes),
            legend=key(families, title),
        )
        if by_family
        else alt.Shape(
            "training:N",
            sort=trainings,
            scale=alt.Scale(domain=trainings, range=SHAPES[: len(trainings)]),
            legend=key(trainings, "Training"),
        ),
        tooltip=[
            alt.Tooltip("model:N", title="Model"),
            alt.Tooltip("family:N", title="Family"),
            alt.Tooltip("training:N", title="Training"),
            alt.Tooltip("clean_top1:Q", title="Clean", format=".1%"),
            alt.Tooltip("top1:Q", title="Corrupted", format=".1%"),
            alt.Tooltip("expected_top1:Q", title="Expected", format=".1%"),
            alt.Tooltip("residual_points:Q", title="Above the line", format="+.1%"),
            alt.Tooltip("low:Q", title="95 % from", format="+.1%"),
            alt.Tooltip("high:Q", title="95 % to", format="+.1%"),
        ],
    )
    line = base.mark_line(color=INK, strokeWidth=1.4).encode(x=alt.X("x:Q", **x), y=alt.Y("line:Q", **y))
    chart = (
        alt.layer(line, dots, data=ROWS)
        .properties(width=panel_width, height=190)
        .facet(facet=alt.Facet("label:N", title=None, sort=order), columns=4)
    )
    return Figure(
        name="effective_robustness",
        title="Effective robustness",
        caption="Both axes are on probit scale, on which the models of one kind lie along a line. A model "
        "above the line loses less than its clean accuracy foretells. The line is fitted to these "
        f"{plural(rows['model'].n_unique(), 'model')}, so it moves with the pool."
        + (" Point at a mark for how the model was trained." if by_family else ""),
        alt="Scatter plots of corrupted against clean accuracy with the fitted line, for "
        f"{plural(len(order), 'corrupted condition')}; the residuals are in the tables below.",
        chart=chart,
        data={"rows": rows},
        panel_width=panel_width + 66,
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
