"""A plan builds all that a training builds: what a training would refuse, it refuses; nothing is trained."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from nversion.core import UserError
from nversion.training import open_data, parse_recipe, rehearse, train_recipe
from nversion.training.members import logits_of

NETWORKS = """
from typing import NamedTuple
import torch
from torch import nn

class Both(NamedTuple):
    logits: torch.Tensor
    aux: torch.Tensor

class Net(nn.Module):
    def __init__(self, classes, returns):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(192, classes))
        self.returns = returns

    def forward(self, x):
        z = self.body(x)
        if not self.training:
            return z
        return {
            "logits": lambda: z,
            "named": lambda: Both(z, z * torch.nan),
            "mapping": lambda: {"aux": z * torch.nan, "logits": z},
            "tuple": lambda: (z, {"features": x}),
            "two": lambda: (z, z),
            "mean": lambda: z.mean(1),
            "none": lambda: None,
        }[self.returns]()

def build(classes=10, returns="logits"):
    return Net(classes, returns)

def plain(kind):
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 10))
    return {
        "half": network.half,
        "double": network.double,
        "lazy": lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(10)),
        "scripted": lambda: torch.jit.script(network),
        "traced": lambda: torch.fx.symbolic_trace(network),
        "exported": lambda: torch.export.export(network, (torch.rand(2, 3, 8, 8),)).module(),
    }[kind]()
