"""Networks that cannot be made elastic are told, with the layer that stands in the way."""

import pytest
import timm
import torch
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from nversion.core import UserError
from nversion.supernet.elastic import ElasticNetwork
from nversion.supernet.elastic.structure import read_structure
from nversion.training.small_networks import build


class PreActivated(nn.Module):
    """A block whose batch norms stand before its convolutions; with as many channels as it reads."""

    def __init__(self, channels, inner):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, inner, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, channels, 3, padding=1, bias=False)

    def forward(self, x):
        return x + self.conv2(self.bn2(self.conv1(self.bn1(x).relu())).relu())


def around(*blocks, features=4, stem=None):
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, 2)]
    return nn.Sequential(stem or nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), *blocks, *head)


def edited(network, path, module):
    network.set_submodule(path, module)
    return network


def without_values(builder):
    with torch.device("meta"):
        return builder()


def resnet():
    return torchvision.models.resnet18(num_classes=10)


def with_circular_padding():
    return edited(resnet(), "conv1", nn.Conv2d(3, 64, 7, padding_mode="circular"))


REFUSED = {
    "deep stem": (lambda: timm.create_model("resnet50d"), r"found \d+ layers, among them 'conv1.3'"),
    "squeeze-excite": (
        lambda: timm.create_model("legacy_seresnet18"),
        r"nothing with weights in 'layer1.0' but .*, found 'layer1.0.se_module.fc1', a Conv2d",
    ),
    "SE of timm": (lambda: timm.create_model("seresnet18"), r"found 'layer1.0.se.fc1', a Conv2d"),
    "blur": (lambda: timm.create_model("resnetblur50"), "found 4 layers, among them 'maxpool.1'"),
    "branches": (lambda: timm.create_model("hrnet_w18_small"), r"found \d+ layers, among them 'conv2'"),
    "vgg": (lambda: without_values(torchvision.models.vgg11), "residual blocks in a VGG, .*, found none"),
    "mobilenet": (lambda: timm.create_model("mobilenetv3_small_050"), "residual blocks in a MobileNetV3"),
    "mobilenet v2": (torchvision.models.mobilenet_v2, "residual blocks in a MobileNetV2"),
    "ViT": (lambda: timm.create_model("vit_tiny_patch16_224"), "residual blocks in a VisionTransformer"),
    "small ViT": (lambda: build("deit", 10)[0], "residual blocks in a VisionTransformer"),
    "selective kernels": (lambda: timm.create_model("skresnet18"), "blocks in a ResNet, .*, found none"),
    "catavgmax": (
        lambda: timm.create_model("resnet18", global_pool="catavgmax"),
        r"a linear layer of 512 pooled channels at 'fc', .*found Linear\(in_features=1024",
    ),
    "flatten of pixels": (
        lambda: around(BasicBlock(4, 4), features=36),
        r"a linear layer of 4 pooled channels at '5', .*found Linear\(in_features=36",
    ),
    "group norm": (
        lambda: torchvision.models.resnet18(norm_layer=lambda channels: nn.GroupNorm(2, channels)),
        "a plain BatchNorm2d at 'bn1', .*found a GroupNorm",
    ),
    "frozen norm": (
        lambda: edited(resnet(), "layer2.0.bn2", torchvision.ops.FrozenBatchNorm2d(128)),
        "a plain BatchNorm2d at 'layer2.0.bn2', .*found a FrozenBatchNorm2d",
    ),
    "no statistics": (
        lambda: edited(resnet(), "layer1.0.bn1", nn.BatchNorm2d(64, track_running_stats=False)),
        "running statistics at 'layer1.0.bn1'",
    ),
    "circular padding": (with_circular_padding, "padding by zeros at 'conv1'"),
    "convolution at the end": (
        lambda: edited(resnet(), "fc", nn.Conv2d(512, 10, 1)),
        r"a linear layer of 512 pooled channels at 'fc', .*found Conv2d\(512, 10",
    ),
    "no classifier": (lambda: timm.create_model("resnet18", num_classes=0), r"found 2 layers, among them 'c"),
    "groups in a basic block": (
        lambda: around(edited(BasicBlock(4, 4), "conv1", nn.Conv2d(4, 4, 3, groups=2))),
        "no groups at '2.conv1', as only the middle of a bottleneck has them",
    ),
    "grouped stem": (
        lambda: around(BasicBlock(4, 4), stem=nn.Conv2d(2, 4, 3, groups=2)),
        "no groups at '0', as only",
    ),
    "grouped shortcut": (
        lambda: around(
            Bottleneck(4, 2, downsample=nn.Sequential(nn.Conv2d(4, 8, 1, groups=2), nn.BatchNorm2d(8))),
            features=8,
        ),
        "no groups at '2.downsample.0', as only",
    ),
    "norms before convolutions": (
        lambda: around(PreActivated(4, 6)),
        r"the batch norm '2.bn1' behind '2.conv1', of its 6 channels, .*found BatchNorm2d\(4",
    ),
    "norms before convolutions of equal width": (
        lambda: around(PreActivated(4, 4)),
        "the batch norm '2.bn1' behind '2.conv1'",
    ),
    "twice": (lambda: ElasticNetwork(resnet()).network, "a plain Conv2d at 'conv1', .*found a ElasticConv2d"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_made_elastic_is_named(name):
    builder, message = REFUSED[name]
    with pytest.raises(UserError, match=f"{message}.*; take a ResNet or ResNeXt of torchvision or timm"):
        ElasticNetwork(builder())


def test_a_refused_network_stays_as_it_was():
    network = torchvision.models.resnet18(norm_layer=lambda channels: nn.GroupNorm(2, channels))
    with pytest.raises(UserError):
        ElasticNetwork(network)
    assert not [m for m in network.modules() if type(m).__module__.startswith("nversion")]


def test_streams_and_stages_of_a_resnet():
    structure = read_structure(resnet())
    assert [len(stage) for stage in structure.stages] == [2, 2, 2, 2] and structure.num_streams == 4
    assert [unit.conv for unit in structure.writers(0)] == ["conv1", "layer1.0.conv2", "layer1.1.conv2"]
    assert structure.readers(0) == [
        "layer1.0.conv1", "layer1.1.conv1", "layer2.0.conv1", "layer2.0.downsample.0",
    ]  # fmt: skip
    assert structure.readers(3) == ["layer4.1.conv1", "fc"]
