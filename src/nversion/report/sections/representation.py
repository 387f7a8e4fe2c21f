"""How alike the layers of two models are (Figure 12)."""

from __future__ import annotations

import itertools

import polars as pl

from nversion.report.blocks import Block, Cell, Drawing, Grid, Heading, Row, Section, Tables, Words, half_cell
from nversion.report.contenders import chosen
from nversion.report.figures.representation import shown_pairs
from nversion.report.frames import NORMAL_QUANTILE
from nversion.report.labels import condition_label, plural
from nversion.report.names import method_label
from nversion.report.tables import Study

MAX_PAIRS = 12


def section(study: Study) -> Section | None:
    """None where no layers were compared."""
    layers = study.table("cka")
    if layers.is_empty() and study.pairs.filter(metric="cka").is_empty():
        return None
    num = layers.select("model_a", "model_b").unique().height
    blocks: list[Block] = [
        Words(
            "Centered kernel alignment (Eq. 6, unbiased): 1 where two layers tell the same images alike up "
            "to a rotation, 0 where they have nothing in common. Low values between members mean that they "
            "compute different things, not that they fail on different images."
        ),
        Drawing("cka"),
        Drawing("cka_matrix"),
    ]
    left = num - len(shown_pairs(study))
    if left > 0:
        blocks.append(Words(f"{plural(left, 'more pair')} are in tables/cka.parquet.", quiet=True))
    undefined = layers.filter(pl.col("value").is_nan())
    if undefined.height:
        reasons = "; ".join(undefined["note"].unique(maintain_order=True).to_list()[:3])
        blocks.append(
            Words(
                f"{undefined.height:,} of {plural(layers.height, 'value')} are undefined ({reasons}); grey "
                "in the figure.",
                quiet=True,
            )
        )
    if layers.height and layers["stderr"].is_nan().all():
        blocks.append(Words("These are too few minibatches for standard errors.", quiet=True))
    maps = map_table(study)
    if maps is not None:
        blocks += [Heading("The same for attribution maps"), Tables([maps])]
    return Section("representation", "Representation", "How alike the models' layers are", blocks)


def map_table(study: Study) -> Grid | None:
    """CKA between the attribution maps of two models by one method; None where maps were not compared."""
    maps = study.table("cka").filter(
        pl.col("depth_a") < 0, pl.col("layer_a") == pl.col("layer_b"), condition=study.first_condition
    )
    if maps.is_empty():
        return None
    methods = maps["layer_a"].unique(maintain_order=True).to_list()
    own = chosen(study)
    first = set(itertools.permutations(study.members(own.ensemble), 2)) if own and own.ensemble else set()
    pairs = maps.select("model_a", "model_b").unique(maintain_order=True).rows()
    pairs.sort(key=lambda pair: pair not in first)
    values = {(r["model_a"], r["model_b"], r["layer_a"]): r for r in maps.iter_rows(named=True)}
    rows = [
        Row(
            f"{a} and {b}",
            [
                half_cell(found["value"], NORMAL_QUANTILE * found["stderr"])
                if (found := values.get((a, b, method)))
                else Cell("not measured")
                for method in methods
            ],
        )
        for a, b in pairs[:MAX_PAIRS]
    ]
    more = len(pairs) - len(rows)
    return Grid(
        f"CKA of attribution maps on {condition_label(study, study.first_condition)}",
        [method_label(method.removeprefix("map:")) for method in methods],
        rows,
        corner="Models",
        source="cka",
        notes=[f"{plural(more, 'more pair')} are in tables/cka.parquet."] if more > 0 else [],
    )
