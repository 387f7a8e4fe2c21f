"""Outcomes of voters, risk against coverage, and a confidence threshold as the alternative."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from nversion.report.blocks import (
    NOT_MEASURED,
    Block,
    Cell,
    Drawing,
    Grid,
    Heading,
    Row,
    Words,
    quiet,
    share_cell,
    tables,
)
from nversion.report.charts import (
    ACCENT,
    ROWS,
    SHAPES,
    WARM,
    colour,
    dashed,
    key,
    panels,
    percent_axis,
    shape,
    tips,
)
from nversion.report.contenders import (
    Contender,
    absent,
    chosen,
    contenders,
    ends_of,
    leaning,
    mean_of_all,
    of,
    title_of,
)
from nversion.report.figure import Figure
from nversion.report.frames import conditions_in, with_labels
from nversion.report.labels import condition_label, plural
from nversion.report.registry import Blocks, figure, section
from nversion.report.tables import Study
from nversion.report.undefined import defined

from .shares import stacked_bars

OUTCOMES = {"right": ACCENT, "safe_stop": "#c9d1d5", "silent_wrong": WARM}
OUTCOME_LABELS = {"right": "right", "safe_stop": "safe stop", "silent_wrong": "silently wrong"}
MEAN, CHOSEN = "mean over ensembles", "chosen ensemble"
VOTER, MODEL = "chosen ensemble, k must agree", "best single model, confidence threshold"
PANEL = {"columns": 4, "width": 210, "height": 150}


@section("voting", order=140, nav="Voting", title="Voting: right, stopped, or silently wrong")
def voting(study: Study) -> Blocks:
    if study.default_size is None:
        return None
    blocks: list[Block] = []
    if not study.table("votes").is_empty():
        blocks += [
            Words(
                "In a system that can stop safely a withheld answer costs availability, and a wrong answer "
                "that the voter returns costs safety. Diversity can turn the second into the first."
            ),
            Drawing("voter_outcomes"),
            *tables(vote_tables(study), "Of: "),
        ]
    if not study.table("agreement").is_empty():
        blocks += [
            Heading("Risk by the number of members that agree"),
            Drawing("risk_coverage"),
            *tables(coverage_tables(study), "Of: "),
        ]
    if not study.table("rival").is_empty():
        blocks += [Heading("Alternative: one model with a confidence threshold"), Drawing("confidence_rival")]
    return [*blocks, *quiet(leaning(study), absent(study))] if blocks else None


def voter_label(voter: str, size: int) -> str:
    """A voter by what it requires.

    >>> voter_label("majority", 3), voter_label("unanimous", 3), voter_label("majority", 2)
    ('2-out-of-3', 'unanimous', '2-out-of-2')
    """
    return f"{size // 2 + 1}-out-of-{size}" if voter == "majority" else voter.replace("_", " ")


def _note(who: Contender) -> str:
    if who.ensemble is None:
        return "In percent; in italics, the range of 5 to 95 % of the ensembles, which is not an interval."
    return "In percent, with 95 % intervals."


def _cells(row: Mapping[str, Any] | None, columns: Sequence[str], who: Contender) -> list[Cell]:
    """Shares over their intervals, or for the mean over the range of the ensembles."""
    if row is None:
        return [NOT_MEASURED] * len(columns)
    spread = who.ensemble is None
    return [share_cell(row[column], *ends_of(row, column, who), spread=spread) for column in columns]


def _by_condition(
    study: Study, name: str, index: str, values: Sequence[str], who: Contender
) -> tuple[list[Any], dict[tuple[str, Any], dict[str, Any]]]:
    """The values of a column of a table, and a contender's rows by condition and that value."""
    found = of(study.table(name), who, ["condition", index], values)
    measured = {(r["condition"], r[index]): r for r in found.iter_rows(named=True)}
    return found[index].unique(maintain_order=True).to_list(), measured


