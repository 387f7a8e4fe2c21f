"""How sure a number is: proportions, block jackknife, relations over ensembles and their intervals."""

from .intervals import Interval, proportion_interval, samples_to_show_rate
from .jackknife import BlockJackknife, block_jackknife, block_jackknife_stderr
from .paired import (
    MemberComparison,
    bootstrap_difference,
    compare_with_best_member,
    holm,
    mcnemar_p_value,
    paired_difference_interval,
)
from .relation_intervals import Estimate, relation_interval
from .relations import average_ranks, num_points, partial, pearson, relation, slope, spearman
from .robustness import EffectiveRobustness, GroupRobustness, effective_robustness, group_robustness

__all__ = [
    "BlockJackknife",
    "EffectiveRobustness",
    "Estimate",
    "GroupRobustness",
    "Interval",
    "MemberComparison",
    "average_ranks",
    "block_jackknife",
    "block_jackknife_stderr",
    "bootstrap_difference",
    "compare_with_best_member",
    "effective_robustness",
    "group_robustness",
    "holm",
    "mcnemar_p_value",
    "num_points",
    "paired_difference_interval",
    "partial",
    "pearson",
    "proportion_interval",
    "relation",
    "relation_interval",
    "samples_to_show_rate",
    "slope",
    "spearman",
]
