"""Networks of many families for 32×32 images, and how long and how fast each learns the digits.

They are timm's and torchvision's own classes with few blocks and channels; only SqueezeNet, whose
class has fixed widths, is put together here from torchvision's `Fire` modules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from nversion.core import Registry

NUM_CLASSES = 10
INPUT_SIZE = 32
PREPROCESSING: dict[str, Any] = {"input_size": INPUT_SIZE, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
ARCHITECTURE = f"python:{__name__}:build"


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained.

    Attributes:
        family: of the architecture.
        construct: builds it, with weights from torch's global generator.
        epochs: passes over the training images.
        learning_rate: the peak of the one cycle.
        max_shift: of the training images, in pixels.
        teacher: the member whose outputs a distilled one imitates; None for a supervised one.
    """

    family: str
    construct: Callable[[], nn.Module]
    epochs: int
    learning_rate: float
    max_shift: int = 2
    teacher: str | None = None

    @property
    def training(self) -> str:
        return "distilled" if self.teacher else "supervised"


ZOO: Registry[Recipe] = Registry("member of the digits zoo", "nversion.digits_zoo")


def build(name: str) -> tuple[nn.Module, dict[str, Any]]:
    """The untrained network called `name` in eval mode, and its preprocessing.

    Its initial weights are drawn from torch's global generator (see `plain.forked_randomness`).

    >>> import torch
    >>> module, preprocessing = build("resnet")
    >>> module(torch.zeros(2, 3, 32, 32)).shape, preprocessing["input_size"]
    (torch.Size([2, 10]), 32)
    """
    return ZOO[name].construct().eval(), dict(PREPROCESSING)


