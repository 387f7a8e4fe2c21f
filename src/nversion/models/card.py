"""What tables and reports say about a classifier."""

from __future__ import annotations

from dataclasses import dataclass

from nversion.core import LabelSpace


@dataclass(frozen=True)
class Card:
    """Facts about a classifier.

    Args:
        name: how studies call it; unique in a pool.
        family: of its architecture, for grouping: "CNN", "NAS", "ViT", "hybrid", "MLP", "other".
        training: how it was trained, for grouping: "supervised", "self-supervised", ...
        num_parameters: learned values, shared ones once; buffers are not counted.
        macs: multiply-accumulate operations for one image, preprocessing excluded.
        label_space: what its logits mean.
        source: from where it was loaded ("timm:resnet50").
        input_size: pixels per side that the network sees.
    """

    name: str
    family: str
    training: str
    num_parameters: int
    macs: int
    label_space: LabelSpace
    source: str
    input_size: int
