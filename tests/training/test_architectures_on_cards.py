"""What the cards of trained members say of their architecture and family."""

import tomllib

import pytest

from nversion.core import UserError
from nversion.evaluation.lineage import lineage_table
from nversion.models import load_classifier
from nversion.training import parse_recipe, study_file, train_recipe

SMALL = "python:nversion.training.small_networks:build"
NETWORK = """
from torch import nn

def build(width):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    (folder / "nets.py").write_text(NETWORK)
    content = {
        "train": {"name": "try", "epochs": 1, "device": "cpu"},
        "data": {"train": {"source": "digits", "split": "train", "count": 100}},
        "canonical": {"size": 32, "mode": "squash"},
        "members": [
            {"arch": SMALL, "args": {"name": "resnet", "num_classes": 10}, "family": "ResNet", "count": 2},
            {"arch": SMALL, "args": {"name": "squeezenet", "num_classes": 10}},
            {"arch": "python:nets.py:build", "args": {"width": 4}, "name": "mine"},
            {"arch": "timm:mobilenetv3_small_050"},
        ],
    }
    recipe = parse_recipe(content, "a test")["try"]
    (ensemble,) = train_recipe(recipe, folder / "out", base=folder)
    tables = tomllib.loads(study_file(ensemble, recipe, folder))["models"]
    cards = [load_classifier(table, ensemble.folder).card for table in tables]
    return recipe, ensemble, cards


def test_architectures_are_the_names_given_to_the_function_or_its_dotted_name(trained):
    _, _, cards = trained
    # The study file, which lies in the ensemble's folder, leads to `nets.py` beside the recipe.
    assert [card.architecture for card in cards] == [
        *("resnet", "resnet", "squeezenet", "nets.build", "mobilenetv3_small_050"),
    ]


def test_members_keep_the_file_names_of_the_function(trained):
    _, ensemble, _ = trained
    names = ["build-0", "build-1", "build-0-2", "mine", "mobilenetv3_small_050"]
    assert [member.name for member in ensemble.members] == names


def test_only_the_two_of_one_architecture_share_it(trained):
    _, _, cards = trained
    pairs = lineage_table(cards).filter(kind="architecture")
    assert pairs.select("model_a", "model_b", "value").rows() == [
        ("try-s0-build-0", "try-s0-build-1", "resnet")
    ]


def test_the_study_is_told_the_recipe_s_family(trained, tmp_path):
    recipe, ensemble, _ = trained
    models = tomllib.loads(study_file(ensemble, recipe, tmp_path))["models"]
    assert [model.get("family") for model in models] == ["ResNet", "ResNet", None, None, None]


def test_the_study_names_the_code_of_the_user_s_that_no_weights_file_may_choose(trained, tmp_path):
    recipe, ensemble, _ = trained
    models = tomllib.loads(study_file(ensemble, recipe, tmp_path))["models"]
    code = {"arch": f"python:{tmp_path}/nets.py:build", "args": {"width": 4}}
    stated = [{key: model[key] for key in ("arch", "args") if key in model} for model in models]
    assert stated == [{}, {}, {}, code, {}]
    with pytest.raises(UserError, match=r"found 'python:nets.py:build'; a file may not choose code"):
        load_classifier({"source": models[3]["source"]}, ensemble.folder)
