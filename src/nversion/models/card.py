"""What tables and reports say about a classifier."""

from __future__ import annotations

from dataclasses import dataclass

from nversion.core import LabelSpace


@dataclass(frozen=True)
class Lineage:
    """From what a classifier descends; models that share some of it may fail together.

    Args:
        architecture: of the network ("resnet50"); empty: unknown, as in all of these.
        initial_weights: the weights from which its training started.
        teacher: name or architecture of the model whose outputs it was trained to imitate.
        training_data: names of the data sets that it was trained on, first to last.
        seed: of its training, or of random weights.
    """

    architecture: str = ""
    initial_weights: str = ""
    teacher: str = ""
    training_data: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True)
class Card:
    """Facts about a classifier.

    Args:
        name: how studies call it; unique in a pool.
        family: of its architecture, for grouping: "CNN", "NAS", "ViT", "hybrid", "MLP", "other".
        training: how it was trained, for grouping: "supervised", "self-supervised", ...
        num_parameters: learned values, shared ones once; buffers are not counted. None: unknown, as of logits
            that come without their model; of `macs` and `input_size`, too.
        macs: multiply-accumulate operations for one image, preprocessing excluded.
        label_space: what its logits mean.
        source: from where it was loaded ("timm:resnet50").
        input_size: pixels per side that the network sees.
        family_declared, training_declared: whether settings, weights file or library state it; False where it
            was guessed from a name ("CNN") or nobody says it ("other", "unspecified").
        outputs: of its module, "logits" or "probabilities"; the classifier gives logits either way.
        repeatable: False where its logits are known not to be a function of the image alone.
        shares_weights: whether other classifiers hold the same weights in memory.
        notes: what was taken or chosen where that was not plain: "weights under prefix 'module.'".
        architecture, initial_weights, teacher, training_data, seed: see `Lineage`; empty or None is
            unknown. They describe and do not enter the fingerprint.
    """

    name: str
    family: str
    training: str
    num_parameters: int | None
    macs: int | None
    label_space: LabelSpace
    source: str
    input_size: int | None
    family_declared: bool = False
    training_declared: bool = False
    outputs: str = "logits"
    repeatable: bool = True
    shares_weights: bool = False
    notes: tuple[str, ...] = ()
    architecture: str = ""
    initial_weights: str = ""
    teacher: str = ""
    training_data: tuple[str, ...] = ()
    seed: int | None = None
