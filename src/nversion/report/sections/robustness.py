"""Which kinds of models lose less than their clean accuracy foretells, and whose errors agree."""

from __future__ import annotations

import polars as pl

from nversion.report.blocks import Block, Cell, Drawing, Grid, Row, Section, Tables, Words, points_cell
from nversion.report.footnotes import footnotes
from nversion.report.frames import FEWEST_FOR_A_LINE, has_a_line
from nversion.report.labels import condition_label, plural
from nversion.report.tables import Study

KINDS = {"family": "Family", "training": "Training approach"}


def section(study: Study) -> Section | None:
    """None where neither residuals nor error consistency were measured."""
    has_residuals = has_a_line(study)
    has_consistency = not study.pairs.filter(metric="error_consistency").is_empty()
    blocks: list[Block] = []
    if has_residuals:
        blocks += [
            Words(
                "More accurate models are mostly more accurate on corrupted images, too. The question is "
                "which are so beyond that: the residual of corrupted accuracy, on probit scale, on clean "
                "accuracy, put back into points of accuracy."
            ),
            Drawing("effective_robustness"),
            Tables(robustness_tables(study)),
        ]
    elif not study.table("robustness").is_empty():
        blocks.append(
            Words(
                "Who is robust beyond accuracy cannot be told: the line of corrupted on clean accuracy takes "
                f"{FEWEST_FOR_A_LINE} models of different accuracy at the least."
            )
        )
    if has_consistency:
        blocks.append(Drawing("error_consistency"))
    if not blocks:
        return None
    nav, title = (
        ("Robustness", "Robust beyond accuracy") if has_residuals else ("Errors", "Whose errors agree")
    )
    return Section("robustness", nav, title, blocks)


def robustness_tables(study: Study) -> list[Grid]:
    """Residuals by family and training, then by model; conditions across."""
    # Of two models, and of models of one accuracy, no line is left to differ from.
    groups, models = (
        study.table(name).filter(pl.col("residual_points").is_not_nan())
        for name in ("robustness_groups", "robustness")
    )
    conditions = [c for c in study.condition_names if c in set(models["condition"])]
    labels = [condition_label(study, c) for c in conditions]
    grids = []
    # A group of all models has a mean residual of zero by construction.
    of_all = pl.col("note").fill_null("").str.starts_with("all models are in this group")
    several_rows = groups.filter(pl.col("n_models") > 1, ~of_all)
    several = several_rows.group_by("kind", "group", maintain_order=True).agg(pl.col("n_models").max())
    single = groups.filter(pl.col("n_models") == 1).select("kind", "group").unique().height
    if several.height:
        by_key = {(r["kind"], r["group"], r["condition"]): r for r in groups.iter_rows(named=True)}
        grids.append(
            Grid(
                "Residual by family and training approach, points",
                labels,
                [
                    Row(
                        f"{group} ({n})",
                        [_cell(by_key.get((kind, group, c))) for c in conditions],
                        group=KINDS.get(kind, kind),
                    )
                    for kind, group, n in several.iter_rows()
                ],
                corner="Models (number)",
                source="robustness_groups",
                notes=[
                    "Bold: the 95 % interval excludes zero.",
                    *(
                        [f"{plural(single, 'group')} of one model: its residual is below, by model."]
                        if single
                        else []
                    ),
                    *footnotes(several_rows["note"]),
                ],
            )
        )
    by_model = {(r["model"], r["condition"]): r for r in models.iter_rows(named=True)}
    grids.append(
        Grid(
            "Residual by model, points",
            labels,
            [
                Row(model, [_cell(by_model.get((model, c))) for c in conditions])
                for model in models["model"].unique(maintain_order=True)
            ],
            corner="Model",
            source="robustness",
            notes=["Bold: the 95 % interval excludes zero, for this model alone."],
        )
    )
    return grids


def _cell(row: dict[str, float] | None) -> Cell:
    return points_cell(row["residual_points"], row["low"], row["high"]) if row else Cell("not measured")
