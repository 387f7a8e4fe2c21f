"""Training the active subnet trains its channels, and statistics are torch's own averages."""

import numpy as np
import pytest
import torch
from torch import nn

from nversion.supernet.elastic import ElasticNetwork, extract


def step(network, images_N3HW):
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    nn.functional.cross_entropy(network(images_N3HW), torch.arange(len(images_N3HW))).backward()
    return {name: parameter.grad for name, parameter in network.named_parameters()}


@pytest.mark.parametrize("seed", range(2))
def test_gradients_are_those_of_the_subnet_on_its_own_and_zero_elsewhere(supernet, images, seed):
    subnet = supernet.space.sample(np.random.default_rng(seed))
    supernet.train().activate(subnet)
    alone = step(extract(supernet, subnet).train(), images())
    for name, found in step(supernet, images()).items():
        expected = alone.get(name.removeprefix("network."))
        if expected is None:
            assert found is None, name  # of a block that is left off
            continue
        own = found[tuple(map(slice, expected.shape))]
        torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()))
        assert found.count_nonzero() == own.count_nonzero(), name


def test_gradients_of_two_subnets_add_up(make, images):
    supernet = ElasticNetwork(make("small-resnext")).train()
    both = []
    for subnet in (supernet.space.smallest, supernet.space.largest):
        supernet.zero_grad()
        supernet.activate(subnet)
        both.append({n: 0 if g is None else g.clone() for n, g in step(supernet, images()).items()})
    supernet.activate(supernet.space.smallest)
    for name, gradient in step(supernet, images()).items():
        torch.testing.assert_close(gradient, both[0][name] + both[1][name])


def test_statistics_are_the_cumulative_averages_of_torch(supernet, images, drawn):
    subnet, statistics = drawn(supernet)
    alone = extract(supernet, subnet).eval()
    for module in alone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            module.reset_running_stats()
            module.train()
    generator = torch.Generator().manual_seed(0)
    for images_N3HW in torch.randn(3, 4, 3, 32, 32, generator=generator):
        alone(images_N3HW)
    norms = {n: m for n, m in alone.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert statistics.keys() == norms.keys()
    for name, (mean, variance) in statistics.items():
        assert torch.equal(mean, norms[name].running_mean), name
        assert torch.equal(variance, norms[name].running_var), name


def test_a_smaller_subnet_without_statistics_is_refused_in_eval_mode(supernet, images):
    supernet.activate(supernet.space.smallest)
    with pytest.raises(ValueError, match="statistics of the active subnet, found none; collect them first"):
        supernet(images())


def test_statistics_of_no_batch_are_refused(make):
    supernet = ElasticNetwork(make("small-resnet"))
    with pytest.raises(ValueError, match="expected at least one batch"):
        supernet.collect_statistics(supernet.space.smallest, [])


def test_smaller_subnets_leave_the_running_statistics_alone(supernet, images, drawn):
    before = {name: tensor.clone() for name, tensor in supernet.named_buffers()}
    supernet.train().activate(supernet.space.smallest)
    supernet(images())
    drawn(supernet)
    assert all(torch.equal(before[name], tensor) for name, tensor in supernet.named_buffers())


def test_the_largest_moves_the_running_statistics_as_before(original, images):
    supernet = ElasticNetwork(original).train()
    alone = extract(supernet, supernet.space.largest).train()
    torch.manual_seed(0)
    supernet(images())
    torch.manual_seed(0)
    alone(images())
    for name, tensor in alone.named_buffers():
        assert torch.equal(supernet.network.get_buffer(name), tensor), name


def test_collecting_ends_in_the_mode_it_began_in(make, images):
    supernet = ElasticNetwork(make("small-resnext"))
    for training in (True, False):
        supernet.train(training).collect_statistics(supernet.space.smallest, [images()])
        assert supernet.training == supernet.network[1].training == training
        assert supernet.subnet == supernet.space.smallest


def test_reorganising_forgets_statistics_of_the_old_order(make, images):
    supernet = ElasticNetwork(make("small-resnext")).eval()
    logits_NC = supernet(images())
    supernet.collect_statistics(supernet.space.largest, [images(1)])
    supernet.reorganise()
    torch.testing.assert_close(supernet(images()), logits_NC)
