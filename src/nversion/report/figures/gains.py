"""What ensembles gain: the best ten over the best single model, with severity, and what images can show."""

from __future__ import annotations

import altair as alt
import polars as pl

from nversion.report.contenders import chosen
from nversion.report.labels import condition_label, consensus_label, plural, source_label
from nversion.report.tables import Study

from .figure import ACCENT, CATEGORIES, INK, ROWS, WARM, Figure, dashed, key, one_row, points_axis, select
from .severity import points_of

ALONE, AT_ONCE = "95 % for one ensemble alone", "95 % for all ensembles at once"
MEAN, CHOSEN = "mean over ensembles", "chosen ensemble"
NEEDED_ALONE, NEEDED_AT_ONCE = (
    "smallest gain shown, one ensemble named beforehand",
    "… comparing all ensembles",
)
SEEN_MEDIAN, SEEN_MOST = "gain seen, median ensemble", "gain seen, best ensemble"


def gain_rows(study: Study) -> pl.DataFrame:
    """The ten best ensembles of the default size and rule on each condition, against the best model."""
    labels = {c: condition_label(study, c) for c in study.condition_names}
    return (
        study.table("gains")
        .filter(size=study.default_size or 0, consensus=study.default_consensus or "")
        .with_columns(pl.col("condition").replace_strict(labels, default=None).alias("label"))
        .drop("size", "consensus")
    )


def gains(study: Study) -> Figure | None:
    """A forest of ten rows, a condition at a time; None where the study has no such table."""
    rows = gain_rows(study)
    if rows.is_empty():
        return None
    conditions = [c for c in study.condition_names if c in set(rows["condition"])]
    at_first = hardest(study, conditions)
    axis = points_axis("Gain over the best single model, points", tickCount=7)
    base = alt.Chart().transform_filter("datum.condition === condition")
    longest = max(name.count(" + ") for name in rows["ensemble"]) + 1
    y = alt.Y(
        "ensemble:N",
        sort=alt.EncodingSortField(field="rank", op="min"),
        axis=alt.Axis(
            title=None,
            labelExpr="split(datum.label, ' + ')",
            labelLimit=300,
            labelLineHeight=12,
            labelOffset=-6 * (longest - 1),
        ),
    )
    kinds = [ALONE, AT_ONCE]
    colour = alt.Scale(domain=kinds, range=[ACCENT, "#8fa5b1"])
    spans = [
        base.transform_calculate(kind=f"'{kind}'")
        .mark_rule(strokeWidth=width)
        .encode(
            x=alt.X(f"{low}:Q", axis=axis),
            x2=f"{high}:Q",
            y=y,
            color=alt.Color("kind:N", sort=kinds, scale=colour, legend=key(kinds)),
        )
        for kind, low, high, width in (
            (AT_ONCE, "low_corrected", "high_corrected", 1.5),
            (ALONE, "low", "high", 4),
        )
    ]
    dots = base.mark_point(filled=True, size=52, opacity=1, color=INK).encode(
        x=alt.X("difference:Q", axis=axis),
        y=y,
        tooltip=[
            alt.Tooltip("ensemble:N", title="Members"),
            alt.Tooltip("best_model:N", title="Best single model"),
            alt.Tooltip("difference:Q", title="Gain", format="+.2%"),
            alt.Tooltip("low:Q", title="95 % from", format="+.2%"),
            alt.Tooltip("high:Q", title="95 % to", format="+.2%"),
            alt.Tooltip("low_corrected:Q", title="All at once, from", format="+.2%"),
            alt.Tooltip("high_corrected:Q", title="All at once, to", format="+.2%"),
            alt.Tooltip("n:Q", title="Images", format=","),
        ],
    )
    zero = one_row(alt.Chart()).mark_rule(strokeDash=[5, 4], color=INK).encode(x=alt.datum(0))
    names = [condition_label(study, c) for c in conditions]
    chart = (
        alt.layer(zero, *spans, dots, data=ROWS)
        .add_params(select("condition", "Condition: ", conditions, names, at_first))
        .properties(height=alt.Step(max(24, 13 * longest + 4)))
    )
    shown = rows.filter(condition=at_first)
    total = int(shown["num_compared"][0])
    return Figure(
        name="gains",
        title="Gain of the ten best ensembles over the best single model",
        caption=f"On {condition_label(study, at_first)} over {plural(int(shown['n'][0]), 'image')}, the "
        "ten of "
        f"{plural(total, 'ensemble')} of {study.default_size} by "
        f"{consensus_label(study.default_consensus or '')} "
        f"that are right most often, less {shown['best_model'][0]}, on the same images. Thick: the 95 % "
        f"interval of one comparison alone; thin: intervals that hold for all {total:,} at once, which alone "
        f"allow for these ten being the best of many. By the thin ones {_shown(rows, study, at_first)}",
        alt=f"Forest plot of the gains of the ten best ensembles over the best single model on each of "
        f"{plural(len(conditions), 'condition')}; the numbers are in tables/gains.parquet.",
        chart=chart,
        data={"rows": rows},
    )


