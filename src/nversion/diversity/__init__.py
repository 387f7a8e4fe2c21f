"""How differently models fail: counts of failures, metrics of pairs and ensembles, attributions, layers."""

from .attribution import (
    NORMALISE,
    STRATA,
    TARGETS,
    ConditionalSums,
    attribution_diversity,
    attribution_metric,
    conditional_attribution_sums,
)
from .failure_metrics import (
    coincident_failure,
    difficulty,
    entropy,
    evaluate_failures,
    generalised_diversity,
    kappa,
    kohavi_wolpert,
)
from .failures import FailureCounts
from .means import ensemble_mean
from .metric import METRICS, Metric, metric, metrics_of
from .outputs import OutputSums
from .pairwise import (
    disagreement,
    double_fault,
    error_consistency,
    q_statistic,
    ratio_of_errors,
    rho,
)
from .representations import (
    CKA,
    MIN_IMAGES,
    CKASums,
    hsic1,
    linear_gram,
    matched_depth_cka,
    u_centred,
)
from .statistics import PairCounts, PairTable, leave_one_block_out
from .votes import Agreement, Split, VoterOutcomes, VoteStatistics, splits

__all__ = [
    "CKA",
    "METRICS",
    "MIN_IMAGES",
    "NORMALISE",
    "STRATA",
    "TARGETS",
    "Agreement",
    "CKASums",
    "ConditionalSums",
    "FailureCounts",
    "Metric",
    "OutputSums",
    "PairCounts",
    "PairTable",
    "Split",
    "VoteStatistics",
    "VoterOutcomes",
    "attribution_diversity",
    "attribution_metric",
    "coincident_failure",
    "conditional_attribution_sums",
    "difficulty",
    "disagreement",
    "double_fault",
    "ensemble_mean",
    "entropy",
    "error_consistency",
    "evaluate_failures",
    "generalised_diversity",
    "hsic1",
    "kappa",
    "kohavi_wolpert",
    "leave_one_block_out",
    "linear_gram",
    "matched_depth_cka",
    "metric",
    "metrics_of",
    "q_statistic",
    "ratio_of_errors",
    "rho",
    "splits",
    "u_centred",
]
