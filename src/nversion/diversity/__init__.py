"""How differently models fail: counts of failures, metrics of pairs and ensembles, attributions, layers."""

from .attribution import (
    STRATA,
    ConditionalDiversity,
    ConditionalSums,
    attribution_diversity,
    conditional_attribution_sums,
)
from .facts import MetricFacts
from .failure_metrics import (
    ENSEMBLE_METRICS,
    EnsembleMetric,
    coincident_failure,
    difficulty,
    ensemble_metric,
    entropy,
    evaluate_failures,
    generalised_diversity,
    kappa,
    kohavi_wolpert,
)
from .failures import FailureCounts
from .means import ensemble_mean
from .outputs import AMBIGUITY, OUTPUT_METRICS, OutputSums
from .pairwise import (
    PAIRWISE,
    PairwiseMetric,
    disagreement,
    double_fault,
    error_consistency,
    pairwise_metric,
    q_statistic,
    ratio_of_errors,
    rho,
)
from .representations import (
    FEWEST_BATCHES,
    MIN_IMAGES,
    CKASums,
    hsic1,
    linear_gram,
    matched_depth_cka,
    u_centred,
)
from .statistics import PairCounts, PairTable, leave_one_block_out
from .votes import VOTE_METRICS, Agreement, Split, VoterOutcomes, VoteStatistics, splits

__all__ = [
    "AMBIGUITY",
    "ENSEMBLE_METRICS",
    "FEWEST_BATCHES",
    "MIN_IMAGES",
    "OUTPUT_METRICS",
    "PAIRWISE",
    "STRATA",
    "VOTE_METRICS",
    "Agreement",
    "CKASums",
    "ConditionalDiversity",
    "ConditionalSums",
    "EnsembleMetric",
    "FailureCounts",
    "MetricFacts",
    "OutputSums",
    "PairCounts",
    "PairTable",
    "PairwiseMetric",
    "Split",
    "VoteStatistics",
    "VoterOutcomes",
    "attribution_diversity",
    "coincident_failure",
    "conditional_attribution_sums",
    "difficulty",
    "disagreement",
    "double_fault",
    "ensemble_mean",
    "ensemble_metric",
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
    "pairwise_metric",
    "q_statistic",
    "ratio_of_errors",
    "rho",
    "splits",
    "u_centred",
]
