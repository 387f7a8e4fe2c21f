"""Whether a cheap attribution method ranks pairs of models as a costly one does (Figure 9)."""

from __future__ import annotations

import polars as pl

from nversion.report.blocks import Block, Cell, Drawing, Grid, Row, Section, Tables, Words, coefficient_cell
from nversion.report.frames import unit_length_first
from nversion.report.labels import condition_label, plural
from nversion.report.names import NORMALISE, TARGETS, method_label
from nversion.report.tables import Study


def section(study: Study) -> Section | None:
    """None where fewer than two methods were compared."""
    agreement = unit_length_first(study.table("attribution_agreement"))
    if agreement.is_empty():
        return None
    if not agreement.filter(pl.col("low").is_not_nan()).height:
        pairs = plural(max(agreement["n_pairs"]), "pair")
        words = (
            f"Whether attribution methods agree cannot be told: over {pairs} of models no correlation of "
            "theirs has an interval."
        )
        return Section("attribution", "Attribution", "Do attribution methods agree?", [Words(words)])
    methods = {*agreement["method_a"], *agreement["method_b"]}
    costly = any(method.startswith("integrated_gradients") for method in methods)
    blocks: list[Block] = [
        Words(
            "A saliency map costs one pass forward and backward"
            + ("; integrated gradients with n steps cost n" if costly else "")
            + ". Methods that put pairs of models in the same order measure the same diversity of ensembles, "
            "and the cheapest is enough. The paper found a mean correlation of 0.998 between saliency and "
            "integrated gradients on networks of one supernet."
        ),
        Drawing("attribution_agreement"),
        Tables(agreement_tables(study, agreement)),
    ]
    costs = cost_table(study)
    if costs is not None:
        blocks.append(Tables([costs]))
    return Section("attribution", "Attribution", "Do attribution methods agree?", blocks)


def agreement_tables(study: Study, agreement: pl.DataFrame) -> list[Grid]:
    """One table a condition, target and normalisation: pairs of methods down."""
    return [
        Grid(
            f"{condition_label(study, str(condition))}, {TARGETS[str(target)]}, {NORMALISE[str(normalise)]}",
            ["Pearson", "Spearman", "Pairs of models"],
            [
                Row(
                    f"{method_label(row['method_a'])} and {method_label(row['method_b'])}",
                    [
                        coefficient_cell(row["pearson"], row["low"], row["high"]),
                        coefficient_cell(row["spearman"], None, None),
                        Cell(f"{row['n_pairs']:,}"),
                    ],
                )
                for row in part.iter_rows(named=True)
            ],
            corner="Methods",
            source="attribution_agreement",
            notes=[
                "The interval is that of Pearson's correlation, 95 %; pairs that share a model are not "
                "independent of each other, which it allows for."
            ],
        )
        for (condition, target, normalise), part in agreement.group_by(
            "condition", "target", "normalise", maintain_order=True
        )
    ]


def cost_table(study: Study) -> Grid | None:
    """Passes of each method; None where the manifest does not say."""
    passes = study.manifest.get("attribution_passes")
    if not passes:
        return None
    return Grid(
        "Cost of each method",
        ["Passes forward and backward"],
        [Row(method_label(method), [Cell(f"{count:,}")]) for method, count in passes.items()],
        corner="Method",
    )