def vote_tables(study: Study) -> list[Grid]:
    """One table a contender: conditions down; each voter's three outcomes across."""
    grids = []
    values = [*OUTCOMES, "silent_wrong_low", "silent_wrong_high", "n"]
    for who in contenders(study):
        voters, measured = _by_condition(study, "votes", "voter", values, who)
        if who.size == 2 and "majority" in voters:  # two members that agree are all of them
            voters = ["majority"]
        if not voters:
            continue
        grids.append(
            Grid(
                title_of(who),
                [f"{voter_label(v, who.size)}: {what}" for v in voters for what in OUTCOME_LABELS.values()],
                [
                    Row(
                        condition_label(study, c),
                        [
                            cell
                            for voter in voters
                            for cell in _cells(measured.get((c, voter)), [*OUTCOMES], who)
                        ],
                    )
                    for c in study.condition_names
                ],
                corner="Condition",
                source="votes",
                notes=[_note(who)],
            )
        )
    return grids


def coverage_tables(study: Study) -> list[Grid]:
    """One table a contender: conditions down; coverage and risk for each number of agreeing members."""
    grids = []
    shown, values = ["coverage", "risk"], ["coverage", "risk", "risk_low", "risk_high", "n"]
    for who in contenders(study):
        numbers, measured = _by_condition(study, "agreement", "agreeing", values, who)
        numbers = sorted(numbers)
        if not numbers:
            continue
        skipped = int(numbers[0] == 1)  # an answer agrees with itself: that coverage is 100 % by construction
        columns = [f"{k} or more agree: {what}" for k in numbers for what in shown]
        cells = {
            c: [cell for k in numbers for cell in _cells(measured.get((c, k)), shown, who)]
            for c in study.condition_names
        }
        grids.append(
            Grid(
                title_of(who),
                columns[skipped:],
                [Row(condition_label(study, c), cells[c][skipped:]) for c in study.condition_names],
                corner="Condition",
                source="agreement",
                notes=[_note(who) + " Risk is the error among the images that are answered."],
            )
        )
    return grids


def _shown(study: Study) -> list[tuple[str, Contender]]:
    """The mean over all ensembles and the chosen one, with their names in figures."""
    own = chosen(study)
    return [(MEAN, mean_of_all(study)), *([(CHOSEN, own)] if own else [])]


def vote_rows(study: Study) -> pl.DataFrame:
    """A row a contender, voter, condition and outcome: the mean over ensembles, and the chosen one."""
    order = {outcome: i for i, outcome in enumerate(OUTCOMES)}
    index = ["condition", "voter"]
    parts = []
    for name, who in _shown(study):
        found = of(study.table("votes"), who, index, list(OUTCOMES)).select(*index, *OUTCOMES)
        voters = {v: voter_label(v, who.size) for v in found["voter"].unique()}
        panel = pl.col("voter").replace_strict(voters, default=None).add(f", {name}").alias("panel")
        long = found.unpivot(on=list(OUTCOMES), index=index, variable_name="outcome", value_name="share")
        parts.append(with_labels(study, long.with_columns(panel)))
    return (
        pl.concat(parts)
        .with_columns(
            pl.col("outcome").replace_strict(order, default=None).alias("order"),
            pl.col("outcome").replace_strict(OUTCOME_LABELS, default=None),
        )
        .select("panel", "label", "outcome", "order", "share")
    )


