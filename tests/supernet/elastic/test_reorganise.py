"""Channels are sorted by what the importance says, and outputs stay."""

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from nversion.supernet.elastic import ElasticNetwork

IMPORTANCES = ("filters", "readers")


@torch.no_grad()
@pytest.mark.parametrize("importance", IMPORTANCES)
def test_outputs_stay(supernet, images, importance):
    before_NC = supernet(images())
    supernet.reorganise(importance)
    after_NC = supernet(images())
    # The same sums in another order: float32 rounding, relative to the greatest logit.
    assert 0 < (after_NC - before_NC).abs().max() < 1e-5 * before_NC.abs().max()


def scores(structure, network, stream, importance):
    weight = {name: m.weight.detach() for name, m in network.named_modules() if hasattr(m, "weight")}
    writers = structure.writers(stream)
    if importance == "filters":
        return sum(weight[unit.conv].abs().sum((1, 2, 3)) for unit in writers)
    read = sum(weight[name].abs().flatten(2).sum((0, 2)) for name in structure.readers(stream))
    return read * sum(weight[unit.norm].abs() for unit in writers)


@pytest.mark.parametrize("importance", IMPORTANCES)
def test_streams_are_sorted_the_most_important_channel_first(make, importance):
    supernet = ElasticNetwork(make("torchvision-resnet50"))
    # Linear weights (C, F) get the axes of pixels, so that one formula serves all readers.
    classifier = supernet.network.fc
    supernet.reorganise(importance)
    classifier.weight.data = classifier.weight.data[..., None]
    for stream in range(5):
        sums = scores(supernet.structure, supernet.network, stream, importance)
        assert torch.all(sums[:-1] - sums[1:] > -1e-5 * sums[0]), stream


@pytest.mark.parametrize("name", ["torchvision-resnet50", "torchvision-resnext50"])
def test_inner_channels_are_sorted_in_whole_groups(make, name):
    supernet = ElasticNetwork(make(name))
    supernet.reorganise("readers")
    for block in supernet.structure.blocks:
        modules = [supernet.network.get_submodule(block.name + path) for path in (".conv2", ".bn1", ".bn2")]
        conv2, bn1, bn2 = modules
        conv3 = supernet.network.get_submodule(block.name + ".conv3")
        read, scale = conv3.weight.detach().abs().sum((0, 2, 3)), bn2.weight.detach().abs()
        if conv2.groups > 1:
            scale = scale + bn1.weight.detach().abs()
        sums = (read * scale).reshape(conv2.groups if conv2.groups > 1 else len(read), -1).sum(1)
        assert torch.all(sums[:-1] - sums[1:] > -1e-5 * sums[0]), block.name


def tiny(block):
    """Four channels, one block without a projection; all weights 0, batch norms numbered by their biases."""
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.zeros_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            module.bias.data = torch.arange(4.0)
    return network


def set_first(layer, values):
    """Weights of each output channel that read the first input channel."""
    layer.weight.data[:, 0, 0, 0] = torch.tensor(values)


def test_filters_are_summed_over_all_that_write_a_stream():
    network = tiny(BasicBlock(4, 4))
    set_first(network[0], [1.0, -2.0, 3.0, 0.5])
    set_first(network[2].conv2, [0.0, 0.0, 0.0, -9.0])  # together 1, 2, 3 and 9.5
    ElasticNetwork(network).reorganise("filters")
    assert network[1].bias.tolist() == network[2].bn2.bias.tolist() == [3, 2, 1, 0]
    assert network[0].weight[:, 0, 0, 0].tolist() == [0.5, 3, -2, 1]


def test_channels_of_equal_importance_stay_in_order():
    network = tiny(BasicBlock(4, 4))
    set_first(network[0], [1.0, 2.0, -2.0, 2.0])
    ElasticNetwork(network).reorganise("filters")
    assert network[1].bias.tolist() == [1, 2, 3, 0]


def test_readers_count_by_the_scale_of_what_they_read():
    network = tiny(BasicBlock(4, 4))
    network[5].weight.data = torch.tensor([[1.0, -5.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    network[2].conv1.weight.data[0, :, 0, 0] = torch.tensor([0.0, 1.0, 0.0, 1.0])  # read 1, 6, 2 and 1
    network[2].bn2.weight.data = torch.tensor([1.0, 0.0, -9.0, 0.5])  # with the stem's 1s: 2, 1, 10 and 1.5
    ElasticNetwork(network).reorganise("readers")  # 2, 6, 20 and 1.5
    assert network[1].bias.tolist() == network[2].bn2.bias.tolist() == [2, 1, 0, 3]
    assert network[5].weight[0].tolist() == [1, -5, 1, 0]


@pytest.mark.parametrize("importance", IMPORTANCES)
def test_channels_of_a_group_stay_together_in_their_order(importance):
    network = tiny(Bottleneck(4, 1, groups=2, base_width=128))
    block = network[2]
    assert block.conv2.weight.shape[:2] == (4, 2) and block.conv2.groups == 2
    block.conv3.weight.data[0, :, 0, 0] = torch.tensor([3.0, 0.0, 2.0, 2.0])  # groups: 3 and 4
    set_first(block.conv1, [3.0, 0.0, 2.0, 2.0])
    ElasticNetwork(network).reorganise(importance)
    assert block.bn1.bias.tolist() == block.bn2.bias.tolist() == [2, 3, 0, 1]
