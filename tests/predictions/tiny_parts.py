"""Builders for tests of the inference loop: generated images, untrained networks of two layers."""

import numpy as np
import torch
from torch import nn

from nversion.core import LabelSpace, generator
from nversion.data import Canonical, Condition, UnreadableImageError
from nversion.data.arrays import Arrays
from nversion.models import Preprocessing
from nversion.models.classifier import make_classifier
from nversion.predictions import Inference, LogitsWriter, place, run

CPU = torch.device("cpu")
SIZE = 16
CANONICAL = Canonical(size=SIZE, mode="squash")
CONDITIONS = [Condition("d"), Condition("d", "lines", 1.0), Condition("d", "checkerboard_cutout", 4.0)]
FLOAT32 = Inference(batch_size=4, storage="float32", channels_last=False)


class Tiny(nn.Module):
    """A convolution and a linear layer; `alter` gets the images and the logits and may spoil them."""

    def __init__(self, width, seed, alter=None, num_classes=3):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, stride=2)
        self.head = nn.Linear(width, num_classes)
        self.alter = alter
        rng = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=rng))

    def forward(self, images_N3HW):
        logits_NC = self.head(self.stem(images_N3HW).relu().mean((2, 3)))
        return logits_NC if self.alter is None else self.alter(images_N3HW, logits_NC)


def classifier(name, width=3, seed=0, alter=None):
    preprocessing = Preprocessing(input_size=SIZE, mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.3))
    return make_classifier(
        Tiny(width, seed, alter), preprocessing, name=name, source="test", label_space="tiny"
    )


def images_NHW3(num_samples):
    return generator("tiny images").integers(0, 256, (num_samples, SIZE, SIZE, 3)).astype(np.uint8)


class Torn(Arrays):
    """Images in memory of which some cannot be read."""

    torn = frozenset()

    def decode(self, index):
        if index in self.torn:
            raise UnreadableImageError(f"{index}.png", "image file is truncated")
        return super().decode(index)


def dataset(num_samples=10, torn=()):
    labels_N = np.arange(num_samples) % 3
    ids = [f"i{i:03d}" for i in range(num_samples)]
    made = Torn("d", LabelSpace("tiny", 3), ids, labels_N, images_NHW3(num_samples))
    made.torn = frozenset(torn)
    return made


def fill(root, data, classifiers, conditions=CONDITIONS, inference=FLOAT32, **options):
    """Run what is missing under `root`; the writer, finished."""
    place(classifiers, inference, CPU)
    writer = LogitsWriter(root, data, CANONICAL, conditions, classifiers, inference, CPU)
    run(data, CANONICAL, conditions, [writer], batch_size=inference.batch_size, device=CPU, **options)
    writer.finish()
    return writer


def files(root):
    """Every file below `root` with its bytes."""
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
