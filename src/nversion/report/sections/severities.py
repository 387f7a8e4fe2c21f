"""Accuracy and gain against severity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from nversion.report.benchmark_sets import models_and_contenders, percent_cell, values_of
from nversion.report.blocks import (
    NOT_MEASURED,
    SMALL_PRINT,
    Block,
    Cell,
    Drawing,
    Grid,
    Heading,
    Row,
    Tables,
    Words,
    quiet,
)
from nversion.report.charts import (
    ACCENT,
    INK,
    ROWS,
    WARM,
    colour,
    dashed,
    panels,
    percent_axis,
    points_axis,
    select,
    tips,
    zero_rule,
)
from nversion.report.contenders import Contender, chosen, mean_of_all, of
from nversion.report.figure import Figure
from nversion.report.frames import wilson
from nversion.report.labels import UNDEFINED, is_undefined, plural, source_label
from nversion.report.registry import figure
from nversion.report.tables import Study
from nversion.report.undefined import defined

from .resilience import baseline

_SCALE = ["dataset", "corruption", "stored"]
_CAPTIONS = {"area": "Area under accuracy against severity, %", "half_severity": "Half severity"}


OTHERS, FOREGROUND, CHOSEN, MEAN = (
    "other models",
    "model in the foreground",
    "chosen ensemble",
    "mean over ensembles",
)
PALETTE = {OTHERS: "#b9c3c8", FOREGROUND: ACCENT, CHOSEN: WARM, MEAN: INK}
PANEL = {"columns": 3, "width": 210}


def _scales(study: Study) -> list[dict[str, Any]]:
    """Each corruption of several severities, with the first and the last of them."""
    table = study.table("severities")
    return [] if table.is_empty() else table.unique(_SCALE, maintain_order=True).to_dicts()


def points_of(study: Study, scale: Mapping[str, Any]) -> pl.DataFrame:
    """Columns condition, severity: the conditions of one scale by rising severity."""
    points = []
    for condition in study.condition_names:
        fact = study.fact(condition)
        if all((fact[key] or "") == scale[key] for key in _SCALE):
            points.append((condition, float(fact["severity"])))
        elif fact["dataset"] == scale["dataset"] and fact["corruption"] is None and scale["first"] == 0:
            points.append((condition, 0.0))
    schema = {"condition": pl.String, "severity": pl.Float64}
    return pl.DataFrame(points, schema=schema, orient="row").sort("severity")


def _by_severity(study: Study, kinds: list[pl.DataFrame], columns: list[str]) -> pl.DataFrame:
    """The rows of each scale and frame of conditions: with `panel`, and `severity` for the condition."""
    parts = [
        kind.join(points_of(study, scale), on="condition", maintain_order="right").with_columns(
            pl.lit(source_label(study, scale)).alias("panel")
        )
        for scale in _scales(study)
        for kind in kinds
    ]
    return pl.concat(parts).select(columns) if parts else pl.DataFrame(schema=dict.fromkeys(columns))


def severity_rows(study: Study) -> pl.DataFrame:
    """A row a corruption of several severities, severity, and model or contender: top1, low, high.

    Severity 0 is the clean condition where the scale begins with it. For the mean over ensembles `low`
    and `high` are the range of 5 to 95 % of the ensembles.
    """
    columns = ["panel", "severity", "kind", "who", "top1", "low", "high"]
    return _by_severity(study, _accuracies(study) if _scales(study) else [], columns)


def _accuracies(study: Study) -> list[pl.DataFrame]:
    """Columns condition, kind, who, top1, low, high: of the models, then of the contenders."""
    columns = ["condition", "kind", "who", "top1", "low", "high"]
    models = study.models.rename({"model": "who", "top1_low": "low", "top1_high": "high"})
    frames = [models.with_columns(pl.lit(OTHERS).alias("kind")).select(columns)]
    rule = study.default_consensus
    if rule is None or study.default_size is None:
        return frames
    by_rule, everyone = study.ensembles.filter(consensus=rule), mean_of_all(study)
    mean = of(by_rule, everyone, ["condition"], ["top1"]).rename({"top1_p05": "low", "top1_p95": "high"})
    who = pl.lit(everyone.label).alias("who")
    frames.append(mean.with_columns(pl.lit(MEAN).alias("kind"), who).select(columns))
    if (best := chosen(study)) is not None:
        own = of(by_rule, best, ["condition"], ["top1"])
        ends = [wilson(row["top1"], study.fact(row["condition"])["n"]) for row in own.iter_rows(named=True)]
        frames.append(
            own.with_columns(
                pl.lit(CHOSEN).alias("kind"),
                pl.lit(best.ensemble).alias("who"),
                pl.Series("low", [low for low, _ in ends], pl.Float64),
                pl.Series("high", [high for _, high in ends], pl.Float64),
            ).select(columns)
        )
    return frames


@figure("accuracy_by_severity")
def accuracy_by_severity(study: Study) -> Figure | None:
    """A panel a corruption, a line a model or ensemble; None where none has several severities."""
    rows = severity_rows(study)
    if rows.is_empty():
        return None
    names = study.model_names
    order = rows["panel"].unique(maintain_order=True).to_list()
    role = f"datum.kind !== '{OTHERS}' ? datum.kind : datum.who === foreground ? '{FOREGROUND}' : '{OTHERS}'"
    base = (
        alt.Chart()
        .transform_filter("isValid(datum.top1)")
        .transform_calculate(role=role)
        .encode(
            x=_severity_axis(),
            color=colour(
                "role", {k: v for k, v in PALETTE.items() if k == FOREGROUND or k in set(rows["kind"])}
            ),
        )
    )
    front = base.transform_filter(f"datum.role !== '{OTHERS}'")
    y = alt.Y("top1:Q", axis=percent_axis("Top-1", tickCount=5), scale=alt.Scale(zero=False))
    others = base.transform_filter(f"datum.role === '{OTHERS}'").mark_line(strokeWidth=1)
    known = front.transform_filter("isValid(datum.low)")
    bands = known.transform_filter(f"datum.role !== '{MEAN}'").mark_area(opacity=0.16)
    edge = known.transform_filter(f"datum.role === '{MEAN}'").mark_line(strokeWidth=1, strokeDash=[3, 3])
    dots = base.mark_point(filled=True, opacity=1).encode(
        y=y,
        size=alt.condition(f"datum.role === '{OTHERS}'", alt.value(10), alt.value(36)),
        tooltip=tips(
            who="Of",
            panel="Corruption",
            severity=("Severity", "~g"),
            top1=("Top-1", ".1%"),
            low=("From", ".1%"),
            high=("To", ".1%"),
        ),
    )
    layers = [
        others.encode(y=y, detail="who:N"),
        bands.encode(y=alt.Y("low:Q"), y2="high:Q", detail="who:N"),
        edge.encode(y=alt.Y("low:Q")),
        edge.encode(y=alt.Y("high:Q")),
        front.mark_line(strokeWidth=2).encode(y=y, detail="who:N"),
        dots,
    ]
    chart = panels(alt.layer(*layers, data=ROWS), "panel", order, height=180, **PANEL)
    return Figure(
        title="Accuracy against severity",
        caption="A line is a model or ensemble. Bands: the 95 % interval over images of the model in the "
        "foreground and of the chosen ensemble. Dashed: the range of 5 to 95 % of the ensembles, which is "
        "not an interval. Severity 0 is the clean condition, where the scale begins with it. Severity scales "
        "differ between corruptions, so compare slopes within a panel only.",
        alt=f"Top-1 accuracy against severity for {plural(len(order), 'corruption')}: "
        f"{plural(len(names), 'model')} and ensembles; area and half severity are in the table below.",
        chart=chart.resolve_scale(x="independent").add_params(
            select("foreground", "Model in blue: ", names, names, baseline(study))
        ),
        data={"rows": rows},
        panel_width=286,
    )


def _severity_axis() -> alt.X:
    return alt.X("severity:Q", axis=alt.Axis(title="Severity", tickCount=5), scale=alt.Scale(nice=False))


def severity_gain_rows(study: Study) -> pl.DataFrame:
    """A row a corruption of several severities, severity and kind: the gain over the best member.

    For the mean over ensembles `low` and `high` are the range of 5 to 95 % of them; for the chosen one the
    95 % interval of the comparison alone. Severity 0 is the clean condition.
    """
    size, rule = study.default_size, study.default_consensus
    kinds = []
    if size is not None and rule is not None:
        gain = defined("improvement")
        of_size = study.ensembles.filter(size=size, consensus=rule)
        ends = [gain.quantile(0.05).alias("low"), gain.quantile(0.95).alias("high")]
        kinds.append(
            of_size.group_by("condition", maintain_order=True).agg(
                pl.lit(MEAN).alias("kind"), gain.mean().alias("gain"), *ends
            )
        )
        best = chosen(study)
        own = study.table("comparisons")
        if best is not None and best.size > 1 and not own.is_empty():
            own = own.filter(ensemble=best.ensemble, size=best.size, consensus=rule)
            value = pl.col("difference").alias("gain")
            kinds.append(own.select("condition", pl.lit(CHOSEN).alias("kind"), value, "low", "high"))
    return _by_severity(study, kinds, ["panel", "severity", "kind", "gain", "low", "high"])


@figure("gain_by_severity")
def gain_by_severity(study: Study) -> Figure | None:
    """A panel a corruption; None where none has several severities or there are no ensembles."""
    rows = severity_gain_rows(study)
    if rows.is_empty():
        return None
    order = rows["panel"].unique(maintain_order=True).to_list()
    palette = {k: PALETTE[k] for k in (MEAN, CHOSEN) if k in set(rows["kind"])}
    base = (
        alt.Chart()
        .transform_filter("isValid(datum.gain)")
        .encode(x=_severity_axis(), color=colour("kind", palette))
    )
    y = alt.Y("gain:Q", axis=points_axis("Gain, points", tickCount=5))
    spans = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=1.6, opacity=0.7)
    dots = base.mark_point(filled=True, size=40, opacity=1).encode(
        y=y,
        tooltip=tips(
            kind="Of",
            panel="Corruption",
            severity=("Severity", "~g"),
            gain=("Gain", "+.2%"),
            low=("From", "+.2%"),
            high=("To", "+.2%"),
        ),
    )
    layers = [
        zero_rule("y"),
        spans.encode(y=alt.Y("low:Q"), y2="high:Q", strokeDash=dashed(f"datum.kind === '{MEAN}'")),
        base.mark_line(strokeWidth=2).encode(y=y),
        dots,
    ]
    chart = panels(alt.layer(*layers, data=ROWS), "panel", order, height=170, **PANEL)
    return Figure(
        title="Gain against severity",
        caption=f"Accuracy of an ensemble of {study.default_size} minus that of its best member, on "
        f"{plural(max(study.values('conditions', 'n')), 'image')}. Solid bars: the 95 % interval over images "
        "of the chosen ensemble, for it alone. Dashed bars: the range of 5 to 95 % of the ensembles, which "
        "is not an interval. Above the dashed line the ensemble is more accurate than its best member; a "
        "rising line means that the gain grows with severity.",
        alt=f"Gain over the best member against severity for {plural(len(order), 'corruption')}: mean over "
        "ensembles and chosen ensemble; the numbers are in tables/ensembles.parquet.",
        chart=chart.resolve_scale(x="independent"),
        data={"rows": rows},
        panel_width=286,
    )


def severity_blocks(study: Study) -> list[Block]:
    """Words, figure and tables; one sentence where no corruption has several severities."""
    if study.table("severities").is_empty():
        return [
            *quiet(
                "Each corruption was studied at one severity. To show accuracy and gain against severity, "
                "list several severities in the study file."
            )
        ]
    has_half = not study.table("severities", quantity="half_severity").is_empty()
    half = (
        "The half severity is where accuracy first falls to half of the clean accuracy: the larger, the more "
        "robust the classifier."
        if has_half
        else "The half severity, where accuracy is half of the clean accuracy, needs the clean condition, "
        "which was not studied."
    )
    return [
        Heading("Accuracy and gain against severity"),
        Words(
            "The area under accuracy against severity is the mean accuracy over the range studied, with "
            f"straight lines between levels. {half} Both depend on the corruption’s scale and on the levels "
            "of the study, so compare them within a column only."
        ),
        Drawing("accuracy_by_severity"),
        Drawing("gain_by_severity"),
        Tables(severity_tables(study)),
    ]


def severity_tables(study: Study) -> list[Grid]:
    """Area, and half severity where clean images were studied: corruptions across."""
    table = study.table("severities")
    scales = table.unique(_SCALE, maintain_order=True)
    grids = []
    for quantity, caption in _CAPTIONS.items():
        of_quantity = table.filter(quantity=quantity)
        if of_quantity.is_empty():
            continue
        rows = []
        for label, small, who in models_and_contenders(study):
            cells = []
            for scale in scales.iter_rows(named=True):
                found = of_quantity.filter(**{key: scale[key] for key in _SCALE})
                row = next(iter(values_of(found, who).iter_rows(named=True)), None)
                cells.append(percent_cell(row) if quantity == "area" else _severity_cell(row, who, found))
            rows.append(Row(label, cells, small=small))
        notes = [SMALL_PRINT]
        if quantity == "half_severity":
            notes.append(
                "“Above” the last severity: accuracy stays over half of the clean accuracy. There is no "
                "interval where the crossing leaves the range without some block of images. The mean over "
                "ensembles is over those that cross."
            )
        heads = [
            f"{source_label(study, scale)}, {scale['first']:g} to {scale['last']:g}"
            for scale in scales.iter_rows(named=True)
        ]
        grids.append(Grid(caption, heads, rows, corner="Model or ensemble", notes=notes, source="severities"))
    return grids


def _severity_cell(row: Mapping[str, Any] | None, who: Contender, found: pl.DataFrame) -> Cell:
    if row is None:
        return NOT_MEASURED
    if is_undefined(row["value"]):
        notes = [row["note"]] if row["note"] else found.filter(size=who.size)["note"].mode().to_list()
        return Cell(notes[0] if notes else UNDEFINED)
    small = "" if is_undefined(row["low"]) else f"{row['low']:.2f}–{row['high']:.2f}"
    return Cell(f"{row['value']:.2f}", small or "no interval", note=row["note"])
