"""Residual networks with batch norms that are not those of a fresh network, and what tests ask of them."""

import copy
import functools

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

from nversion.supernet.elastic import ElasticNetwork
from nversion.training.small_networks import build

BUILDERS = {
    "torchvision-resnet18": lambda: torchvision.models.resnet18(num_classes=10),
    "torchvision-resnet50": lambda: torchvision.models.resnet50(num_classes=10),
    "torchvision-resnext50": lambda: torchvision.models.resnext50_32x4d(num_classes=10),
    "timm-resnet18": lambda: timm.create_model("resnet18", num_classes=10),
    "timm-resnet50": lambda: timm.create_model("resnet50", num_classes=10),
    "small-resnet": lambda: build("resnet", 10)[0],
    "small-resnext": lambda: build("resnext_32_4l", 10)[0],
}


@functools.cache
def built(name):
    torch.manual_seed(0)
    network = BUILDERS[name]().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network


@pytest.fixture
def make():
    """A network by its name, each call a new one with the same weights."""
    return lambda name: copy.deepcopy(built(name))


@pytest.fixture(params=BUILDERS)
def original(request, make):
    """Each of the networks, in eval mode."""
    return make(request.param)


@pytest.fixture
def supernet(original):
    """Each of the networks made elastic, in eval mode."""
    return ElasticNetwork(original).eval()


@pytest.fixture
def images():
    """Batches of noise (4, 3, 32, 32), each seed its own."""
    return lambda seed=0: torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def drawn():
    """A subnet of a supernet drawn at random, and its statistics over three batches."""

    def draw(supernet, seed=0):
        subnet = supernet.space.sample(np.random.default_rng(seed))
        batches = torch.randn(3, 4, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
        return subnet, supernet.collect_statistics(subnet, list(batches))

    return draw
