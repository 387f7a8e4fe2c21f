"""An ensemble taught to one student, which then says what the teachers' mean logits say."""

import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from nversion.core import UserError
from nversion.data import open_dataset
from nversion.models import load_classifier
from nversion.training import parse_recipe, train_recipe

torch.set_num_threads(1)
pytestmark = pytest.mark.slow

RECIPE = Path(__file__).parents[2] / "recipes" / "digits-distillation.toml"
STUDENTS = ("student", "student-alone")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The recipe's three variants on a part of the digits; its relative paths start from `recipes`."""
    root = tmp_path_factory.mktemp("distillation")
    content = tomllib.loads(RECIPE.read_text())
    content["data"]["train"]["count"], content["train"]["batch_size"] = 400, 32
    (root / "recipes").mkdir()
    for name, recipe in parse_recipe(content, "a test").items():
        train_recipe(recipe, root / "runs" / "digits-distillation" / name, base=root / "recipes")
    return root / "runs" / "digits-distillation"


def logits(path):
    data = open_dataset({"source": "digits", "split": "test"}, Path())
    images_NHW3 = np.stack([data.decode(i) for i in range(len(data))])
    with torch.no_grad():
        return load_classifier({"source": f"file:{path}"})(
            torch.from_numpy(images_NHW3).permute(0, 3, 1, 2) / 255
        )


def test_a_student_says_what_the_mean_of_its_teachers_says(folder):
    paths = sorted((folder / "teachers" / "seed-0").glob("*.safetensors"))
    mean_NC = torch.stack([logits(path) for path in paths]).mean(0)
    taught, alone = (logits(folder / name / "seed-1" / "student.safetensors") for name in STUDENTS)
    # The first choice is the label for nearly all digits, with or without teachers; the second is theirs.
    assert second_agrees(taught, mean_NC) > second_agrees(alone, mean_NC) + 0.1
    assert divergence(taught, mean_NC) < 0.85 * divergence(alone, mean_NC)


def second_agrees(logits_NC, teacher_NC):
    second, teachers = (x.topk(2).indices[:, 1] for x in (logits_NC, teacher_NC))
    return (second == teachers).float().mean().item()


def divergence(logits_NC, teacher_NC):
    return torch.nn.functional.kl_div(
        logits_NC.log_softmax(1), teacher_NC.log_softmax(1), reduction="batchmean", log_target=True
    ).item()


def test_a_student_s_card_names_all_teachers(folder):
    card = load_classifier({"source": f"file:{folder / 'student' / 'seed-1' / 'student.safetensors'}"}).card
    assert card.training == "distillation" and card.teacher.count("teacher-") == 3


def test_other_teachers_in_the_same_files_are_another_training(folder, tmp_path):
    content = tomllib.loads(RECIPE.read_text())
    content["data"]["train"]["count"], content["train"]["batch_size"] = 400, 32
    recipe = parse_recipe(content, "a test")["student"]
    (tmp_path / "recipes").mkdir()
    copied = tmp_path / "runs" / "digits-distillation"
    shutil.copytree(folder, copied)
    teachers = copied / "teachers" / "seed-0"
    shutil.copy(teachers / "teacher-0.safetensors", teachers / "teacher-1.safetensors")
    with pytest.raises(
        UserError, match=r"results of this recipe, seed and data in .*, found those of another"
    ):
        train_recipe(recipe, copied / "student", base=tmp_path / "recipes")
