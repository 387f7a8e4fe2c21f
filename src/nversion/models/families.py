"""Families of architectures and ways of training, guessed from names; for grouping only.

The first row of a table that matches decides. A name that no row matches is "other".
"""

from __future__ import annotations

import re

# Pattern at the start of an architecture's name in timm or torchvision (a leading "tf_" is dropped).
FAMILIES = (
    # Found by architecture search, or scaled from a network that was.
    (
        "NAS",
        r"efficientnet|mobilenet_?v3|mobilenet_edgetpu|mobilenetv4|mnasnet|semnasnet|fbnet|spnasnet"
        r"|p?nasnet|tinynet|mixnet|hardcorenas|proxyless|ofa|rw_?nas|mobilenasnet|regnet",
    ),
    ("MLP", r"mixer|resmlp|gmlp|gmixer"),
    # Convolution and attention in one network.
    (
        "hybrid",
        r"coat|convit|levit|max_?vit|mobilevit|efficientformer|efficientvit|fastvit|edgenext|nextvit"
        r"|visformer|caformer|convmixer_att|poolformer|mambaout|repvit|tiny_?vit|cvt|botnet|halonet"
        r"|lambda|sebotnet|bat_|hiera_conv|vit_.*_r\d+_|starnet_att|shvit|swiftformer",
    ),
    (
        "ViT",
        r"vit|deit|swin|beit|cait|pvt|twins|eva|volo|xcit|pit_|crossvit|tnt|mvit|davit|gcvit|nest|jx_nest"
        r"|sequencer|hiera|flexivit|samvit|naflexvit|test_vit|convformer_att|focalnet_att|dino|aimv2|pe_",
    ),
    (
        "CNN",
        r"(wide_|se|legacy_|ecaresn|gc|sk|cs|i_)?(resnet|resnext|resnetv2|resnest|resnex)|seresnet|skresn"
        r"|densenet|vgg|alexnet|googlenet|inception|xception|convnext|squeezenet|shufflenet|mobilenet"
        r"|dpn|dla|res2n|repvgg|ghostnet|darknet|cspdarknet|cspres|vovnet|ese_vovnet|hrnet|rexnet"
        r"|hgnet|lcnet|inception|nf_|nfnet|dm_nfnet|eca_nf|selecsls|tresnet|regnety|tiny_darknet|convmixer"
        r"|starnet|focalnet|convformer|csatv2|rdnet|mobileone|bit_|adv_|ens_adv|ig_resn|ssl_resn|swsl_resn",
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
    name = name.lower().removeprefix("tf_")
    return next((family for family, pattern in FAMILIES if re.match(pattern, name)), "other")


def guess_training(name: str) -> str:
    """How pretrained weights were trained, by the name and tag they have in timm.

    >>> guess_training("resnet50.a1_in1k"), guess_training("vit_base_patch16_224.mae")
    ('supervised', 'self-supervised')
    """
    name = name.lower()
    return next((way for way, pattern in TRAININGS if re.search(pattern, name)), "supervised")
