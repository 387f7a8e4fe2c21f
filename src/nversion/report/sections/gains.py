"""Gain of ensembles over single models, and the smallest gain that the images can show."""

from __future__ import annotations

import math

import altair as alt
import polars as pl

from nversion.report.blocks import Block, Drawing, Words
from nversion.report.charts import (
    ACCENT,
    CATEGORIES,
    INK,
    ROWS,
    WARM,
    colour,
    key,
    labels_down,
    points_axis,
    select,
    shape,
    tips,
    zero_rule,
)
from nversion.report.figure import Figure
from nversion.report.frames import conditions_in, with_labels
from nversion.report.labels import condition_label, consensus_label, is_undefined, plural
from nversion.report.registry import Blocks, figure, section
from nversion.report.tables import Study
from nversion.report.undefined import defined

ALONE, AT_ONCE = "95 % for one ensemble alone", "95 % for all ensembles at once"
NEEDED_ALONE, NEEDED_AT_ONCE = (
    "smallest gain shown, one ensemble named beforehand",
    "… comparing all ensembles",
)
SEEN_MEDIAN, SEEN_MOST = "gain seen, median ensemble", "gain seen, best ensemble"


@section("gains", order=100, nav="Gains", title="Gain of ensembles, and the smallest gain that can be shown")
def gains_section(study: Study) -> Blocks:
    if study.default_size is None or (study.table("gains").is_empty() and study.table("power").is_empty()):
        return None
    said = smallest_gain(study)
    blocks: list[Block] = [Words(said)] if said else []
    return [*blocks, Drawing("gains"), Drawing("power")]


def _of_default(study: Study, name: str) -> pl.DataFrame:
    """The rows of a table of the default size and rule."""
    table = study.table(name)
    if table.is_empty():
        return table
    return table.filter(size=study.default_size or 0, consensus=study.default_consensus or "")


def smallest_gain(study: Study) -> str:
    """The smallest gain that the images of the first condition show; "" where the study has no such table."""
    condition, consensus = study.first_condition, study.default_consensus
    found = _of_default(study, "power")
    found = found if found.is_empty() else found.filter(condition=condition)
    if found.is_empty():
        return ""
    row = found.row(0, named=True)
    if is_undefined(row["discordant"]):
        return ""
    where = condition_label(study, condition)
    if is_undefined(row["smallest_gain"]):
        return f"{plural(row['n'], 'image')} of {where} are too few to show any gain of an ensemble."
    alone, at_once = (100 * row[f"smallest_gain{ending}"] for ending in ("", "_corrected"))
    many = (
        ""
        if is_undefined(at_once) or row["num_compared"] == 1
        else f", and below {at_once:.1f} points where all {plural(row['num_compared'], 'ensemble')} of "
        f"{study.default_size} are compared"
    )
    return (
        f"With {plural(row['n'], 'image')} a gain over the best member by {consensus_label(consensus or '')} "
        f"below {alone:.1f} points cannot be reliably distinguished from zero on {where} (80 % power at the "
        f"5 % level, one ensemble named beforehand){many}; a gain of one point needs "
        f"{plural(_rounded(row['images_for_a_point']), 'image')}."
    )


def _rounded(number: float) -> int:
    """Rounded up to two figures.

    >>> _rounded(782.5), _rounded(11322.3)
    (790, 12000)
    """
    step = 10.0 ** max(0, math.floor(math.log10(number)) - 1)
    return int(math.ceil(number / step) * step)


def gain_rows(study: Study) -> pl.DataFrame:
    """The ten best ensembles of the default size and rule on each condition, against the best model.

    `lines` are the members' names, one a line.
    """
    rows = _of_default(study, "gains")
    if rows.is_empty():
        return rows
    lines = pl.col("members").list.join("\n").alias("lines")
    return with_labels(study, rows).drop("size", "consensus").with_columns(lines)


@figure("gains")
def gains(study: Study) -> Figure | None:
    """A forest of ten rows, a condition at a time; None where the study has no such table."""
    rows = gain_rows(study)
    if rows.is_empty():
        return None
    conditions = conditions_in(study, rows)
    at_first = hardest(study, conditions)
    axis = points_axis("Gain over the best single model, points", tickCount=7)
    longest = int(rows["members"].list.len().max())  # type: ignore[arg-type]
    y = alt.Y(
        "lines:N",
        sort=alt.EncodingSortField(field="rank", op="min"),
        axis=alt.Axis(
            title=None,
            labelExpr=r"split(datum.label, '\n')",
            labelLimit=300,
            labelLineHeight=12,
            labelOffset=-6 * (longest - 1),
        ),
    )
    base = alt.Chart().transform_filter("datum.condition === condition").encode(y=y)
    spans = [
        base.transform_calculate(kind=f"'{kind}'")
        .mark_rule(strokeWidth=width)
        .encode(
            x=alt.X(f"{low}:Q", axis=axis),
            x2=f"{high}:Q",
            color=colour("kind", {ALONE: ACCENT, AT_ONCE: "#8fa5b1"}),
        )
        for kind, low, high, width in (
            (AT_ONCE, "low_corrected", "high_corrected", 1.5),
            (ALONE, "low", "high", 4),
        )
    ]
    dots = base.mark_point(filled=True, size=52, opacity=1, color=INK).encode(
        x=alt.X("difference:Q", axis=axis),
        tooltip=tips(
            ensemble="Members",
            best_model="Best single model",
            difference=("Gain", "+.2%"),
            low=("95 % from", "+.2%"),
            high=("95 % to", "+.2%"),
            low_corrected=("All at once, from", "+.2%"),
            high_corrected=("All at once, to", "+.2%"),
            n=("Images", ","),
        ),
    )
    names = [condition_label(study, c) for c in conditions]
    chart = (
        alt.layer(zero_rule("x"), *spans, dots, data=ROWS)
        .add_params(select("condition", "Condition: ", conditions, names, at_first))
        .properties(height=alt.Step(max(24, 13 * longest + 4)))
    )
    shown = rows.filter(condition=at_first)
    total = int(shown["num_compared"][0])
    return Figure(
        title="Gain of the ten best ensembles over the best single model",
        caption=f"On {condition_label(study, at_first)} over {plural(int(shown['n'][0]), 'image')}: the ten "
        f"most accurate of {plural(total, 'ensemble')} of {study.default_size} by "
        f"{consensus_label(study.default_consensus or '')}, minus {shown['best_model'][0]}, on the same "
        "images. Thick: the 95 % interval of one comparison alone; thin: simultaneous intervals for all "
        f"{total:,}, which account for selecting the ten best. By the thin ones "
        f"{_shown(rows, at_first)}",
        alt=f"Forest plot of the gains of the ten best ensembles over the best single model on each of "
        f"{plural(len(conditions), 'condition')}; the numbers are in tables/gains.parquet.",
        chart=chart,
        data={"rows": rows},
    )


