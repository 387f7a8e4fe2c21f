"""A function a section: a study in, the section's blocks out, or None where its tables are not there."""

from __future__ import annotations

from nversion.report.blocks import Section
from nversion.report.tables import Study

from . import (
    all_fail,
    attribution,
    benchmark,
    calibration,
    deployment,
    diversity,
    gains,
    hazards,
    reliability,
    representation,
    robustness,
    suspects,
    voting,
)

_MODULES = (
    robustness,
    benchmark,
    calibration,
    diversity,
    gains,
    attribution,
    representation,
    reliability,
    voting,
    deployment,
    hazards,
    all_fail,
    suspects,
)


def all_sections(study: Study) -> dict[str, Section]:
    """Every section that the study has tables for, by its id."""
    found = [module.section(study) for module in _MODULES]
    return {section.id: section for section in found if section is not None}


__all__ = ["all_sections"]
