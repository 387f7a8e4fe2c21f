"""What a prediction rests on: attribution maps, their streamed Gram sums, and pictures of them."""

from .accumulate import GramSums
from .grad_cam import class_activation, grad_cam_layer
from .gram import NORMALISATIONS, gram
from .maps import PASS_BYTES, attribute, attribute_targets, images_per_pass
from .methods import METHODS, AttributionMethod, Method, described_by, find_differentiable_method, find_method
from .pictures import masked, to_png

__all__ = [
    "METHODS",
    "NORMALISATIONS",
    "PASS_BYTES",
    "AttributionMethod",
    "GramSums",
    "Method",
    "attribute",
    "attribute_targets",
    "class_activation",
    "described_by",
    "find_differentiable_method",
    "find_method",
    "grad_cam_layer",
    "gram",
    "images_per_pass",
    "masked",
    "to_png",
]
