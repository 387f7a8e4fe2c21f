"""Parameters and MACs without running a subnet are those of the extracted one."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from nversion.supernet.elastic import Cost, Elasticity, ElasticNetwork, extract


@pytest.mark.parametrize("size", [32, 50])
def test_cost_is_what_is_counted_on_the_extracted_subnet(supernet, size):
    for seed in range(2):
        subnet = supernet.space.sample(np.random.default_rng(seed))
        alone = extract(supernet, subnet).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            alone(torch.zeros(1, 3, size, size))
        num_parameters = sum(parameter.numel() for parameter in alone.parameters())
        assert supernet.cost(subnet, size) == Cost(num_parameters, counter.get_total_flops() // 2)


def test_asking_for_the_cost_changes_nothing(make, images, drawn):
    supernet = ElasticNetwork(make("small-resnext")).eval()
    subnet, _ = drawn(supernet)
    logits_NC = supernet(images())
    supernet.cost(supernet.space.largest, 40)
    assert torch.equal(supernet(images()), logits_NC) and supernet.subnet == subnet and not supernet.training


@pytest.mark.parametrize(
    ("subnet", "macs"),
    [
        ("", 333_664_256),
        ("depth=2-3-5-2", 262_361_088),
        ("depth=3-4-2-3", 262_361_088),
        ("width=0.6,expansion=0.6", 112_647_632),
        (
            "width=64-200-304-1024-1632,expansion=32-48-64-72-72-96-96-152-256-200-200-256-256-304-304-408",
            206_955_712,
        ),
    ],
)
def test_macs_are_those_that_bootstrapnas_counts(make, subnet, macs):
    # Half of the FLOPs that NNCF 2.19 counts for these subnets of ResNet50 at 64 pixels and 10 classes.
    elasticity = Elasticity(max_skips=5, min_width=32, width_step=8)
    supernet = ElasticNetwork(make("torchvision-resnet50"), elasticity)
    assert supernet.cost(supernet.space.parse(subnet), 64).macs == macs