@figure("voter_outcomes")
def voter_outcomes(study: Study) -> Figure | None:
    """Stacked shares, a panel a voter and contender; None where votes were not counted."""
    if study.default_size is None or study.table("votes").is_empty():
        return None
    rows = vote_rows(study)
    bars = stacked_bars(
        [condition_label(study, c) for c in study.condition_names],
        "Share of images",
        dict(zip(OUTCOME_LABELS.values(), OUTCOMES.values(), strict=True)),
        tips(panel="Voter", label="Condition", outcome="Outcome", share=("Share", ".1%")),
    )
    last = {f"{voter_label('unanimous', who.size)}, {name}" for name, who in _shown(study)}
    order = sorted(rows["panel"].unique(maintain_order=True), key=lambda panel: panel in last)
    return Figure(
        title="Outcomes of voters",
        caption="A voter answers where enough members predict one class, and otherwise stops, which a system "
        "can handle. Orange is what it cannot handle: enough members agree on a wrong class.",
        alt="Stacked bars of the shares of images that voters decide correctly, stop at, and decide silently "
        "wrongly, on every condition; the shares are in the table below.",
        chart=panels(alt.layer(bars, data=ROWS), "panel", order, columns=2, width=240, height=alt.Step(21)),
        data={"rows": rows},
        panel_width=370,
    )


def coverage_rows(study: Study) -> pl.DataFrame:
    """A row a contender, condition and least number of agreeing members.

    `risk_low` and `risk_high` are the 95 % interval of the chosen ensemble, and for the mean the range
    of 5 to 95 % of the ensembles.
    """
    keys = ["condition", "agreeing"]
    parts = []
    for name, who in _shown(study):
        ends = {"risk_p05": "risk_low", "risk_p95": "risk_high"} if who.ensemble is None else {}
        values = ["coverage", "risk"] if ends else ["coverage", "risk", "risk_low", "risk_high"]
        found = of(study.table("agreement"), who, keys, values).rename(ends)
        who_column = pl.lit(name).alias("who")
        parts.append(found.select(who_column, *keys, "coverage", "risk", "risk_low", "risk_high"))
    return with_labels(study, pl.concat(parts))


@figure("risk_coverage")
def risk_coverage(study: Study) -> Figure | None:
    """Error among accepted images against the share that is accepted; None where it was not measured."""
    if study.default_size is None or study.table("agreement").is_empty():
        return None
    rows = coverage_rows(study)
    palette = {k: v for k, v in {CHOSEN: ACCENT, MEAN: "#7d8a91"}.items() if k in set(rows["who"])}
    x = alt.X("coverage:Q", axis=percent_axis("Coverage", tickCount=3), scale=alt.Scale(zero=False))
    y = alt.Y("risk:Q", axis=percent_axis("Risk", tickCount=4))
    base = alt.Chart().transform_filter("isValid(datum.risk)").encode(x=x, color=colour("who", palette))
    spans = base.mark_rule(strokeWidth=2, opacity=0.5).encode(
        y=alt.Y("risk_low:Q"), y2="risk_high:Q", strokeDash=dashed(f"datum.who === '{MEAN}'")
    )
    dots = base.mark_point(filled=True, size=45, opacity=1).encode(
        y=y,
        tooltip=tips(
            who="Of",
            agreeing=("Members that must agree", ""),
            coverage=("Coverage", ".1%"),
            risk=("Risk", ".1%"),
            risk_low=("From", ".1%"),
            risk_high=("To", ".1%"),
        ),
    )
    lines = base.mark_line(strokeWidth=1.6).encode(y=y, order="agreeing:Q")
    order = [condition_label(study, c) for c in conditions_in(study, rows)]
    chart = panels(alt.layer(spans, lines, dots, data=ROWS), "label", order, **PANEL)
    return Figure(
        title="Risk against coverage",
        caption="From right to left more members must predict one class before their answer is taken: fewer "
        "images are answered, and fewer of these wrongly. Solid bars: the 95 % interval over images of the "
        "chosen ensemble. Dashed bars: the range of 5 to 95 % of the ensembles, which is not an interval. "
        "Scales differ between conditions.",
        alt="For each condition the error among answered images against the share of answered images, by "
        "the number of members that must agree; the numbers are in the table below.",
        chart=chart.resolve_scale(x="independent", y="independent"),
        data={"rows": rows},
        panel_width=276,
    )


