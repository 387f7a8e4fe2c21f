"""Which pretrained architectures the libraries know."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch

from nversion.core import UserError
from nversion.core.registry import did_you_mean

from .families import guess_family


@dataclass(frozen=True)
class Listing:
    """One line of `nversion models ls`.

    Args:
        source: as a study writes it ("timm:resnet50").
        family: guessed from the name.
        pretrained: names of the weights that exist; empty: none.
    """

    source: str
    family: str
    pretrained: tuple[str, ...]


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
        Listing(f"timm:{name}", guess_family(name), tuple(tags.get(name, ()))) for name in timm.list_models()
    ]
    for name in models.list_models(module=models):
        weights = tuple(choice.name for choice in models.get_model_weights(name))
        listings.append(Listing(f"torchvision:{name}", guess_family(name), weights))
    return listings
