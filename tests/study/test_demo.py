"""The demo's files: a recipe and a study that fit each other, for any seed."""

import pytest
import torch

from nversion.study import read_spec
from nversion.study.demo import write_demo
from nversion.training import read_recipe
from nversion.training.members import named_members

MAX_PARAMETERS = 300_000


@pytest.mark.parametrize("seed", [0, 7])
def test_the_study_names_the_members_that_the_recipe_trains(tmp_path, seed):
    recipe, study = write_demo(tmp_path, seed)
    trained = [
        f"file:models/{name}/seed-{variant.train.seeds[0]}/{member}.safetensors"
        for name, variant in read_recipe(recipe).items()
        for member, _ in named_members(variant)
    ]
    assert [table["source"] for table in read_spec(study).models] == trained
    assert f"seed-{seed}" in trained[0] and len(trained) == 16


def test_it_has_twelve_families_and_two_ways_of_training(tmp_path):
    recipe, study = write_demo(tmp_path)
    assert len({table["family"] for table in read_spec(study).models}) == 12
    assert {v.loss["name"] for v in read_recipe(recipe).values()} == {"independent", "distillation"}


def test_a_teacher_is_a_member_of_a_variant_without_one(tmp_path):
    variants = read_recipe(write_demo(tmp_path)[0])
    trained = {f"{n}/seed-0/{m}" for n, v in variants.items() if not v.teacher for m, _ in named_members(v)}
    for variant in variants.values():
        for table in variant.teacher:
            assert table["source"].removeprefix("file:models/").removesuffix(".safetensors") in trained


def test_each_network_is_small_and_gives_ten_logits(demo_networks):
    for module, preprocessing in demo_networks.values():
        assert module(preprocessing(torch.zeros(2, 3, 32, 32))).shape == (2, 10)
        assert sum(p.numel() for p in module.parameters()) < MAX_PARAMETERS
