"""Whether cheap attribution methods rank pairs of models as expensive ones do (Fig. 9)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import torch

from nversion.attribution import GramSums
from nversion.data import Condition
from nversion.diversity import Metric, attribution_diversity
from nversion.ensembles import Ensembles
from nversion.reliability import Estimate, num_points, relation, relation_interval

from .registry import FLOAT, INT, TEXT, table


@table("attribution_agreement", of="condition", schema={
    "condition": TEXT, "target": TEXT, "normalise": TEXT, "method_a": TEXT, "method_b": TEXT,
    "n_pairs": INT, "pearson": FLOAT, "spearman": FLOAT, "low": FLOAT, "high": FLOAT,
})  # fmt: skip
def attribution_agreement(
    condition: Condition, grams: Mapping[Metric, GramSums], model_names: Sequence[str]
) -> Iterator[dict[str, object]]:
    """Correlations over the pairs of models between every two methods, for each target and normalisation.

    The score of a pair is Eq. 7 of the ensemble of the two, in the mean over the samples on which the
    method defines all models' maps; where methods leave out different ones (a normalised Grad-CAM map
    that is zero has no value), their means are over different samples.

    Columns `low` and `high` are the 95 % interval of Pearson's correlation for other images and other
    models of the same kind (`reliability.relation_interval`: the pairs share models, so the models
    count, not the pairs).

    Args:
        grams: by the metric, as measured under the condition.
        model_names: in the order of the Grams.

    Returns:
        Rows of the table `attribution_agreement`; none for a target and normalisation of one method.
    """
    pairs = Ensembles.all_of(len(model_names), 2)
    for target, normalise in dict.fromkeys((one.target, one.normalise) for one in grams):
        same = [one for one in grams if (one.target, one.normalise) == (target, normalise)]
        for a, b in combinations(same, 2):
            pearson, spearman = _correlations(grams[a], grams[b], pairs)
            yield {
                "condition": condition.name,
                "target": target,
                "normalise": normalise,
                "method_a": a.method,
                "method_b": b.method,
                "n_pairs": pearson.n_ensembles,
                "pearson": pearson.value,
                "spearman": spearman.value,
                "low": pearson.low,
                "high": pearson.high,
            }


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