def _shown(rows: pl.DataFrame, condition: str) -> str:
    sure = rows.filter(defined("low_corrected") > 0)
    here = sure.filter(condition=condition).height
    of = rows.filter(condition=condition).height
    elsewhere = sure.filter(pl.col("condition") != condition)["condition"].n_unique()
    others = rows["condition"].n_unique() - 1
    text = f"{here} of these {of} are better" if here else f"none of these {of} is better"
    if others and not elsewhere:
        text += f", and none on the {plural(others, 'other condition')}"
    elif others:
        text += f", and some ensemble on {elsewhere} of {plural(others, 'other condition')}"
    return text + "."


def hardest(study: Study, conditions: list[str]) -> str:
    """The condition of the lowest mean accuracy of the models."""
    mean = dict(study.models.group_by("condition").agg(defined("top1").mean()).iter_rows())
    return min(conditions, key=lambda c: 2.0 if mean.get(c) is None else mean[c])


def power_rows(study: Study) -> pl.DataFrame:
    """For each condition the smallest gains that its images show, and the gains that were seen."""
    wide = _of_default(study, "power")
    if wide.is_empty():
        return wide
    gain = defined("improvement")
    seen = (
        _of_default(study, "ensembles")
        .group_by("condition", maintain_order=True)
        .agg(gain.median().alias(SEEN_MEDIAN), gain.max().alias(SEEN_MOST))
    )
    wide = wide.join(seen, on="condition", how="left", maintain_order="left").rename(
        {"smallest_gain": NEEDED_ALONE, "smallest_gain_corrected": NEEDED_AT_ONCE}
    )
    long = wide.unpivot(
        on=[NEEDED_ALONE, NEEDED_AT_ONCE, SEEN_MEDIAN, SEEN_MOST],
        index=["condition", "n", "num_compared", "discordant", "images_for_a_point"],
        variable_name="what",
        value_name="gain",
    )
    return with_labels(study, long)


@figure("power")
def power(study: Study) -> Figure | None:
    """Dots a condition: gains that would be found, and gains seen; None where the study has no such table."""
    rows = power_rows(study)
    if rows.is_empty():
        return None
    kinds = [NEEDED_ALONE, NEEDED_AT_ONCE, SEEN_MEDIAN, SEEN_MOST]
    labels = [condition_label(study, c) for c in study.condition_names]
    palette = (WARM, CATEGORIES[4], "#8b979d", ACCENT)
    shapes = ("triangle-right", "triangle-right", "circle", "diamond")
    chart = (
        alt.Chart(ROWS)
        .transform_filter("isValid(datum.gain)")
        .mark_point(filled=True, size=70, opacity=0.9)
        .encode(
            x=alt.X("gain:Q", axis=points_axis("Gain over the best member, points", tickCount=8)),
            y=labels_down(labels),
            color=colour("what", dict(zip(kinds, palette, strict=True)), key(kinds)),
            shape=shape("what", dict(zip(kinds, shapes, strict=True)), key(kinds)),
            tooltip=tips(
                label="Condition",
                what="Shown",
                gain=("Points", "+.2%"),
                discordant=("Only one of two right", ".1%"),
                n=("Images", ","),
                images_for_a_point=("Images for 1 point", ",.0f"),
            ),
        )
        .properties(height=alt.Step(34))
    )
    return Figure(
        title="The smallest gain that these images can show",
        caption="Triangles: a gain of an ensemble over its best member that would be found in four of five "
        "studies of as many images (80 % power, McNemar’s test at the 5 % level; Connor 1987), given the "
        "median share of images that only one of the two classifies correctly; the second triangle is at the "
        f"level corrected for comparing all {int(rows['num_compared'][0]):,} ensembles of "
        f"{study.default_size}. A gain left of its triangle may be real, and would mostly be missed. No "
        "intervals are drawn.",
        alt=f"Dot plot of the smallest gain that can be shown and of the gains seen, on each of "
        f"{plural(len(labels), 'condition')}; the numbers are in tables/power.parquet.",
        chart=chart,
        data={"rows": rows},
    )
