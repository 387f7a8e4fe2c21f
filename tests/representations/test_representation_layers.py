"""Which layers are found, by patterns and without, and in which order."""

import pytest
import torch
import torchvision
from torch import nn

from nversion.core import UserError
from nversion.models import Preprocessing, make_classifier
from nversion.representations import layers_of, layers_of_pool

AUTOMATIC = {  # of the demo: how many, the first and the last
    "resnet": (4, "layer1.0", "layer4.0"),
    "resnext": (4, "layer1.0", "layer4.0"),
    "squeezenet": (4, "3", "7"),
    "mnasnet": (6, "blocks.0.0", "blocks.3.0"),
    "mobilenetv3": (6, "blocks.0.0", "blocks.3.0"),
    "densenet": (5, "features.denseblock1", "features.denseblock3"),
    "shufflenet": (6, "conv1", "conv5"),
    "regnet": (7, "stem", "s4.b1"),
    "convnext": (9, "stem", "stages.3.blocks.0"),
    "convmixer-0": (5, "stem", "blocks.3.0"),
    "mixer": (4, "blocks.0", "blocks.3"),
    "vit": (3, "blocks.0", "blocks.2"),
}
TORCHVISION = {
    "resnet50": (16, "layer1.0", "layer4.2"),
    "mobilenet_v2": (19, "features.0", "features.18"),
    "mnasnet0_5": (16, "layers.8.0", "layers.13.0"),
}


def untrained(name: str):
    with torch.random.fork_rng(), torch.device("meta"):
        module = torchvision.models.get_model(name)
    module = module.to_empty(device="cpu")
    for tensor in (*module.parameters(), *module.buffers()):
        nn.init.constant_(tensor, 1e-3) if tensor.is_floating_point() else tensor.zero_()
    preprocessing = Preprocessing(224, mean=(0.5,) * 3, std=(0.5,) * 3)
    return make_classifier(module, preprocessing, name=name, source="test")


@pytest.mark.parametrize("name", AUTOMATIC)
def test_every_network_of_the_demo_gives_its_blocks(name, demo_networks):
    found = layers_of(make_classifier(*demo_networks[name], name=name, source="t", label_space="t"))
    assert (len(found), found[0], found[-1]) == AUTOMATIC[name]


@pytest.mark.parametrize("name", TORCHVISION)
def test_networks_of_torchvision_give_their_blocks(name):
    found = layers_of(untrained(name))
    assert (len(found), found[0], found[-1]) == TORCHVISION[name]


def test_the_transformer_of_torchvision_gives_its_blocks(networks):
    network = torchvision.models.VisionTransformer(8, 4, 3, 2, 8, 16, num_classes=3)
    assert layers_of(networks.classifier(network)) == [f"encoder.layers.encoder_layer_{i}" for i in range(3)]


def test_layers_come_in_the_order_in_which_they_run_and_without_the_logits(networks):
    found = layers_of(networks.classifier(networks.Blocks()))
    assert found == ["stem", "stages.0.0", "stages.0.1", "stages.1.0"]


def test_a_module_around_the_network_is_looked_through(networks):
    wrapped = networks.classifier(nn.Sequential(nn.Identity(), networks.Blocks()))
    assert layers_of(wrapped) == ["1.stem", "1.stages.0.0", "1.stages.0.1", "1.stages.1.0"]


def test_a_plain_chain_gives_the_last_module_of_each_resolution(networks):
    chain = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 1),
        nn.ReLU(),
        nn.MaxPool2d(4),
    )
    found = layers_of(networks.classifier(nn.Sequential(chain, nn.Flatten(), nn.Linear(4, 3))))
    assert found == ["0.1", "0.4", "0.5", "1"]


def test_patterns_name_modules(networks):
    net = networks.classifier(networks.Blocks())
    assert layers_of(net, ["stages.?", "stem.2"]) == ["stem.2", "stages.0", "stages.1"]
    assert len(layers_of(net, ["*"])) == len([m for m in net.module.modules() if m is not net.module])


def test_a_module_that_runs_twice_counts_where_it_runs_last(networks):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.act, self.conv, self.fc = nn.ReLU(), nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

        def forward(self, x):
            return self.fc(self.act(self.conv(self.act(x))).mean((2, 3)))

    assert layers_of(networks.classifier(Twice()), ["*"]) == ["conv", "act", "fc"]


def test_tuples_and_mappings_count_by_their_first_tensor(networks):
    class Pair(nn.Module):
        def forward(self, x):
            return {"note": None, "features": (x * 2, x)}

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.pair, self.fc = Pair(), nn.Linear(3, 3)

        def forward(self, x):
            return self.fc(self.pair(x)["features"][0].mean((2, 3)))

    assert layers_of(networks.classifier(Net()), ["pair"]) == ["pair"]


def test_an_unknown_pattern_is_answered_with_the_closest_layer(networks):
    with pytest.raises(UserError, match=r"fit a layer of 'net', found 'stage\.0'; did you mean 'stages\.0'"):
        layers_of(networks.classifier(networks.Blocks()), ["stage.0"])


def test_modules_that_give_no_row_for_each_image_are_no_layers(networks):
    class Table(nn.Module):
        def forward(self):
            return torch.zeros(1, 5)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.fc = Table(), nn.Linear(3, 3)

        def forward(self, x):
            return self.fc(x.mean((2, 3))) + self.table().sum()

    with pytest.raises(UserError, match="a tensor with a row for each image, found 'table'"):
        layers_of(networks.classifier(Net()), ["table"])


def test_a_network_of_logits_alone_has_nothing_to_compare(networks):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x):
            return self.fc(x.mean((2, 3)))

    with pytest.raises(UserError, match="layers of 'net' before its logits, found none"):
        layers_of(networks.classifier(Net()))


def test_in_a_pool_every_pattern_must_fit_somewhere_and_every_model_must_fit_one(networks):
    first, second = (
        networks.classifier(networks.Blocks()),
        networks.classifier(nn.Sequential(networks.Blocks())),
    )
    assert layers_of_pool([first, second], ["stem", "0.stem"]) == [["stem"], ["0.stem"]]
    with pytest.raises(UserError, match="a layer of some model, found 'stemm'"):
        layers_of_pool([first, second], ["stem", "0.stem", "stemm"])
    with pytest.raises(UserError, match=r"did you mean '0\.stem'"):
        layers_of_pool([first, second], ["stem"])


def test_looking_leaves_no_hooks_behind(networks):
    net = networks.classifier(networks.Blocks())
    layers_of(net)
    assert not any(module._forward_hooks for module in net.modules())