def rival_rows(study: Study) -> pl.DataFrame:
    """The rival table with labels of conditions and of the two systems."""
    rows = study.table("rival")
    if rows.is_empty():
        return rows
    agreeing = pl.when(pl.col("system") == "voter").then(pl.format("{} of {}", "agreeing", "size"))
    return with_labels(study, rows).with_columns(
        pl.col("system").replace_strict({"voter": VOTER, "model": MODEL}, default=None).alias("who"),
        agreeing.otherwise(pl.lit("")).alias("said"),
    )


@figure("confidence_rival")
def confidence_rival(study: Study) -> Figure | None:
    """A panel a condition: silently wrong against coverage; None where nothing was chosen."""
    rows = rival_rows(study)
    if rows.is_empty():
        return None
    votes = sorted(set(rows["said"]) - {""})
    order = [condition_label(study, c) for c in conditions_in(study, rows)]
    x = alt.X("coverage:Q", axis=percent_axis("Answered", tickCount=4), scale=alt.Scale(zero=False))
    y = alt.Y("silent_wrong:Q", axis=percent_axis("Silently wrong", tickCount=4))
    # Where the voters are; further left there is only the tail of the model's curve.
    least = rows.filter(system="voter")["coverage"].min()
    start = 0.0 if least is None else max(0.0, math.floor(10 * float(str(least)) - 1) / 10)
    base = alt.Chart().encode(x=x, color=colour("who", {MODEL: WARM, VOTER: ACCENT}))
    of_model = base.transform_filter(f"datum.system === 'model' && datum.coverage >= {start}")
    of_voter = base.transform_filter("datum.system === 'voter'")
    dots = of_voter.mark_point(filled=True, size=55, opacity=1).encode(
        y=y,
        shape=shape("said", dict(zip(votes, SHAPES, strict=False)), key(votes, "Must agree")),
        tooltip=tips(
            name="Of",
            said="Must agree",
            coverage=("Answered", ".1%"),
            silent_wrong=("Silently wrong", ".2%"),
            low=("95 % from", ".2%"),
            high=("95 % to", ".2%"),
            difference=("Less the model’s", "+.2%"),
            difference_low=("95 % from", "+.2%"),
            difference_high=("95 % to", "+.2%"),
        ),
    )
    layers = [
        of_model.mark_area(opacity=0.16).encode(y=alt.Y("low:Q"), y2="high:Q"),
        of_model.mark_line(strokeWidth=2).encode(y=y),
        of_voter.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q"), y2="high:Q"),
        dots,
    ]
    chart = panels(alt.layer(*layers, data=ROWS), "label", order, **PANEL)
    sizes = sorted(rows["n"].unique())
    images = f"{sizes[0]:,} images" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,} images"
    return Figure(
        title="One model with a confidence threshold, against the voter",
        caption=f"Share of all images answered wrongly against the share answered, on the {images} held out "
        "from the selection of both. The model answers where its largest softmax probability is above a "
        "threshold. Bands and bars: 95 % intervals over images, Clopper and Pearson’s. Lower is safer, "
        f"further right is more available. {verdict(rows)} Scales differ between conditions.",
        alt="Silently wrong against answered for a single model with a confidence threshold and for the "
        f"voter, on {plural(len(order), 'condition')}. {verdict(rows)}",
        chart=chart.resolve_scale(x="independent", y="independent"),
        data={"rows": rows},
        panel_width=276,
    )


def verdict(rows: pl.DataFrame) -> str:
    """In how many comparisons at equal coverage the voter is safer, or less safe."""
    low, high = defined("difference_low"), defined("difference_high")
    known = rows.filter(low.is_not_null(), high.is_not_null(), system="voter")
    safer, worse = known.filter(high < 0).height, known.filter(low > 0).height
    return (
        f"At the same share of answered images the voter returns fewer wrong answers in {safer} and more in "
        f"{worse} of {plural(known.height, 'comparison')} by 95 % intervals of the paired difference, each "
        "for itself; the others are undecided."
    )
