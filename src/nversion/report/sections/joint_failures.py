"""Joint failures of members, with and without suspected label errors, and the common-cause factor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from nversion.report.blocks import Block, Cell, Drawing, Grid, Heading, Row, Words, quiet, share_cell, tables
from nversion.report.charts import (
    ACCENT,
    CATEGORIES,
    MUTED,
    ROWS,
    colour,
    dashed,
    key,
    labels_down,
    percent_axis,
    shape,
    step,
    tips,
)
from nversion.report.contenders import Contender, absent, chosen, contenders, ends_of, leaning, of, title_of
from nversion.report.figure import Figure
from nversion.report.frames import NORMAL_QUANTILE, with_labels
from nversion.report.labels import condition_label
from nversion.report.registry import figure
from nversion.report.tables import Study
from nversion.report.undefined import defined

from .methodologies import SUBSETS

SPREAD, SPREAD_IF = "all ensembles: median, 5 to 95 % of them", "the same if members were independent"
CHOSEN = "chosen ensemble: 95 % interval over images"
_JOINT = (
    ("all_fail", "All members fail", 2),
    ("all_fail_independent", "… if independent", 2),
    ("majority_fail", "A majority fails", 1),
    ("majority_fail_independent", "… if independent", 1),
    ("vote_fail", "Plurality vote fails", 1),
    ("identical_wrong", "Half or more predict one wrong class", 1),
)


def joint_blocks(study: Study) -> list[Block]:
    """Tables and figure; no blocks where joint failures were not counted."""
    if study.table("joint_failures").is_empty() or not study.default_size:
        return []
    return [
        Heading("Joint failures, with and without suspected label errors"),
        Words(
            "An image with a wrong label looks like a common failure of all models. Every number is given "
            "twice: over all images, and without those that nearly all models misclassify. The true value is "
            "between: some of these images are only hard, and leaving out what nearly all models misclassify "
            "lowers every number here by construction."
        ),
        *quiet(leaning(study), absent(study)),
        *tables(joint_tables(study), "Of: "),
        Drawing("beta"),
    ]


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
                    title_of(who),
                    ["Images", *(words for _, words, _ in _JOINT)],
                    rows,
                    corner="Condition",
                    source="joint_failures",
                    notes=[
                        "In percent of the images; in italics, the range of 5 to 95 % of the ensembles, "
                        "which is not an interval."
                        if who.ensemble is None
                        else "In percent of the images, with 95 % intervals; none for the values under "
                        "independence, which are computed from the members' own failure rates."
                    ],
                )
            )
    return grids


def _joint_cells(row: Mapping[str, Any], who: Contender) -> list[Cell]:
    cells = [Cell(f"{row['n']:,.0f}")]
    for column, _, digits in _JOINT:
        computed = who.ensemble is not None and column.endswith("_independent")
        low, high = (None, None) if computed else ends_of(row, column, who)
        cells.append(share_cell(row[column], low, high, digits, spread=who.ensemble is None))
    return cells


def beta_rows(study: Study) -> pl.DataFrame:
    """Median with 5 and 95 % quantiles over ensembles, and the chosen one with its interval."""
    table = study.table("joint_failures")
    if table.is_empty() or study.default_size is None:
        return pl.DataFrame()
    table = table.filter(subset="all")
    of_size = table.filter(size=study.default_size).group_by("condition", maintain_order=True)
    parts = [
        of_size.agg(
            pl.lit(what).alias("what"),
            defined(column).median().alias("value"),
            defined(column).quantile(0.05).alias("low"),
            defined(column).quantile(0.95).alias("high"),
        )
        for what, column in ((SPREAD, "beta"), (SPREAD_IF, "beta_independent"))
    ]
    own = chosen(study)
    if own is not None:
        half = NORMAL_QUANTILE * pl.col("beta_stderr")
        parts.append(
            table.filter(ensemble=own.ensemble, size=own.size).select(
                "condition",
                pl.lit(CHOSEN).alias("what"),
                pl.col("beta").alias("value"),
                (pl.col("beta") - half).clip(0, 1).alias("low"),
                (pl.col("beta") + half).clip(0, 1).alias("high"),
            )
        )
    return with_labels(study, pl.concat(parts)).filter(defined("value").is_not_null())


@figure("beta")
def beta(study: Study) -> Figure | None:
    """The common-cause factor of the ensembles and its value under independence; None without any."""
    rows = beta_rows(study)
    if rows.is_empty():
        return None
    kinds = [k for k in (SPREAD, SPREAD_IF, CHOSEN) if k in set(rows["what"])]
    legend = key(kinds)
    base = alt.Chart().encode(
        y=labels_down([condition_label(study, c) for c in study.condition_names]),
        yOffset=alt.YOffset("what:N", sort=kinds),
        color=colour("what", dict(zip(kinds, (MUTED, CATEGORIES[1], ACCENT), strict=False)), legend),
    )
    scale = alt.Scale(domain=[0, 1])
    spans = base.mark_rule(strokeWidth=2, opacity=0.8).encode(
        x=alt.X("low:Q", scale=scale), x2="high:Q", strokeDash=dashed(f"datum.what !== '{CHOSEN}'")
    )
    dots = base.mark_point(filled=True, size=55, opacity=1).encode(
        x=alt.X("value:Q", scale=scale, axis=percent_axis("Common-cause factor β", tickCount=6)),
        shape=shape("what", dict(zip(kinds, ("circle", "triangle-up", "diamond"), strict=False)), legend),
        tooltip=tips(
            label="Condition", what="Of", value=("β (median)", ".1%"), low=("From", ".1%"), high=("To", ".1%")
        ),
    )
    return Figure(
        title="The common-cause factor",
        caption="β: of the failures of one member, the share in which another fails with it, averaged "
        f"over members and pairs of an ensemble of {study.default_size}; independent members would have "
        "their own failure rate as β. Dashed: the range of 5 to 95 % of the ensembles, which is not an "
        "interval.",
        alt="Common-cause factor over all ensembles and if members were independent, for each condition; "
        "the numbers are in tables/joint_failures.parquet.",
        chart=alt.layer(spans, dots, data=ROWS).properties(height=step(40)),
        data={"rows": rows},
    )
