"""Networks for 32×32 images with any number of classes: `python:nversion.training.small_networks:build`.

Those of the paper's Table i are scaled down to 2 to 6 million MACs for one image of 43 classes, and keep what
distinguishes the paper's variants; the others are the demo's, smaller still.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from nversion.core import Registry

INPUT_SIZE = 32
PREPROCESSING: dict[str, Any] = {"input_size": INPUT_SIZE, "mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}

SMALL_NETWORKS: Registry[Callable[[int], nn.Module]] = Registry("small network", "nversion.small_networks")


def build(name: str, num_classes: int) -> tuple[nn.Module, dict[str, Any]]:
    """The untrained network called `name` and its preprocessing.

    Its initial weights are drawn from torch's global generator.

    >>> import torch
    >>> build("resnet", 43)[0].eval()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 43])
    """
    return SMALL_NETWORKS[name](num_classes), dict(PREPROCESSING)


@SMALL_NETWORKS.register("resnet")
def resnet(num_classes: int) -> nn.Module:
    """Basic residual blocks at 16, 8 and 4 pixels, 16, 32 and 64 channels; 3.1 million MACs."""
    from torchvision.models.resnet import BasicBlock

    return _residual(num_classes, [(BasicBlock, 16, {}), (BasicBlock, 32, {}), (BasicBlock, 64, {})])


@SMALL_NETWORKS.register("resnext_32_2")
def resnext_32_2(num_classes: int) -> nn.Module:
    """ResNeXt50_32_2: 8 groups of 1 channel, [3, 4, 6, 3] blocks; 3.1 million MACs."""
    return _resnext(num_classes, cardinality=8, group_width=1, layers=(3, 4, 6, 3))


@SMALL_NETWORKS.register("resnext_32_4l")
def resnext_32_4l(num_classes: int) -> nn.Module:
    """ResNeXt50_32_4l: 8 groups of 2 channels, [2, 2, 3, 2] blocks; 3.8 million MACs."""
    return _resnext(num_classes, cardinality=8, group_width=2, layers=(2, 2, 3, 2))


@SMALL_NETWORKS.register("resnext_16_4")
def resnext_16_4(num_classes: int) -> nn.Module:
    """ResNeXt50_16_4: 4 groups of 2 channels, [3, 4, 6, 3] blocks; 3.4 million MACs."""
    return _resnext(num_classes, cardinality=4, group_width=2, layers=(3, 4, 6, 3))


@SMALL_NETWORKS.register("resnet50")
def resnet50(num_classes: int) -> nn.Module:
    """ResNet50's bottlenecks, [3, 4, 6, 3] of them, with an eighth of its channels; 5.1 million MACs."""
    from torchvision.models.resnet import Bottleneck

    blocks: list[tuple[Any, int, dict[str, Any]]] = [
        (Bottleneck, planes, {})
        for planes, count in zip((8, 16, 32, 64), (3, 4, 6, 3), strict=True)
        for _ in range(count)
    ]
    return _residual(num_classes, blocks)


@SMALL_NETWORKS.register("squeezenet")
def squeezenet(num_classes: int) -> nn.Module:
    """SqueezeNet 1.1 with half the channels and without its first pooling; 5.8 million MACs."""
    first, second = [(32, 8, 32), (64, 8, 32)], [(64, 16, 64), (128, 16, 64)]
    third = [(128, 24, 96), (192, 24, 96), (192, 32, 128), (256, 32, 128)]
    return _squeezenet(num_classes, [first, second, third], dropout=0.5)  # torchvision's


@SMALL_NETWORKS.register("squeezenet_tiny")
def squeezenet_tiny(num_classes: int) -> nn.Module:
    """SqueezeNet with four Fire modules; 1.47 million MACs."""
    return _squeezenet(num_classes, [[], [(32, 16, 32), (64, 16, 32)], [(64, 24, 48), (96, 24, 48)]])


@SMALL_NETWORKS.register("mnasnet")
def mnasnet(num_classes: int) -> nn.Module:
    """MNASNet-B1 with half the channels and about half the blocks, dropout 0.2; 4.0 million MACs."""
    blocks = "ds_r1_k3_s1_c8 ir_r2_k3_s2_e3_c12 ir_r2_k5_s1_e3_c20 ir_r2_k5_s2_e6_c40 ir_r1_k3_s1_e6_c48"
    return _mnasnet(
        num_classes, f"{blocks} ir_r2_k5_s2_e6_c96 ir_r1_k3_s1_e6_c160", stem=16, head=640, dropout=0.2
    )


@SMALL_NETWORKS.register("mnasnet_tiny")
def mnasnet_tiny(num_classes: int) -> nn.Module:
    """MNASNet with six blocks, of which two squeeze and excite; 0.63 million MACs."""
    blocks = "ds_r1_k3_s1_c8 ir_r2_k3_s2_e3_c16 ir_r2_k5_s2_e3_c24_se0.25 ir_r1_k3_s1_e4_c32"
    return _mnasnet(num_classes, blocks, stem=8, head=96)


@SMALL_NETWORKS.register("mobilenetv3")
def mobilenetv3(num_classes: int) -> nn.Module:
    """MobileNetV3 with six blocks; 0.62 million MACs."""
    from timm.models._efficientnet_builder import decode_arch_def
    from timm.models.mobilenetv3 import MobileNetV3

    blocks = [["ds_r1_k3_s1_e1_c8_se0.25_nre"], ["ir_r1_k3_s2_e4_c16_nre", "ir_r1_k3_s1_e3_c16_nre"]]
    network: nn.Module = MobileNetV3(
        decode_arch_def([*blocks, ["ir_r2_k5_s2_e4_c24_se0.25"], ["cn_r1_k1_s1_c96"]]),
        stem_size=8,
        num_features=128,
        act_layer=nn.Hardswish,
        num_classes=num_classes,
    )
    return network


