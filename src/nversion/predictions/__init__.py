"""The inference loop, the store of logits, and the read-only view on it."""

from .carrier import Predictions
from .engine import Consumer, RenderedBatch, run
from .logits import LogitsWriter
from .predict import predict
from .storage import StoredLogits, offsets_folder, read_back
from .threads import torch_threads
from .trial import trial
from .view import AcceptedSets, ConditionPredictions, block_of_each_sample
from .writer import Inference, StoreWriter, as_float, autocast, describe_condition, made_with, place

__all__ = [
    "AcceptedSets",
    "ConditionPredictions",
    "Consumer",
    "Inference",
    "LogitsWriter",
    "Predictions",
    "RenderedBatch",
    "StoreWriter",
    "StoredLogits",
    "as_float",
    "autocast",
    "block_of_each_sample",
    "describe_condition",
    "made_with",
    "offsets_folder",
    "place",
    "predict",
    "read_back",
    "run",
    "torch_threads",
    "trial",
]
