"""Families of architectures and ways of training, guessed from names; for grouping only.

The first row of a table that matches decides. A name that no row matches is "other".
"""

from __future__ import annotations

import re

# Pattern in an architecture's name in timm or torchvision.
FAMILIES = (
    # Convolution and attention (or a state-space or pooling mixer in its place) in one network.
    (
        "hybrid",
        r"coat|convit|levit|max_?x?vit|mobilevit|efficientformer|efficientvit|efficientvim|fastvit|edgenext"
        r"|nextvit|visformer|caformer|poolformer|mambaout|repvit|tiny_vit|botnet|botnext|halo|lambda|bat_"
        r"|vit_.*_r\d+_|shvit|swiftformer|iformer|lowformer|cpubone|mobilenetv4_hybrid",
    ),
    # Found by architecture search, or scaled from a network that was.
    (
        "NAS",
        r"efficientnet|mobilenet_?v3|mobilenet_edgetpu|mobilenetv4|mnasnet|fbnet|nasnet|tinynet|mixnet"
        r"|hardcorenas|proxyless|gernet",
    ),
    ("MLP", r"mixer|resmlp|gmlp"),
    (
        "ViT",
        r"vit|deit|swin|beit|cait|pvt|twins|^eva|volo|xcit|^pit_|tnt|^nest|jx_nest|sequencer|hiera|aimv2|vit_pe"
        r"|^pe_|dinov",
    ),
    (
        "CNN",
        r"resn|res2n|regnet|dense|vgg|alexnet|googlenet|ception|conv|squeezenet|shuffle|mobilenet|mobileone|dpn"
        r"|dla|darknet|edgenet|csp|vovnet|hrnet|rexnet|hgnet|lcnet|nfnet|^nf_|selecsls|senet|repvgg|ghostnet"
        r"|starnet|focalnet|fasternet|rdnet|csatv2|byobnet",
    ),
)

# Pattern anywhere in a timm name with its weights' tag ("resnet50.a1_in1k").
TRAININGS = (
    ("self-supervised", r"mae|dino|moco|simclr|swav|ijepa|beit(?!.*distill)"),
    ("image-text", r"clip|openai|laion|datacomp|siglip|dfn"),
    ("semi-supervised", r"swsl|ssl|ns_jft|noisy"),
    ("distillation", r"dist"),
    ("adversarial", r"adv|_ap_|\.ap_"),
)


def guess_family(name: str) -> str:
    """The family of an architecture by its name.

    >>> [guess_family(n) for n in ("resnet50", "tf_efficientnet_lite0", "deit_tiny_patch16_224", "mine")]
    ['CNN', 'NAS', 'ViT', 'other']
    """
    name = name.lower()
    return next((family for family, pattern in FAMILIES if re.search(pattern, name)), "other")


def guess_training(name: str) -> str:
    """How pretrained weights were trained, by the name and tag they have in timm.

    >>> guess_training("resnet50.a1_in1k"), guess_training("vit_base_patch16_224.mae")
    ('supervised', 'self-supervised')
    """
    name = name.lower()
    return next((way for way, pattern in TRAININGS if re.search(pattern, name)), "supervised")
