"""Specifications of supernets say what a supernet knows, and the full-size one is Listing 1."""

from pathlib import Path

import pytest
from torchvision.models import resnet50

from nversion.supernet.elastic import ElasticNetwork
from nversion.supernet.nas import TABLE_II, read_spec, subnet_of
from nversion.training.small_networks import build

RECIPES = Path(__file__).parents[2] / "recipes"
NETWORKS = {
    "imagenet": lambda: resnet50(weights=None),
    "gtsrb-reduced": lambda: build("resnet50", 43)[0],
    "digits": lambda: build("resnet50", 10)[0],
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_named_subnet_is_one_of_its_own(name):
    spec = read_spec(RECIPES / f"supernet-{name}.toml")
    space = ElasticNetwork(NETWORKS[name](), spec.elasticity).space
    subnets = [subnet_of(table, space) for table in spec.subnets]
    assert len(set(subnets)) == len(subnets) > 0
    if name != "digits":
        assert [table.name for table in spec.subnets] == list(TABLE_II)


def test_the_full_size_recipe_has_listing_1_s_stages():
    spec = read_spec(RECIPES / "supernet-imagenet.toml")
    found = [(s.dims, s.epochs, s.max_skips, s.num_widths, s.reorganise) for s in spec.stages]
    wide = ["depth", "width", "expansion"]
    assert found == [
        (["depth"], 25, 1, None, False),
        (["depth"], 40, 2, None, False),
        (wide, 50, 2, 2, True),
        (wide, 50, 2, 3, True),
    ]
    assert {(s.learning_rate, s.epochs_lr - s.epochs) for s in spec.stages} == {(2.5e-6, 0)}
    assert (spec.search.population, spec.search.evaluations) == (50, 1000)
    assert spec.supernet.batch_norm_samples == 1500
