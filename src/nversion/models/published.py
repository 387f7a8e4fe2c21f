"""The descent of published weights, as far as their names state it."""

from __future__ import annotations

import re

from .card import Lineage

# Parts of timm's tags ("sw_in12k_ft_in1k") that name what the weights were trained on. Facebook's "in22k" and
# Google's "in21k" are one collection, ImageNet's release of 2011.
DATA = {
    "in1k": "imagenet-1k",
    "in12k": "imagenet-12k",
    "in21k": "imagenet-21k",
    "in22k": "imagenet-21k",
    "ig1b": "instagram-1b",
    "swag": "instagram-3.6b",
    "yfcc100m": "yfcc-100m",
    "jft": "jft-300m",
    "laion2b": "laion-2b",
    "laion400m": "laion-400m",
    "lvd142m": "lvd-142m",
    "webli": "webli",
}

# Weights, and the architecture that taught them by their papers: DeiT, CaiT (both Touvron et al. 2021), LeViT
# (Graham et al. 2021) and XCiT (El-Nouby et al. 2021).
TEACHERS = ((r"deit_\w+_distilled_\w+\.fb_in1k|(levit|cait|xcit)_\w+\.fb_dist_in1k", "regnety_160"),)


def lineage_of_timm(architecture: str, tag: str) -> Lineage:
    """What a timm model's name and its weights' tag say; what they do not say stays empty.

    >>> lineage_of_timm("levit_128", "fb_dist_in1k").teacher
    'regnety_160'
    >>> lineage_of_timm("convnext_tiny", "fb_in22k_ft_in1k").training_data
    ('imagenet-21k', 'imagenet-1k')
    """
    data = dict.fromkeys(DATA[part] for part in tag.split("_") if part in DATA)
    full_name = f"{architecture}.{tag}"
    teacher = next((name for pattern, name in TEACHERS if re.fullmatch(pattern, full_name)), "")
    return Lineage(architecture, teacher=teacher, training_data=tuple(data))


def lineage_of_torchvision(architecture: str, weights: str) -> Lineage:
    """What the name of torchvision's weights says ("IMAGENET1K_V2").

    >>> lineage_of_torchvision("vit_b_16", "IMAGENET1K_SWAG_E2E_V1").training_data
    ('instagram-3.6b', 'imagenet-1k')
    """
    if not weights.startswith("IMAGENET1K"):
        return Lineage(architecture)
    first = (DATA["swag"],) if "SWAG" in weights else ()
    return Lineage(architecture, training_data=(*first, DATA["in1k"]))