def _shown(rows: pl.DataFrame, study: Study, condition: str) -> str:
    sure = rows.filter(pl.col("low_corrected").is_not_nan(), pl.col("low_corrected") > 0)
    here = sure.filter(condition=condition).height
    of = rows.filter(condition=condition).height
    elsewhere = sure.filter(pl.col("condition") != condition)["condition"].unique(maintain_order=True)
    others = rows["condition"].n_unique() - 1
    text = f"{here} of these {of} are shown to gain" if here else f"none of these {of} is shown to gain"
    if others and not len(elsewhere):
        text += f", and none on the {plural(others, 'other condition')}"
    elif others:
        text += f", and some ensemble on {len(elsewhere)} of {plural(others, 'other condition')}"
    return text + "."


def hardest(study: Study, conditions: list[str]) -> str:
    """The condition of the lowest mean accuracy of the models: where ensembles have most to gain."""
    mean = dict(study.models.group_by("condition").agg(pl.col("top1").fill_nan(None).mean()).iter_rows())
    return min(conditions, key=lambda c: 2.0 if mean.get(c) is None else mean[c])


def power_rows(study: Study) -> pl.DataFrame:
    """For each condition the smallest gains that its images show, and the gains that were seen."""
    where = {"size": study.default_size or 0, "consensus": study.default_consensus or ""}
    seen = (
        study.ensembles.filter(**where)
        .group_by("condition", maintain_order=True)
        .agg(
            pl.col("improvement").fill_nan(None).median().alias(SEEN_MEDIAN),
            pl.col("improvement").fill_nan(None).max().alias(SEEN_MOST),
        )
    )
    labels = {c: condition_label(study, c) for c in study.condition_names}
    wide = study.table("power").filter(**where).join(seen, on="condition", how="left", maintain_order="left")
    return (
        wide.rename({"smallest_gain": NEEDED_ALONE, "smallest_gain_corrected": NEEDED_AT_ONCE})
        .unpivot(
            on=[NEEDED_ALONE, NEEDED_AT_ONCE, SEEN_MEDIAN, SEEN_MOST],
            index=["condition", "n", "num_compared", "discordant", "images_for_a_point"],
            variable_name="what",
            value_name="gain",
        )
        .with_columns(pl.col("condition").replace_strict(labels, default=None).alias("label"))
    )


def power(study: Study) -> Figure | None:
    """Dots a condition: what would be found, and what was; None where the study has no such table."""
    rows = power_rows(study)
    if rows.is_empty():
        return None
    kinds = [NEEDED_ALONE, NEEDED_AT_ONCE, SEEN_MEDIAN, SEEN_MOST]
    labels = [condition_label(study, c) for c in study.condition_names]
    legend = key(kinds)
    y = alt.Y("label:N", sort=labels, axis=alt.Axis(title=None, grid=True, tickBand="extent", labelLimit=300))
    chart = (
        alt.Chart(ROWS)
        .transform_filter("isValid(datum.gain)")
        .mark_point(filled=True, size=70, opacity=0.9)
        .encode(
            x=alt.X("gain:Q", axis=points_axis("Gain over the best member, points", tickCount=8)),
            y=y,
            color=alt.Color(
                "what:N",
                sort=kinds,
                scale=alt.Scale(domain=kinds, range=[WARM, CATEGORIES[4], "#8b979d", ACCENT]),
                legend=legend,
            ),
            shape=alt.Shape(
                "what:N",
                sort=kinds,
                scale=alt.Scale(
                    domain=kinds, range=["triangle-right", "triangle-right", "circle", "diamond"]
                ),
                legend=legend,
            ),
            tooltip=[
                alt.Tooltip("label:N", title="Condition"),
                alt.Tooltip("what:N", title="Shown"),
                alt.Tooltip("gain:Q", title="Points", format="+.2%"),
                alt.Tooltip("discordant:Q", title="Only one of two right", format=".1%"),
                alt.Tooltip("n:Q", title="Images", format=","),
                alt.Tooltip("images_for_a_point:Q", title="Images for 1 point", format=",.0f"),
            ],
        )
        .properties(height=alt.Step(34))
    )
    return Figure(
        name="power",
        title="The smallest gain that these images can show",
        caption="Triangles: a gain of an ensemble over its best member that would be found in four of five "
        "studies of as many images (80 % power, McNemar’s test at the 5 % level; Connor 1987), given the "
        "median share of images that only one of the two gets right; the second triangle is at the level "
        "that "
        f"is left when all {int(rows['num_compared'][0]):,} ensembles of {study.default_size} are "
        "compared. A "
        "gain left of its triangle may be there, and would mostly be missed. No intervals are drawn.",
        alt=f"Dot plot of the smallest gain that can be shown and of the gains seen, on each of "
        f"{plural(len(labels), 'condition')}; the numbers are in tables/power.parquet.",
        chart=chart,
        data={"rows": rows},
    )


