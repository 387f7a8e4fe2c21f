"""Attribution methods of the one registry make the maps that losses compare."""

import importlib.util
import sys

import pytest
import torch
from torch import nn

from nversion.attribution import METHODS, find_differentiable_method
from nversion.core import UserError
from nversion.training.members import attribution_maps
from nversion.training.plan import check_settings
from nversion.training.recipe import MapsTable, TrainingRecipe

PLUG_IN = """
import torch

def squared(classifier, images_N3HW, targets_N, *, absolute, create_graph=False):
    score = classifier(images_N3HW).gather(1, targets_N[:, None]).sum()
    (slope,) = torch.autograd.grad(score, images_N3HW, create_graph=create_graph)
    return slope.square()

def doubled(classifier, images_N3HW, targets_N, *, absolute, create_graph=False):
    other = (2 * images_N3HW.detach()).requires_grad_()
    score = classifier(other).gather(1, targets_N[:, None]).sum()
    (slope,) = torch.autograd.grad(score, other, create_graph=create_graph)
    return slope
"""


@pytest.fixture
def plug_in(tmp_path, monkeypatch):
    """The functions of a third party's file, registered."""
    path = tmp_path / "some_methods.py"
    path.write_text(PLUG_IN)
    spec = importlib.util.spec_from_file_location("some_methods", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "some_methods", module)
    spec.loader.exec_module(module)
    for name in ("squared", "doubled"):
        monkeypatch.setitem(METHODS._entries, name, getattr(module, name))


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def maps(method, net):
    images = torch.rand(2, 3, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    images.requires_grad_()
    settings = MapsTable(method=method, absolute=False)
    return attribution_maps(net, images, net(images), torch.tensor([2, 0]), settings)


def test_a_plug_in_makes_maps_that_losses_differentiate(plug_in):
    net = network()
    squares = maps("squared", net)
    torch.testing.assert_close(squares, maps("saliency", net).square())
    squares.sum().backward()
    assert net[1].weight.grad.abs().max() > 0


def test_a_plug_in_that_looks_at_other_images_runs_the_member_again(plug_in):
    assert not torch.allclose(maps("doubled", network()), maps("saliency", network()))


def recipe(method):
    content = {"train": {"name": "x", "epochs": 1}, "data": {"train": {"source": "digits"}}}
    return TrainingRecipe.model_validate(
        content | {"members": [{"arch": "timm:resnet18"}], "maps": {"method": method}}
    )


@pytest.mark.parametrize("method", ["grad_cam", "integrated_gradients-4"])
def test_methods_without_a_graph_are_refused_before_a_training(method):
    with pytest.raises(UserError, match=f"whose maps can be differentiated, found '{method}'; name one of"):
        check_settings(recipe(method))


def test_a_plug_in_is_a_method_of_a_recipe(plug_in):
    check_settings(recipe("squared"))
    assert find_differentiable_method("squared").passes == 1
