"""What a network's layers hold: their choice, their Gram matrices batch by batch, their similarity."""

from .compare import CKA_COLUMNS, Entry, cka_table, compare_representations, layer_entries
from .features import layer_grams
from .layers import layers_of, layers_of_pool

__all__ = [
    "CKA_COLUMNS",
    "Entry",
    "cka_table",
    "compare_representations",
    "layer_entries",
    "layer_grams",
    "layers_of",
    "layers_of_pool",
]
