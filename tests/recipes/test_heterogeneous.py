"""The pool of Table i on traffic signs: its 12 members, and the study that names them."""

from pathlib import Path

import pytest

from nversion.models import expand_pool
from nversion.study import read_spec
from nversion.training import member_facts, read_recipe

RECIPES = Path(__file__).parents[2] / "recipes"
VARIANTS = read_recipe(RECIPES / "heterogeneous-gtsrb-reduced.toml")


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_members_cost_two_to_six_million_macs(name):
    (facts,) = member_facts(VARIANTS[name], 43, RECIPES)
    assert 2e6 < facts.macs < 6e6


def test_the_study_names_the_files_that_the_recipe_writes():
    folder = "file:../runs/gtsrb/heterogeneous"
    written = {
        f"{folder}/{name}/seed-{seed}/{recipe.members[0].name}.safetensors"
        for name, recipe in VARIANTS.items()
        for seed in recipe.train.seeds
    }
    spec = read_spec(RECIPES / "heterogeneous-gtsrb-study.toml")
    assert {model["source"] for model in expand_pool(spec.models)} == written and len(written) == 12


def test_the_study_s_corruptions_are_the_paper_s_at_32_pixels():
    from nversion.corruptions import PAPER_STRENGTHS_CIFAR

    spec = read_spec(RECIPES / "heterogeneous-gtsrb-study.toml")
    assert spec.conditions.corruptions == {name: [value] for name, value in PAPER_STRENGTHS_CIFAR.items()}
    assert spec.ensembles.sizes == [3]
