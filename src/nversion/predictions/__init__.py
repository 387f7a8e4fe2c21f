"""The inference loop, the store of logits, and the read-only view on it."""

from .engine import Consumer, RenderedBatch, run
from .logits import Inference, LogitsWriter, describe_condition, made_with, seconds_per_image
from .view import Predictions, block_of_each_sample

__all__ = [
    "Consumer",
    "Inference",
    "LogitsWriter",
    "Predictions",
    "RenderedBatch",
    "block_of_each_sample",
    "describe_condition",
    "made_with",
    "run",
    "seconds_per_image",
]
