"""Failure rates of ensembles: predicted against observed."""

from __future__ import annotations

import altair as alt
import polars as pl

from nversion.core import generator
from nversion.report.blocks import Block, Cell, Drawing, Grid, Heading, Row, Words, quiet, share_cell, tables
from nversion.report.charts import ACCENT, CATEGORIES, INK, ROWS, colour, percent_axis, select, shape, tips
from nversion.report.common_failure import GROUPINGS
from nversion.report.contenders import chosen
from nversion.report.figure import Figure
from nversion.report.frames import conditions_in
from nversion.report.labels import condition_label, listed, plural, points, points_interval
from nversion.report.registry import figure
from nversion.report.tables import Study
from nversion.report.undefined import defined, number

from .methodologies import NOT_IDENTIFIED

MAX_PREDICTED = 80
"""Ensembles that the figure of predictions draws for each condition; the table summarises all."""
SYSTEMS = {"all_fail": "All members fail (1-out-of-K)", "majority_fail": "A majority of members fails"}


def prediction_blocks(study: Study) -> list[Block]:
    """Figure and tables; no blocks where nothing was predicted."""
    if study.table("predicted_failures").is_empty() or not study.default_size:
        return []
    return [
        Heading("Predicted and observed failures"),
        Words(
            "The failure rate of an ensemble, predicted from one half of the images or from other models "
            "of the same methodologies, against the observed one, and against the rate if members "
            "failed independently. From other models means on the same images: over all "
            "ensembles of a pool these errors cancel by symmetry, so look at their range, not their mean."
        ),
        Drawing("predicted_failures"),
        *tables(prediction_tables(study)),
        *_not_predicted(study),
    ]


def prediction_rows(study: Study) -> pl.DataFrame:
    """The predictions for ensembles of the default size, with a name for what they are predicted from."""
    rows = study.table("predicted_failures")
    if rows.is_empty():
        return rows
    names = pl.col("grouping").replace(list(GROUPINGS), list(GROUPINGS.values()))
    grouped = pl.format("{} of the same {}", "predicted_from", names)
    source = pl.when(pl.col("grouping") == "").then(pl.col("predicted_from")).otherwise(grouped)
    source = source.fill_null(pl.col("predicted_from")).alias("source")
    return rows.filter(size=study.default_size or 0).with_columns(source)


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
                    "Means over the range of 5 to 95 % of ensembles; errors are predicted minus observed.",
                    *(f"Note in the table: {note}." for note in notes[:3]),
                ],
            )
        )
    return grids


def _not_predicted(study: Study) -> list[Block]:
    """Sources from which no ensemble could be predicted."""
    known = pl.col("predicted").is_not_nan() & pl.col("observed").is_not_nan()
    sources = prediction_rows(study).group_by("source", maintain_order=True).agg(known.any().alias("any"))
    none = sources.filter(~pl.col("any"))["source"].to_list()
    if not none:
        return []
    needs = "this needs as many further models of each member’s methodology as an ensemble has of them"
    return quiet(f"No ensemble could be predicted from {listed(none, 'or')}: {needs}.")


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


def drawn_predictions(study: Study) -> pl.DataFrame:
    """Two rows an ensemble: predicted by the model, and by independence; both with the observed share."""
    rows = prediction_rows(study)
    if rows.is_empty():
        return rows
    names = rows["ensemble"].unique(maintain_order=True)
    if len(names) > MAX_PREDICTED:
        rng = generator("ensembles drawn in a report", study.default_size or 0, "predictions")
        drawn = set(names.gather(sorted(rng.choice(len(names), MAX_PREDICTED, replace=False).tolist())))
        own = chosen(study)
        drawn |= {own.ensemble} if own else set()
        rows = rows.filter(pl.col("ensemble").is_in(drawn))
    keys = ["condition", "ensemble", "system", "source", "observed", "observed_low", "observed_high"]
    return pl.concat(
        rows.select(*keys, pl.lit(what).alias("by"), pl.col(column).alias("predicted"))
        for what, column in (("predicted", "predicted"), ("if independent", "independent"))
    ).filter(pl.col("predicted").is_not_nan(), pl.col("observed").is_not_nan())


@figure("predicted_failures")
def predictions(study: Study) -> Figure | None:
    """Predicted failure rate across, observed up, with the line where they are equal."""
    rows = drawn_predictions(study)
    if rows.is_empty():
        return None
    conditions = conditions_in(study, rows)
    systems = [s for s in SYSTEMS if s in set(rows["system"])]
    sources = rows["source"].unique(maintain_order=True).to_list()
    chosen_rows = "datum.condition === condition && datum.system === system && datum.source === source"
    base = alt.Chart().transform_filter(chosen_rows)
    x = alt.X("predicted:Q", axis=percent_axis("Predicted share of failures", tickCount=6))
    y = alt.Y("observed:Q", axis=percent_axis("Observed share of failures", tickCount=6))
    by = colour("by", {"predicted": ACCENT, "if independent": CATEGORIES[1]})
    spans = base.mark_rule(opacity=0.35).encode(
        x="predicted:Q", y=alt.Y("observed_low:Q"), y2="observed_high:Q", color=by
    )
    dots = base.mark_point(filled=True, size=36, opacity=0.8).encode(
        x=x,
        y=y,
        color=by,
        shape=shape("by", {"predicted": "circle", "if independent": "diamond"}),
        tooltip=tips(
            ensemble="Members",
            by="By",
            predicted=("Predicted", ".1%"),
            observed=("Observed", ".1%"),
            observed_low=("95 % from", ".1%"),
            observed_high=("95 % to", ".1%"),
        ),
    )
    diagonal = (
        base.transform_aggregate(low="min(observed)", high="max(observed)")
        .mark_rule(color=INK, strokeDash=[5, 4])
        .encode(x="low:Q", x2="high:Q", y="low:Q", y2="high:Q")
    )
    chart = (
        alt.layer(diagonal, spans, dots, data=ROWS)
        .add_params(
            select(
                "condition",
                "Condition: ",
                conditions,
                [condition_label(study, c) for c in conditions],
                conditions[0],
            ),
            select("system", "Fails when: ", systems, [SYSTEMS[s] for s in systems], systems[0]),
            select("source", "Predicted from: ", sources, sources, sources[0]),
        )
        .properties(height=380)
    )
    total = prediction_rows(study)["ensemble"].n_unique()
    shown = rows["ensemble"].n_unique()
    some = f"{shown} of {total} ensembles" if shown < total else plural(total, "ensemble")
    drawn = ", drawn at random" if shown < total else ""
    return Figure(
        title="Predicted against observed failures",
        caption=f"{some} of {study.default_size}{drawn}. On the dashed line the prediction equals "
        "the observation; above it the ensemble fails more often than predicted. Bars: 95 % interval of "
        "the observed share. Predictions that are not identified are not drawn.",
        alt="Scatter plot of observed against predicted shares of failures, by the model and if members "
        "failed independently; the errors are in the table below.",
        chart=chart,
        data={"rows": rows},
    )
