"""How sure a number is, and how models fail together: intervals, and the design-diversity model."""

from nversion.ensembles.jackknife import BlockJackknife, block_jackknife, block_jackknife_stderr

from .common_cause import JointFailures, common_cause_factor, common_cause_if_independent, joint_failures
from .corruption_error import (
    area_under_accuracy,
    corruption_errors,
    half_severity,
    mean_over_corruptions,
    relative_corruption_errors,
)
from .intervals import Interval, proportion_interval, proportion_intervals, samples_to_show_rate
from .littlewood_miller import (
    MethodologyEstimate,
    MethodologyTables,
    correlation_of,
    methodology_estimates,
    methodology_tables,
)
from .methodologies import Methodologies
from .methodology_intervals import ModelsAndImages, models_and_images_interval
from .paired import (
    MemberComparison,
    bootstrap_difference,
    compare_with_best_member,
    holm,
    mcnemar_p_value,
    paired_difference_interval,
)
from .power import images_to_show_gain, smallest_gain
from .predicted import PredictedFailures, predict_from_half, predict_from_other_models
from .properties import PropertyCheck, logically_unrelated, pair_properties
from .relation_intervals import Estimate, relation_interval, relation_intervals
from .relations import average_ranks, num_points, partial, pearson, relation, slope, spearman
from .robustness import EffectiveRobustness, GroupRobustness, effective_robustness, group_robustness
from .simulated import SimulatedMethodologies
from .systems import (
    SystemFailure,
    drawn_failing_distribution,
    drawn_system_failure,
    k_out_of_n_failure,
    num_failing_distribution,
    one_out_of_two,
    system_failure,
    two_out_of_three,
)

__all__ = [
    "BlockJackknife",
    "EffectiveRobustness",
    "Estimate",
    "GroupRobustness",
    "Interval",
    "JointFailures",
    "MemberComparison",
    "Methodologies",
    "MethodologyEstimate",
    "MethodologyTables",
    "ModelsAndImages",
    "PredictedFailures",
    "PropertyCheck",
    "SimulatedMethodologies",
    "SystemFailure",
    "area_under_accuracy",
    "average_ranks",
    "block_jackknife",
    "block_jackknife_stderr",
    "bootstrap_difference",
    "common_cause_factor",
    "common_cause_if_independent",
    "compare_with_best_member",
    "correlation_of",
    "corruption_errors",
    "drawn_failing_distribution",
    "drawn_system_failure",
    "effective_robustness",
    "group_robustness",
    "half_severity",
    "holm",
    "images_to_show_gain",
    "joint_failures",
    "k_out_of_n_failure",
    "logically_unrelated",
    "mcnemar_p_value",
    "mean_over_corruptions",
    "methodology_estimates",
    "methodology_tables",
    "models_and_images_interval",
    "num_failing_distribution",
    "num_points",
    "one_out_of_two",
    "pair_properties",
    "paired_difference_interval",
    "partial",
    "pearson",
    "predict_from_half",
    "predict_from_other_models",
    "proportion_interval",
    "proportion_intervals",
    "relation",
    "relation_interval",
    "relation_intervals",
    "relative_corruption_errors",
    "samples_to_show_rate",
    "slope",
    "smallest_gain",
    "spearman",
    "system_failure",
    "two_out_of_three",
]