"""

CONTENT = {
    "train": {"name": "try", "epochs": 1, "batch_size": 32, "device": "cpu"},
    "data": {"train": {"source": "digits", "split": "train", "count": 100}},
    "canonical": {"size": 8, "mode": "squash"},
    "members": [{"arch": "python:net.py:build", "name": "net", "count": 2}],
}
ONE = CONTENT["members"][0]


@pytest.fixture
def planned(tmp_path: Path):
    (tmp_path / "net.py").write_text(NETWORKS)

    def plan(**changes):
        recipe = parse_recipe(copy.deepcopy(CONTENT) | changes, "a test")["try"]
        return rehearse(recipe, open_data(recipe, tmp_path), tmp_path)

    return plan


def test_a_plan_has_sizes_and_leaves_random_numbers_as_they_were(planned):
    state = torch.get_rng_state()
    assert [(one.name, one.num_parameters) for one in planned()] == [("net-0", 1930), ("net-1", 1930)]
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"loss": {"name": "gnlc"}}, "expected a known loss, found 'gnlc'; did you mean 'gncl'"),
        ({"loss": {}}, "expected the setting 'name' of a loss, found none"),
        (
            {"loss": {"name": "gncl", "wieght": 1}},
            "a setting of the loss 'gncl', found 'wieght'; did you mean",
        ),
        (
            {"loss": {"name": "gncl", "weight": float("inf")}},
            "a valid 'weight' of the loss 'gncl', found inf",
        ),
        ({"optimizer": {"name": "adamm"}}, "a known optimizer, found 'adamm'; did you mean 'adamw'"),
        ({"optimizer": {"name": "sgd", "lr": 1}}, "a setting of the optimizer 'sgd', found 'lr'"),
        (
            {"optimizer": {"name": "sgd", "learning_rate": -1.0}},
            "sound settings of the optimizer 'sgd', found Invalid learning rate: -1.0; correct them",
        ),
        (
            {"optimizer": {"name": "sgd", "learning_rate": 1e300}},
            "a 'learning_rate' of the optimizer 'sgd' up to 1e.06, found 1e.300; correct it",
        ),
        (
            {"train": CONTENT["train"] | {"seeds": [1, 1]}},
            "each seed stands for a run of its own: name it once",
        ),
        (
            {"train": CONTENT["train"] | {"epochs": 10**9}},
            "train.epochs in a test, found 1000000000 .Input should be less than or equal to 1000000",
        ),
        ({"schedule": {"name": "cosin"}}, "a known schedule, found 'cosin'; did you mean 'cosine'"),
        ({"schedule": {"name": "step", "every": 0}}, "a number of epochs, `every`, above 0, found 0"),
        (
            {"schedule": {"name": "step", "every": 0.1, "factor": -2.0}},
            "a schedule 'step' whose factors are 0 or more, and finite, found -32 after 0.5 epochs",
        ),
        ({"strategy": {"name": "boostin"}}, "a known strategy, found 'boostin'; did you mean 'boosting'"),
        ({"strategy": {"name": "bagging", "fraction": 2.0}}, "a fraction above 0 and at most 1 for bagging"),
        ({"strategy": {"name": "snapshot"}}, "one member for snapshots: its cycles become the ensemble"),
        (
            {"members": [{**ONE, "args": {"classes": 7}}]},
            "10 outputs of the member 'net-0', one a class of the",
        ),
        (
            {"members": [{**ONE, "frozen": ["bdy.*"]}]},
            r"patterns in `frozen` that parameters of the member 'net'",
        ),
        (
            {"members": [{**ONE, "frozen": ["*"]}]},
            "something to train in the member 'net', found no parameter",
        ),
        (
            {"members": [{**ONE, "args": {"returns": "two"}}]},
            "logits of shape .* from Net while it is trained",
        ),
        (
            {"members": [{**ONE, "args": {"returns": "none"}}]},
            "found a NoneType with 0 tensors that could be",
        ),
        (
            {"members": [{**ONE, "args": {"returns": "mean"}}]},
            "expected a training step of net-0, net-1 on two images to work, found .*Error: .*; correct the",
        ),
        ({"members": [{**ONE, "count": 1}], "loss": {"name": "gncl"}}, "at least 2 members"),
        (
            {"loss": {"name": "distillation"}},
            r"a \[\[teacher\]\] for the loss 'distillation', found none; add",
        ),
        ({"maps": {"smooth": 99}, "loss": {"name": "attribution_variance"}}, "a training step of .* to work"),
    ],
)
def test_what_a_training_refuses_its_plan_refuses(planned, changes, sentence):
    with pytest.raises(UserError, match=sentence):
        planned(**changes)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("lazy", "the weights of the member 'net', found lazy layers without any"),
        ("scripted", "a network that can be trained as the member 'net', found RecursiveScriptModule"),
        ("exported", r"found GraphModule: Calling train\(\) is not supported"),
    ],
)
def test_modules_that_cannot_be_trained_are_refused(planned, kind, sentence):
    with pytest.raises(UserError, match=sentence):
        planned(members=[{"arch": "python:net.py:plain", "name": "net", "args": {"kind": kind}}])


@pytest.mark.parametrize("kind", ["half", "double", "traced"])
def test_networks_of_another_kind_are_trained_in_float32(planned, tmp_path, kind):
    member = {"arch": "python:net.py:plain", "name": "net", "args": {"kind": kind}}
    planned(members=[member])
    given = parse_recipe(copy.deepcopy(CONTENT) | {"members": [member]}, "a test")["try"]
    (done,) = train_recipe(given, tmp_path / kind, base=tmp_path)
    from safetensors.torch import load_file

    assert load_file(done.members[0].path)["1.weight"].dtype == torch.float32


@pytest.mark.parametrize("name", ["../net", "a/b", "", ".", "a\nb", "x" * 201])
def test_names_of_members_are_names_of_files(name):
    with pytest.raises(UserError, match=r"a sound value of members\.0\.name in a test"):
        parse_recipe(CONTENT | {"members": [{**ONE, "name": name}]}, "a test")


@pytest.mark.parametrize("returns", ["named", "mapping", "tuple"])
def test_what_a_network_returns_beside_its_logits_is_not_used(planned, tmp_path, returns):
    planned(members=[{**ONE, "args": {"returns": returns}}])
    weights = {}
    for kind in ("logits", returns):
        content = copy.deepcopy(CONTENT) | {"members": [{**ONE, "args": {"returns": kind}}]}
        (done,) = train_recipe(parse_recipe(content, "a test")["try"], tmp_path / kind, base=tmp_path)
        from safetensors.torch import load_file

        weights[kind] = load_file(done.members[0].path)["body.1.weight"]
    assert torch.equal(weights["logits"], weights[returns])


def test_the_logits_of_torchvisions_googlenet_are_those_of_its_last_layer():
    import torchvision

    network = torchvision.models.googlenet(num_classes=5, init_weights=False).train()
    held = []
    network.fc.register_forward_hook(lambda *given: held.append(given[2]))
    output = network(torch.rand(2, 3, 64, 64))
    assert logits_of(output, network) is held[0] and output.aux_logits1 is not None


def test_mutated_recipes_are_planned_or_refused_in_one_sentence(mutations, planned, tmp_path):
    def plan(mutant):
        (recipe,) = parse_recipe(mutant, "a test").values()
        rehearse(recipe, open_data(recipe, tmp_path), tmp_path)

    document = copy.deepcopy(CONTENT) | {
        "augment": {"crop_scale": [0.5, 1.0], "flip": 0.1},
        "strategy": {"name": "bagging", "fraction": 0.5},
        "loss": {"name": "independent"},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "schedule": {"name": "cosine", "warm_up": 1, "floor": 0.1},
    }
    ends = [
        mutations.outcome(plan, mutant, what) for what, mutant in mutations.mutations_of(document, 3, 150)
    ]
    assert ends.count("read") > 5 and ends.count("refused") > 20
