"""A subnet on its own is the active subnet to the byte; shared, it has no memory of its own."""

import copy

import pytest
import torch
from torch import nn

from nversion.supernet.elastic import ElasticNetwork, extract


@torch.no_grad()
@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_extracted_equals_active_to_the_byte(supernet, images, drawn, share, seed):
    subnet, statistics = drawn(supernet, seed)
    assert torch.equal(
        extract(supernet, subnet, statistics, share=share).eval()(images()), supernet(images())
    )


def test_the_largest_extracted_is_the_original(original):
    before = copy.deepcopy(original)
    supernet = ElasticNetwork(original)
    found = extract(supernet, supernet.space.largest)
    assert {n: type(m) for n, m in found.named_modules()} == {n: type(m) for n, m in before.named_modules()}
    assert str(found) == str(before)
    for name, tensor in before.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name


def test_extracted_networks_are_of_plain_layers(supernet):
    subnet = supernet.space.smallest
    found = extract(supernet, subnet)
    assert not [m for m in found.modules() if type(m).__module__.startswith("nversion.supernet.elastic")]
    norms = [(n, m) for n, m in found.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(len(m.running_mean) == len(m.weight) == m.num_features for _, m in norms)
    running = supernet.space.running(subnet.depth)
    skipped = [b.name for b, runs in zip(supernet.structure.blocks, running, strict=True) if not runs]
    assert [n for n, m in found.named_modules() if type(m) is nn.Identity and n in skipped] == skipped


def test_extraction_leaves_the_supernet_as_it_was(supernet, images, drawn):
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    logits_NC = supernet(images())
    found = extract(supernet, supernet.space.smallest).train()
    found(images()).sum().backward()
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(1)
    assert all(torch.equal(before[name], tensor) for name, tensor in supernet.state_dict().items())
    assert torch.equal(supernet(images()), logits_NC)
    assert all(parameter.grad is None for parameter in supernet.parameters())


def storages(tensors):
    return {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}


def test_eleven_subnets_need_the_memory_of_one_supernet_and_their_statistics(make, drawn):
    supernet = ElasticNetwork(make("torchvision-resnext50")).eval()
    pairs = [drawn(supernet, seed) for seed in range(11)]
    networks = [extract(supernet, subnet, statistics, share=True) for subnet, statistics in pairs]
    own = storages([*supernet.parameters(), *supernet.buffers()])
    assert storages(p for network in networks for p in network.parameters()).keys() <= own.keys()
    added = storages(b for network in networks for b in network.buffers() if b.dim())
    of_statistics = storages(t for _, s in pairs for pair in s.values() for t in pair)
    assert added.keys() <= of_statistics.keys()
    assert sum(of_statistics.values()) < 0.06 * sum(own.values())


def test_shared_weights_change_with_the_supernet(make, images, drawn):
    supernet = ElasticNetwork(make("small-resnext")).eval()
    subnet, statistics = drawn(supernet)
    shared, own = (extract(supernet, subnet, statistics, share=share).eval() for share in (True, False))
    before_NC = own(images())
    with torch.no_grad():
        supernet.network[-1].weight.mul_(2)
    assert torch.equal(own(images()), before_NC)
    assert torch.equal(shared(images()), supernet(images())) and not torch.equal(shared(images()), before_NC)


def test_frozen_weights_stay_frozen(make):
    network = make("small-resnet")
    network[0].weight.requires_grad_(False)
    supernet = ElasticNetwork(network)
    found = dict(extract(supernet, supernet.space.smallest).named_parameters())
    assert [name for name, parameter in found.items() if not parameter.requires_grad] == ["0.weight"]
