"""The random fields that our parameters name, in the order in which ImageNet-C's reference asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

Draws = Callable[[Mapping[str, Any], float, int], list[NDArray[Any]]]
"""(parameters, severity, side) to standard normal or uniform [0, 1) fields, one for each call."""

DRAWS: dict[str, Draws] = {}
"""By corruption; one without an entry draws nothing."""
