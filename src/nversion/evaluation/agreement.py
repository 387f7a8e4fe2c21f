"""Whether cheap attribution methods rank pairs of models as dear ones do (Fig. 9)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import polars as pl
import torch

from nversion.attribution import GramSums
from nversion.diversity import attribution_diversity
from nversion.ensembles import Ensembles
from nversion.predictions.grams import split_metric_name
from nversion.reliability import Estimate, num_points, relation, relation_interval

from .schemas import ATTRIBUTION_AGREEMENT


def attribution_agreement(
    condition: str, sums: Mapping[str, GramSums], model_names: Sequence[str]
) -> pl.DataFrame:
    """Correlations over the pairs of models between every two methods, for each target and normalisation.

    The score of a pair is Eq. 7 of the ensemble of the two, in the mean over the samples on which the
    method defines all models' maps; where methods leave out different ones (a normalised Grad-CAM map
    that is zero has no value), their means are over different samples.

    Columns `low` and `high` are the 95 % interval of Pearson's correlation for other images and other
    models of the same kind (`reliability.relation_interval`: the pairs share models, so the models
    count, not the pairs).

    Args:
        condition: its name.
        sums: by the name of the metric (`metric_name`), as measured under the condition.
        model_names: in the order of the Grams.

    Returns:
        Rows of the table `attribution_agreement`; none for a target and normalisation of one method.
    """
    pairs = _pairs(model_names)
    of_kind: dict[tuple[str, str], dict[str, GramSums]] = {}
    for metric, of_metric in sums.items():
        method, target, normalise = split_metric_name(metric)
        of_kind.setdefault((target, normalise), {})[method] = of_metric
    rows: list[dict[str, object]] = []
    for (target, normalise), methods in of_kind.items():
        kind = {"condition": condition, "target": target, "normalise": normalise}
        for (a, sums_a), (b, sums_b) in combinations(methods.items(), 2):
            pearson, spearman = _correlations(sums_a, sums_b, pairs)
            rows.append(
                kind
                | {"method_a": a, "method_b": b, "n_pairs": pearson.n_ensembles, "pearson": pearson.value}
                | {"spearman": spearman.value, "low": pearson.low, "high": pearson.high}
            )
    return pl.DataFrame(rows, schema=ATTRIBUTION_AGREEMENT)


def _correlations(a: GramSums, b: GramSums, pairs: Ensembles) -> tuple[Estimate, Estimate]:
    """Pearson's and Spearman's correlation of two methods over the pairs."""
    a_P, b_P = (attribution_diversity(sums.mean_gram(), pairs) for sums in (a, b))
    count_B = torch.minimum(a.count_B, b.count_B)
    if int((count_B > 0).sum()) < 2:  # nearly all samples left out: a value, but nothing to vary
        nothing = "no interval: fewer than two blocks of images with defined maps"
        values, num_pairs = relation(a_P, b_P), int(num_points(a_P, b_P))
        pearson, spearman = (
            Estimate(float(values[name]), math.nan, math.nan, num_pairs, nothing)
            for name in ("pearson", "spearman")
        )
        return pearson, spearman
    a_BP, b_BP = (attribution_diversity(sums.leave_one_block_out(), pairs) for sums in (a, b))
    estimates = relation_interval(
        a_P, b_P, None, a_BP, b_BP, None, pairs.members_EK, pairs.num_models, count_B=count_B
    )
    return estimates["pearson"], estimates["spearman"]


def _pairs(model_names: Sequence[str]) -> Ensembles:
    return Ensembles.all_of(len(model_names), 2)
