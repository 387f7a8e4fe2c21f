"""Which pretrained architectures the libraries know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch

from nversion.core import UserError
from nversion.core.registry import did_you_mean

from .card import Lineage
from .families import guess_family
from .published import lineage_of_timm, lineage_of_torchvision


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
    """Architectures of timm and torchvision whose name matches; without wildcards: contains `pattern`.

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
    import timm
    from torchvision import models

    tags: dict[str, list[str]] = {}
    for full_name in timm.list_pretrained():
        name, _, tag = full_name.partition(".")
        tags.setdefault(name, []).append(tag)
    listings = [
        _listing("timm", name, tuple(tags.get(name, ())), lineage_of_timm) for name in timm.list_models()
    ]
    for name in models.list_models(module=models):
        weights = tuple(choice.name for choice in models.get_model_weights(name))
        listings.append(_listing("torchvision", name, weights, lineage_of_torchvision))
    return listings


def _listing(
    source: str, name: str, weights: tuple[str, ...], lineage_of: Callable[[str, str], Lineage]
) -> Listing:
    lineages = [lineage_of(name, of_weights) for of_weights in weights]
    return Listing(
        f"{source}:{name}",
        guess_family(name),
        weights,
        tuple(lineage.training_data for lineage in lineages),
        tuple(lineage.teacher for lineage in lineages),
    )
