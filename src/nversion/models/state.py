"""Weights by name into a module that may ask for the version of its layers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


def load_state(module: nn.Module, state: Mapping[str, Any]) -> None:
    """`module.load_state_dict(state)` for a plain mapping, taken to be of the module's own version.

    torch keeps versions of layers next to the names of a state_dict, where files and copies lose them;
    torchvision's MNASNet refuses weights without.
    """
    versioned: Any = OrderedDict(state)
    versioned._metadata = getattr(module.state_dict(), "_metadata", None)
    module.load_state_dict(versioned)


def copied_state(module: nn.Module) -> dict[str, Tensor]:
    """Copies of a module's weights on the CPU, which training it further does not change."""
    return {key: value.detach().cpu().clone() for key, value in module.state_dict().items()}