def severity_gain_rows(study: Study) -> pl.DataFrame:
    """A row a corruption of several severities, severity and kind: the gain over the best member.

    For the mean over ensembles `low` and `high` are the range of 5 to 95 % of them; for the chosen one the
    95 % interval of the comparison alone. Severity 0 is the clean condition.
    """
    schema = {"panel": pl.String, "severity": pl.Float64, "kind": pl.String, "gain": pl.Float64}
    schema |= {"low": pl.Float64, "high": pl.Float64}
    scales = study.table("severities").unique(["dataset", "corruption", "stored"], maintain_order=True)
    size, rule = study.default_size, study.default_consensus
    if scales.is_empty() or size is None or rule is None:
        return pl.DataFrame(schema=schema)
    gain = pl.col("improvement").fill_nan(None)
    kinds = [
        study.ensembles.filter(size=size, consensus=rule)
        .group_by("condition", maintain_order=True)
        .agg(
            pl.lit(MEAN).alias("kind"),
            gain.mean().alias("gain"),
            gain.quantile(0.05).alias("low"),
            gain.quantile(0.95).alias("high"),
        )
    ]
    best = chosen(study)
    if best is not None and best.size > 1:
        own = study.table("comparisons").filter(ensemble=best.ensemble, size=best.size, consensus=rule)
        kinds.append(
            own.select(
                "condition", pl.lit(CHOSEN).alias("kind"), pl.col("difference").alias("gain"), "low", "high"
            )
        )
    parts = [
        kind.join(points_of(study, scale), on="condition", maintain_order="right").with_columns(
            pl.lit(source_label(study, scale)).alias("panel")
        )
        for scale in scales.iter_rows(named=True)
        for kind in kinds
    ]
    return pl.concat(parts).select(list(schema))


def gain_by_severity(study: Study) -> Figure | None:
    """A panel a corruption; None where no corruption has several severities or nothing is combined."""
    rows = severity_gain_rows(study)
    if rows.is_empty():
        return None
    panels = rows["panel"].unique(maintain_order=True).to_list()
    kinds = [k for k in (MEAN, CHOSEN) if k in set(rows["kind"])]
    panel_width = 210
    base = alt.Chart().transform_filter("isValid(datum.gain)")
    x = alt.X("severity:Q", axis=alt.Axis(title="Severity", tickCount=5), scale=alt.Scale(nice=False))
    y = alt.Y("gain:Q", axis=points_axis("Gain, points", tickCount=5))
    palette = {MEAN: INK, CHOSEN: WARM}
    colour = alt.Color(
        "kind:N",
        sort=kinds,
        scale=alt.Scale(domain=kinds, range=[palette[k] for k in kinds]),
        legend=key(kinds),
    )
    spans = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=1.6, opacity=0.7)
    spans = spans.encode(
        x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour, strokeDash=dashed(f"datum.kind === '{MEAN}'")
    )
    lines = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour)
    dots = base.mark_point(filled=True, size=40, opacity=1).encode(
        x=x,
        y=y,
        color=colour,
        tooltip=[
            alt.Tooltip("kind:N", title="Of"),
            alt.Tooltip("panel:N", title="Corruption"),
            alt.Tooltip("severity:Q", title="Severity", format="~g"),
            alt.Tooltip("gain:Q", title="Gain", format="+.2%"),
            alt.Tooltip("low:Q", title="From", format="+.2%"),
            alt.Tooltip("high:Q", title="To", format="+.2%"),
        ],
    )
    zero = one_row(alt.Chart()).mark_rule(strokeDash=[5, 4], color=INK).encode(y=alt.datum(0))
    chart = (
        alt.layer(zero, spans, lines, dots, data=ROWS)
        .properties(width=panel_width, height=170)
        .facet(facet=alt.Facet("panel:N", title=None, sort=panels), columns=3)
        .resolve_scale(x="independent")
    )
    images = plural(int(study.conditions["n"].max()), "image")  # type: ignore[arg-type]
    return Figure(
        name="gain_by_severity",
        title="Gain against severity",
        caption=f"Accuracy of an ensemble of {study.default_size} less that of its best member, on {images}. "
        "Solid bars: the 95 % interval over images of the chosen ensemble, for it alone. Dashed bars: "
        "where 5 "
        "to 95 % of the ensembles lie, which is no interval. Above the dashed line it pays to combine; a "
        "line "
        "that rises says that it pays more the harder the images are.",
        alt=f"Gain over the best member against severity for {plural(len(panels), 'corruption')}, on the "
        "mean "
        "over ensembles and for the chosen one; the numbers are in tables/ensembles.parquet.",
        chart=chart,
        data={"rows": rows},
        panel_width=panel_width + 76,
    )
