"""How differently models fail: pair counts, pairwise metrics, their means over ensembles, attributions."""

from .attribution import attribution_diversity
from .means import ensemble_mean
from .pairwise import PAIRWISE, PairwiseMetric, disagreement, double_fault, pairwise_metric, q_statistic, rho
from .statistics import PairCounts, PairTable, leave_one_block_out

__all__ = [
    "PAIRWISE",
    "PairCounts",
    "PairTable",
    "PairwiseMetric",
    "attribution_diversity",
    "disagreement",
    "double_fault",
    "ensemble_mean",
    "leave_one_block_out",
    "pairwise_metric",
    "q_statistic",
    "rho",
]
