"""Chunks of samples: their size comes from a byte budget, their bounds from the sample index."""

from __future__ import annotations

from collections.abc import Iterator


def chunk_length(bytes_per_item: int, budget_bytes: int, *, at_most: int | None = None) -> int:
    """How many items of `bytes_per_item` fit in `budget_bytes`; at least one.

    >>> chunk_length(1000, 4096)
    4
    """
    length = max(1, budget_bytes // max(1, bytes_per_item))
    return length if at_most is None else max(1, min(length, at_most))


def spans(num_items: int, length: int) -> Iterator[tuple[int, int]]:
    """Start and stop of consecutive chunks; only the last may be shorter.

    >>> list(spans(5, 2))
    [(0, 2), (2, 4), (4, 5)]
    """
    for start in range(0, num_items, length):
        yield start, min(start + length, num_items)