def _member(
    name: str,
    family: str,
    *,
    epochs: int,
    learning_rate: float,
    max_shift: int = 2,
    teacher: str | None = None,
) -> Callable[[Callable[[], nn.Module]], Callable[[], nn.Module]]:
    def file(construct: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        ZOO.register(name)(Recipe(family, construct, epochs, learning_rate, max_shift, teacher))
        return construct

    return file


# timm and torchvision are untyped here: what their classes build is Any to mypy.


@_member("resnet", "ResNet", epochs=12, learning_rate=3e-3)
def _resnet() -> Any:
    from timm.models.resnet import BasicBlock, ResNet

    return ResNet(BasicBlock, (1, 1, 1, 1), channels=(16, 24, 32, 48), stem_width=16, num_classes=NUM_CLASSES)


@_member("resnext", "ResNeXt", epochs=12, learning_rate=3e-3)
def _resnext() -> Any:
    from timm.models.resnet import Bottleneck, ResNet

    return ResNet(
        Bottleneck,
        (1, 1, 1, 1),
        channels=(8, 12, 16, 16),
        cardinality=4,
        base_width=64,
        zero_init_last=False,  # the zeros cost epochs that a run this short does not have
        num_classes=NUM_CLASSES,
    )


@_member("squeezenet", "SqueezeNet", epochs=20, learning_rate=3e-3)
def _squeezenet() -> nn.Module:
    from torchvision.models.squeezenet import Fire

    network = nn.Sequential(
        nn.Conv2d(3, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, ceil_mode=True),
        Fire(32, 16, 32, 32),
        Fire(64, 16, 32, 32),
        nn.MaxPool2d(3, stride=2, ceil_mode=True),
        Fire(64, 24, 48, 48),
        Fire(96, 24, 48, 48),
        nn.Conv2d(96, NUM_CLASSES, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):  # as torchvision's SqueezeNet: without it the signal fades
            nn.init.kaiming_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


@_member("mnasnet", "MNASNet", epochs=14, learning_rate=5e-3)
def _mnasnet() -> Any:
    from timm.models._efficientnet_builder import decode_arch_def
    from timm.models.efficientnet import EfficientNet

    return EfficientNet(
        decode_arch_def(
            [
                ["ds_r1_k3_s1_c8"],
                ["ir_r2_k3_s2_e3_c16"],
                ["ir_r2_k5_s2_e3_c24_se0.25"],
                ["ir_r1_k3_s1_e4_c32"],
            ]
        ),
        stem_size=8,
        num_features=96,
        act_layer=nn.ReLU,
        num_classes=NUM_CLASSES,
    )


@_member("mobilenetv3", "MobileNetV3", epochs=14, learning_rate=5e-3)
def _mobilenetv3() -> Any:
    from timm.models._efficientnet_builder import decode_arch_def
    from timm.models.mobilenetv3 import MobileNetV3

    return MobileNetV3(
        decode_arch_def(
            [
                ["ds_r1_k3_s1_e1_c8_se0.25_nre"],
                ["ir_r1_k3_s2_e4_c16_nre", "ir_r1_k3_s1_e3_c16_nre"],
                ["ir_r2_k5_s2_e4_c24_se0.25"],
                ["cn_r1_k1_s1_c96"],
            ]
        ),
        stem_size=8,
        num_features=128,
        act_layer=nn.Hardswish,
        num_classes=NUM_CLASSES,
    )


@_member("densenet", "DenseNet", epochs=12, learning_rate=3e-3)
def _densenet() -> Any:
    from torchvision.models import DenseNet

    return DenseNet(growth_rate=12, block_config=(3, 3, 3), num_init_features=16, num_classes=NUM_CLASSES)


@_member("shufflenet", "ShuffleNetV2", epochs=16, learning_rate=5e-3)
@_member("shufflenet_distilled", "ShuffleNetV2", epochs=16, learning_rate=5e-3, teacher="densenet")
def _shufflenet() -> Any:
    from torchvision.models import ShuffleNetV2

    return ShuffleNetV2([1, 2, 1], [16, 32, 48, 64, 96], num_classes=NUM_CLASSES)


@_member("regnet", "RegNet", epochs=14, learning_rate=3e-3)
def _regnet() -> Any:
    from timm.models.regnet import RegNet, RegNetCfg

    settings = RegNetCfg(depth=6, w0=16, wa=16.0, wm=2.0, group_size=8, stem_width=16, se_ratio=0.25)
    return RegNet(settings, num_classes=NUM_CLASSES)


@_member("convnext", "ConvNeXt", epochs=20, learning_rate=3e-3)
def _convnext() -> Any:
    from timm.models.convnext import ConvNeXt

    return ConvNeXt(depths=(1, 1, 1, 1), dims=(16, 32, 48, 64), patch_size=2, num_classes=NUM_CLASSES)


# Three seeds of the most accurate network: the control that an ensemble of many families must beat.
@_member("convmixer_3", "ConvMixer", epochs=11, learning_rate=6e-3)
@_member("convmixer_2", "ConvMixer", epochs=11, learning_rate=6e-3)
@_member("convmixer", "ConvMixer", epochs=11, learning_rate=6e-3)
def _convmixer() -> Any:
    from timm.models.convmixer import ConvMixer

    return ConvMixer(dim=48, depth=4, kernel_size=5, patch_size=4, num_classes=NUM_CLASSES)


@_member("mixer", "MLP-Mixer", epochs=14, learning_rate=4e-3)
def _mixer() -> Any:
    from timm.models.mlp_mixer import MlpMixer

    return MlpMixer(
        img_size=INPUT_SIZE,
        patch_size=4,
        embed_dim=48,
        num_blocks=4,
        mlp_ratio=(0.5, 2.0),
        num_classes=NUM_CLASSES,
    )


@_member("vit", "ViT", epochs=24, learning_rate=3e-3, max_shift=1)
@_member("vit_distilled", "ViT", epochs=24, learning_rate=3e-3, max_shift=1, teacher="convnext")
def _vit() -> Any:
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=INPUT_SIZE,
        patch_size=8,
        embed_dim=64,
        depth=3,
        num_heads=4,
        mlp_ratio=2,
        weight_init="jax",  # the default's 0.02 is made for widths of hundreds; here it learns slowly
        num_classes=NUM_CLASSES,
    )
