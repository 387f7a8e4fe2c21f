"""Losses that train ensembles: pure functions of the members' logits, maps and activations."""

from . import activations, attribution, balanced, correlation, distillation, independent, outputs
from .base import LOSSES, Loss, Terms, TrainingBatch, make_loss, total

__all__ = [
    "LOSSES",
    "Loss",
    "Terms",
    "TrainingBatch",
    "activations",
    "attribution",
    "balanced",
    "correlation",
    "distillation",
    "independent",
    "make_loss",
    "outputs",
    "total",
]
