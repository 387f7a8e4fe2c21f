"""Similarity of the layers of every two models, by centered kernel alignment."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from nversion.data import Condition
from nversion.predictions.similarities import Representations

from .registry import FLOAT, INT, TEXT, table


@table("cka", of="condition", schema={
    "condition": TEXT, "model_a": TEXT, "layer_a": TEXT, "depth_a": INT, "model_b": TEXT,
    "layer_b": TEXT, "depth_b": INT, "value": FLOAT, "stderr": FLOAT, "n_images": INT,
    "note": TEXT,
})  # fmt: skip
def cka(condition: Condition, layers: Representations, model_names: Sequence[str]) -> pl.DataFrame:
    """A row for each pair of layers of two models."""
    return layers.table(model_names).with_columns(condition=pl.lit(condition.name))
