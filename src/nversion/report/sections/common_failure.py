"""Common failures: methodologies, predictions, and joint failures of members."""

from __future__ import annotations

from nversion.report.registry import Blocks, section
from nversion.report.tables import Study

from .joint_failures import joint_blocks
from .methodologies import methodology_blocks
from .predicted_failures import prediction_blocks


@section("common-failure", order=130, nav="Common failure", title="Common failures")
def common_failure(study: Study) -> Blocks:
    return [*methodology_blocks(study), *prediction_blocks(study), *joint_blocks(study)]
