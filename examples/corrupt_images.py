"""Corrupt a batch of images; the pixels of an image depend on the image, the corruption and the seed alone.

Run: python examples/corrupt_images.py
"""

import numpy as np
import torch

import nversion as nv

images_NHW3 = np.random.default_rng(0).integers(256, size=(4, 224, 224, 3), dtype=np.uint8)

# NumPy arrays, tensors, PIL images and lists of them come back as they are given.
corrupted_NHW3 = nv.corrupt(images_NHW3, "water_drop", severity=7.0, seed=0)
alone_HW3 = nv.corrupt(images_NHW3[2], "water_drop", severity=7.0, seed=0)
print("a sample does not depend on its batch:", bool((alone_HW3 == corrupted_NHW3[2]).all()))

# One level below: draw the parameters, look at them, change them, render.
water = nv.corruptions.create("water_drop", severity=7.0)
parameters = water.sample_parameters(nv.core.generator("my data", "a.jpg"), size=(224, 224))
print("parameters of one image:", parameters)
images_N3HW = torch.from_numpy(images_NHW3).permute(0, 3, 1, 2).contiguous()
centred_13HW = water.apply(images_N3HW[:1], [parameters | {"center": (112, 112)}])
print("with a centre of your choice:", tuple(centred_13HW.shape))
