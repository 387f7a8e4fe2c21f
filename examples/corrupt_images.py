"""Corrupt a batch of images: parameters are drawn per sample, pixels depend on nothing else.

Run: python examples/corrupt_images.py
"""

import torch

from nversion.core import generator
from nversion.corruptions import create

images_N3HW = torch.randint(
    256, (4, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)

water = create("water_drop", severity=7.0)
parameters = [
    water.sample_parameters(generator("my data", sample_id), size=(224, 224))
    for sample_id in ("a", "b", "c", "d")
]
corrupted_N3HW = water.apply(images_N3HW, parameters)

alone_13HW = water.apply(images_N3HW[2:3], parameters[2:3])
print("a sample does not depend on its batch:", torch.equal(alone_13HW[0], corrupted_N3HW[2]))
print("parameters of the first sample:", parameters[0])
