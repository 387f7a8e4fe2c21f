"""Classifiers with their preprocessing and card, loaded by name from several sources."""

from . import sources  # registers every source
from .base import MODEL_SOURCES, Loaded, ModelSource
from .card import Card, Lineage
from .classifier import Classifier, make_classifier
from .identity import fingerprint_of
from .listing import Listing, list_models
from .loading import check_label_space, default_name, expand_pool, load_classifier
from .preprocessing import Preprocessing, read_preprocessing
from .probe import eagerly
from .weights import save_weights

__all__ = [
    "MODEL_SOURCES",
    "Card",
    "Classifier",
    "Lineage",
    "Listing",
    "Loaded",
    "ModelSource",
    "Preprocessing",
    "check_label_space",
    "default_name",
    "eagerly",
    "expand_pool",
    "fingerprint_of",
    "list_models",
    "load_classifier",
    "make_classifier",
    "read_preprocessing",
    "save_weights",
    "sources",
]
