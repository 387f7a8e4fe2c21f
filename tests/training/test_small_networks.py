"""Small networks: their documented cost, any number of classes, the ratios of the paper's variants."""

import re

import pytest
import torch

from nversion.models import Preprocessing, make_classifier
from nversion.training.small_networks import SMALL_NETWORKS, build


def macs(name, num_classes=43):
    module, settings = build(name, num_classes)
    card = make_classifier(
        module, Preprocessing(**settings), name=name, source="a test", label_space="signs"
    ).card
    return card.macs


@pytest.mark.parametrize("name", sorted(SMALL_NETWORKS))
def test_the_docstring_tells_the_cost_of_one_image(name):
    told = float(re.search(r"([\d.]+) million MACs", SMALL_NETWORKS[name].__doc__)[1]) * 1e6
    assert macs(name) == pytest.approx(told, rel=0.02)
    assert macs(name) < 6e6


@pytest.mark.parametrize("name", sorted(SMALL_NETWORKS))
def test_networks_have_as_many_outputs_as_classes(name):
    assert build(name, 7)[0].eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 7)


def test_variants_of_resnext_cost_in_the_order_of_the_paper_s():
    paper = {"resnext_32_2": 2.30, "resnext_16_4": 2.36, "resnext_32_4l": 2.69}  # 10^9 MACs at 224 pixels
    assert sorted(paper, key=macs) == sorted(paper, key=paper.get)
