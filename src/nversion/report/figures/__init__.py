"""One pure function a figure: a study in, a chart with exactly its data out."""

from __future__ import annotations

from nversion.report.tables import Study

from .accuracy import accuracy_by_condition
from .attribution import attribution_agreement
from .deploy import deployment
from .figure import FORMATS, Figure, check_formats, records, remove_others, render, write_figure
from .gains import gain_by_severity, gains, power
from .improvement import explorer, paper_scatter
from .methodologies import beta, covariances, predictions
from .representation import layer_heatmap, pair_matrix
from .rival import confidence_rival
from .robustness import effective_robustness
from .selection import held_out
from .severity import accuracy_by_severity
from .shares import shares
from .stability import stability
from .trends import forest, trend_grid
from .voting import risk_coverage, voter_outcomes

NAMES = (
    "accuracy_by_condition",
    "effective_robustness",
    "error_consistency",
    "accuracy_by_severity",
    "gain_by_severity",
    "improvement_average",
    "improvement_vote",
    "improvement_explorer",
    "trend_grid",
    "correlations",
    "attribution_agreement",
    "cka",
    "cka_matrix",
    "share_above_zero",
    "gains",
    "power",
    "covariances",
    "predicted_failures",
    "beta",
    "voter_outcomes",
    "risk_coverage",
    "confidence_rival",
    "deployment",
    "selection",
    "selection_stability",
)
"""Every figure that there may be, in the order of the report."""


def all_figures(study: Study) -> dict[str, Figure]:
    """Every figure that the study has data for, by name, in the order of the report."""
    drawn = [
        accuracy_by_condition(study),
        effective_robustness(study),
        pair_matrix(
            study,
            "error_consistency",
            "error_consistency",
            "Error consistency",
            "Cohen’s κ of right and wrong: 1 where two models err on the same images, 0 where they do so as "
            "often as chance, given their accuracies. κ below zero is drawn as 0.",
        ),
        accuracy_by_severity(study),
        gain_by_severity(study),
        paper_scatter(study, "improvement_average", "average"),
        paper_scatter(study, "improvement_vote", "vote"),
        explorer(study),
        trend_grid(study),
        forest(study),
        attribution_agreement(study),
        layer_heatmap(study),
        pair_matrix(
            study,
            "cka_matrix",
            "cka",
            "Similarity of models",
            "The mean similarity of layers at matched depth, for every pair of models.",
        ),
        shares(study),
        gains(study),
        power(study),
        covariances(study),
        predictions(study),
        beta(study),
        voter_outcomes(study),
        risk_coverage(study),
        confidence_rival(study),
        deployment(study),
        held_out(study),
        stability(study),
    ]
    return {figure.name: figure for figure in drawn if figure is not None}


__all__ = [
    "FORMATS",
    "NAMES",
    "Figure",
    "all_figures",
    "check_formats",
    "records",
    "remove_others",
    "render",
    "write_figure",
]
