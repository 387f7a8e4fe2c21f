"""What a prediction rests on: attribution maps, their streamed Gram sums, and pictures of them."""

from .accumulate import GramSums
from .gram import NORMALISATIONS, gram
from .methods import METHODS, AttributionMethod, attribute, attribute_targets
from .pictures import masked, to_png

__all__ = [
    "METHODS",
    "NORMALISATIONS",
    "AttributionMethod",
    "GramSums",
    "attribute",
    "attribute_targets",
    "gram",
    "masked",
    "to_png",
]
