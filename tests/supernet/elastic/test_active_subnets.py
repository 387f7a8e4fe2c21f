"""A supernet is its network, and its active subnet what slicing and leaving off by hand give."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nversion.supernet.elastic import Elasticity, ElasticNetwork


def own_statistics(network):
    norms = {n: m for n, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    return {name: (norm.running_mean, norm.running_var) for name, norm in norms.items()}


@torch.no_grad()
def test_the_largest_subnet_is_the_network_to_the_byte(original, images):
    logits_NC = original(images())
    assert torch.equal(ElasticNetwork(original).eval()(images()), logits_NC)


def test_names_and_values_of_weights_stay(original):
    before = {name: tensor.clone() for name, tensor in original.state_dict().items()}
    after = ElasticNetwork(original).network.state_dict()
    assert list(before) == list(after) and all(torch.equal(before[name], after[name]) for name in before)


@torch.no_grad()
def test_the_largest_is_the_network_again_after_others_were_active(original, images, drawn):
    logits_NC = original(images())
    supernet = ElasticNetwork(original).eval()
    for seed in range(2):
        drawn(supernet, seed)
    supernet.activate(supernet.space.largest)
    assert torch.equal(supernet(images()), logits_NC)


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "depth", "left_off"),
    [
        ("torchvision-resnet50", "1-2-4-1", "1.1 1.2 2.2 2.3 3.4 3.5 4.1 4.2"),
        ("torchvision-resnet50", "3-4-5-2", "3.5 4.2"),
        ("timm-resnet18", "1-2-1-2", "1.1 3.1"),
        ("timm-resnet50", "2-4-6-3", "1.2"),
    ],
)
def test_a_skipped_block_is_an_identity_and_the_last_ones_are_skipped(make, images, name, depth, left_off):
    network, supernet = make(name), ElasticNetwork(make(name)).eval()
    for place in left_off.split():
        network.set_submodule(f"layer{place}", nn.Identity())
    supernet.activate(supernet.space.parse(f"depth={depth}"), own_statistics(network))
    assert torch.equal(supernet(images()), network(images()))


def test_a_block_with_a_projection_cannot_be_skipped(supernet):
    by_name = dict(supernet.network.named_modules())
    for block in supernet.structure.blocks:
        assert hasattr(by_name[block.name], "skipped") == (block.shortcut is None)


def test_a_stage_keeps_a_block_even_if_none_projects(make):
    supernet = ElasticNetwork(make("torchvision-resnet18"), Elasticity(max_skips=9))
    assert supernet.structure.stages[0][0].shortcut is None
    assert supernet.space.depth == ((2, 1),) * 4


def by_hand(block, x, inner, out, statistics, name):
    """What a block gives, of torch's functions and slices of its weights."""

    def norm(x, path):
        layer, mean_and_variance = block.get_submodule(path), statistics[f"{name}.{path}"]
        channels = x.shape[1]
        return F.batch_norm(x, *mean_and_variance, layer.weight[:channels], layer.bias[:channels])

    found, count = x, 3 if hasattr(block, "conv3") else 2
    for i in range(1, count + 1):
        conv, channels = block.get_submodule(f"conv{i}"), inner if i < count else out
        per_group = conv.in_channels // conv.groups
        groups = found.shape[1] // per_group if conv.groups > 1 else 1
        weight = conv.weight[:channels, : found.shape[1] // groups]
        found = F.conv2d(found, weight, None, conv.stride, conv.padding, 1, groups)
        found = norm(found, f"bn{i}")
        found = found if i == count else found.relu()
    if block.downsample is not None:
        conv = block.downsample[0]
        x = norm(F.conv2d(x, conv.weight[:out, : x.shape[1]], None, conv.stride), "downsample.1")
    return (found + x).relu()


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "block", "subnet", "inner", "out"),
    [
        ("torchvision-resnet18", "layer1.1", "width=0.6,expansion=0.8", 51, 38),
        ("torchvision-resnet50", "layer3.2", "width=0.8,expansion=0.6", 153, 819),
        ("timm-resnet50", "layer2.0", "width=0.6,expansion=0.8", 102, 307),
        ("torchvision-resnext50", "layer1.0", "width=0.8,expansion=0.6", 76, 204),
        ("torchvision-resnext50", "layer4.1", "width=0.6,expansion=0.6", 608, 1228),
        ("small-resnext", "3", "width=0.6,expansion=0.8", 12, 19),
    ],
)
def test_a_narrower_block_is_its_sliced_weights(make, images, name, block, subnet, inner, out):
    supernet = ElasticNetwork(make(name)).eval()
    statistics = supernet.collect_statistics(supernet.space.parse(subnet), [images(1), images(2)])
    seen = {}
    module = supernet.network.get_submodule(block)
    module.register_forward_hook(lambda _m, inputs, output: seen.update(x=inputs[0].clone(), y=output))
    supernet(images())
    assert module.conv1(seen["x"]).shape[1] == inner and seen["y"].shape[1] == out
    torch.testing.assert_close(seen["y"], by_hand(module, seen["x"], inner, out, statistics, block))


def test_switching_writes_to_changed_layers_only(make, monkeypatch):
    supernet = ElasticNetwork(make("torchvision-resnet50"))
    names = {module: name for name, module in supernet.network.named_modules()}
    written, write = set(), nn.Module.__setattr__

    def record(module, attribute, value):
        if module in names:
            written.add((names[module], attribute, value))
        write(module, attribute, value)

    monkeypatch.setattr(nn.Module, "__setattr__", record)
    inner = ["64"] * 3 + ["128"] * 4 + ["256"] * 6 + ["512"] * 3
    inner[3] = "76"
    subnet = supernet.space.parse("depth=2-4-6-3,width=38-256-512-1024-2048,expansion=" + "-".join(inner))
    supernet.activate(subnet)
    changed = {("conv1", "active_out", 38), ("layer2.0.conv1", "active_out", 76)}
    changed |= {("layer2.0.conv2", "active_out", 76), ("layer1.2", "skipped", True)}
    assert {w for w in written if w not in changed} <= {("layer1.1", "skipped", False)}
    assert changed <= written
    written.clear()
    supernet.activate(subnet)
    assert not written


def test_a_copy_of_a_supernet_switches_alone(make, images, drawn):
    supernet = ElasticNetwork(make("small-resnext")).eval()
    logits_NC = supernet(images())
    drawn(copy.deepcopy(supernet))
    assert torch.equal(supernet(images()), logits_NC)