def _mnasnet(num_classes: int, blocks: str, *, stem: int, head: int, dropout: float = 0.0) -> nn.Module:
    from timm.models._efficientnet_builder import decode_arch_def
    from timm.models.efficientnet import EfficientNet

    network: nn.Module = EfficientNet(
        decode_arch_def([[block] for block in blocks.split()]),
        stem_size=stem,
        num_features=head,
        act_layer=nn.ReLU,
        drop_rate=dropout,
        num_classes=num_classes,
    )
    return network


@SMALL_NETWORKS.register("deit")
def deit(num_classes: int) -> nn.Module:
    """DeiT: 16 patches, width 60, depth 6, 3 heads; 4.8 million MACs. Takes multiples of 8 pixels."""
    from timm.models.vision_transformer import VisionTransformer

    network: nn.Module = VisionTransformer(
        img_size=INPUT_SIZE,
        patch_size=8,
        embed_dim=60,
        depth=6,
        num_heads=3,
        dynamic_img_size=True,  # local crops of self-supervised training are smaller
        weight_init="jax",  # the default's 0.02 is made for widths of hundreds; here it learns slowly
        num_classes=num_classes,
    )
    return network


@SMALL_NETWORKS.register("convmixer")
def convmixer(num_classes: int) -> nn.Module:
    """ConvMixer: 64 patches, width 48, 4 blocks of 5×5 convolutions; 1.05 million MACs."""
    from timm.models.convmixer import ConvMixer

    network: nn.Module = ConvMixer(dim=48, depth=4, kernel_size=5, patch_size=4, num_classes=num_classes)
    return network


@SMALL_NETWORKS.register("densenet")
def densenet(num_classes: int) -> nn.Module:
    """DenseNet: three blocks of 3 layers, 12 channels a layer; 2.40 million MACs."""
    from torchvision.models import DenseNet

    network: nn.Module = DenseNet(
        growth_rate=12, block_config=(3, 3, 3), num_init_features=16, num_classes=num_classes
    )
    return network


@SMALL_NETWORKS.register("mixer")
def mixer(num_classes: int) -> nn.Module:
    """MLP-Mixer: 64 patches, width 48, 4 blocks; 3.10 million MACs."""
    from timm.models.mlp_mixer import MlpMixer

    network: nn.Module = MlpMixer(
        img_size=INPUT_SIZE,
        patch_size=4,
        embed_dim=48,
        num_blocks=4,
        mlp_ratio=(0.5, 2.0),
        num_classes=num_classes,
    )
    return network


@SMALL_NETWORKS.register("shufflenet")
def shufflenet(num_classes: int) -> nn.Module:
    """ShuffleNetV2: four blocks, 16 to 96 channels; 0.185 million MACs."""
    from torchvision.models import ShuffleNetV2

    network: nn.Module = ShuffleNetV2([1, 2, 1], [16, 32, 48, 64, 96], num_classes=num_classes)
    return network


def _squeezenet(
    num_classes: int, stages: list[list[tuple[int, int, int]]], dropout: float = 0.0
) -> nn.Module:
    # Stages of Fire modules (channels in, squeezed, half of those out) with a pooling between them.
    from torchvision.models.squeezenet import Fire

    classifier = nn.Conv2d(2 * stages[-1][-1][2], num_classes, 1)
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, stride=2, padding=1), nn.ReLU(inplace=True)]
    for number, stage in enumerate(stages):
        layers += [nn.MaxPool2d(3, stride=2, ceil_mode=True)] if number else []
        layers += [Fire(width, squeezed, half, half) for width, squeezed, half in stage]
    # Torchvision's ReLU after the classifier would leave no negative logits.
    layers += [nn.Dropout(dropout), classifier, nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = nn.Sequential(*layers)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):  # as torchvision's; without it the signal fades
            nn.init.kaiming_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    nn.init.normal_(classifier.weight, std=0.01)
    return network


def _resnext(num_classes: int, *, cardinality: int, group_width: int, layers: tuple[int, ...]) -> nn.Module:
    # An eighth of ResNeXt50's channels, a quarter of its groups, half their width, all of its blocks: the
    # ratios between the paper's three variants stay. At 16, 8, 4 and 2 pixels, dropout 0.2.
    from torchvision.models.resnet import Bottleneck

    groups = {"groups": cardinality, "base_width": 8 * group_width}
    blocks = [
        (Bottleneck, planes, groups)
        for planes, count in zip((8, 16, 32, 64), layers, strict=True)
        for _ in range(count)
    ]
    return _residual(num_classes, blocks, dropout=0.2)


def _residual(
    num_classes: int, stages: list[tuple[Any, int, dict[str, Any]]], dropout: float = 0.0
) -> nn.Module:
    # A stem that halves the image, where the one for 224 pixels divides it by four; then torchvision's blocks
    # (class, width, settings), each after the first halving the image again.
    width = stages[0][1]
    layers: list[nn.Module] = [
        nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    ]
    previous = 0
    for block, planes, settings in stages:
        stride = 2 if previous and planes != previous else 1
        out = planes * block.expansion
        shortcut = None
        if stride != 1 or width != out:
            shortcut = nn.Sequential(nn.Conv2d(width, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out))
        layers.append(block(width, planes, stride, shortcut, **settings))
        width, previous = out, planes
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(width, num_classes)]
    network = nn.Sequential(*layers)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return network
