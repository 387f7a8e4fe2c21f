"""Which corruptions leave the image unchanged at severity 0."""

from __future__ import annotations

from functools import cache

import torch

from nversion.core import generator

from .base import CORRUPTIONS, create
from .severities import IMAGENET_C, IMAGENET_C_EXTRA

_LEVELLED = {name for group in IMAGENET_C.values() for name in group} | set(IMAGENET_C_EXTRA)
_NUM_IMAGES, _SIDE = 4, 64


@cache
def clean_at_zero(name: str) -> bool:
    """Whether severity 0 is the clean image: tried on a few images of noise.

    The levels of ImageNet-C and CIFAR-10-C are numbered from 1, which makes clean images level 0. A name
    that is no corruption here (images from disk may have such) has no scale that is known: False.

    >>> clean_at_zero("lines"), clean_at_zero("fog"), clean_at_zero("smudge")
    (True, True, False)
    """
    if name.removesuffix("_cifar") in _LEVELLED:
        return True
    if name not in CORRUPTIONS or CORRUPTIONS[name].lowest > 0:
        return False
    corruption = create(name, 0.0)
    rngs = [generator("clean at zero", name, i) for i in range(_NUM_IMAGES)]
    noise = rngs[0].integers(0, 256, (_NUM_IMAGES, 3, _SIDE, _SIDE), dtype="uint8")
    images_N3HW = torch.from_numpy(noise)
    parameters = [corruption.sample_parameters(rng, (_SIDE, _SIDE)) for rng in rngs]
    return bool(corruption.apply(images_N3HW, parameters).equal(images_N3HW))
