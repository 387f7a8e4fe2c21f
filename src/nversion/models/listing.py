"""The models that sources publish, for `nversion models ls`."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch

from nversion.core import UserError
from nversion.core.registry import did_you_mean

from .base import MODEL_SOURCES
from .families import guess_family


@dataclass(frozen=True)
class Listing:
    """One line of `nversion models ls`.

    Args:
        source: as a study writes it ("timm:resnet50").
        family: guessed from the name.
        pretrained: names of the weights that exist; empty: none.
        training_data, teachers: of each of these weights, where their name says it; otherwise empty.
    """

    source: str
    family: str
    pretrained: tuple[str, ...]
    training_data: tuple[tuple[str, ...], ...] = ()
    teachers: tuple[str, ...] = ()


def list_models(pattern: str = "*") -> list[Listing]:
    """Published models whose name matches; without wildcards: contains `pattern`.

    Raises:
        UserError: none matches.

    >>> [listing.source for listing in list_models("torchvision:resnet1*")]
    ['torchvision:resnet101', 'torchvision:resnet152', 'torchvision:resnet18']
    """
    listings = _all_models()
    wildcard = pattern if any(c in pattern for c in "*?[") else f"*{pattern}*"
    found = [
        listing
        for listing in listings
        if fnmatch(listing.source, wildcard) or fnmatch(listing.source.partition(":")[2], wildcard)
    ]
    if not found:
        names = [listing.source.partition(":")[2] for listing in listings]
        step = did_you_mean(pattern, names)
        raise UserError(
            expected="a pattern that some model's name matches",
            found=repr(pattern),
            next_step=step if step.startswith("did") else "list all with `nversion models ls`",
        )
    return found


def _all_models() -> list[Listing]:
    return [
        Listing(
            f"{prefix}:{reference}",
            guess_family(reference),
            tuple(weights),
            tuple(lineage.training_data for lineage in weights.values()),
            tuple(lineage.teacher for lineage in weights.values()),
        )
        for prefix, source in MODEL_SOURCES.items()
        for reference, weights in source().published()
    ]
