"""The demo's pool: every network is small and learns; what is finished is kept, to the byte."""

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nversion.core import UserError, fingerprint_file
from nversion.data import open_dataset
from nversion.models import load_classifier
from nversion.training import forked_randomness, train_classifier
from nversion.training.digits_zoo import INPUT_SIZE, NUM_CLASSES, ZOO, build, pool_specs, train_pool

MAX_PARAMETERS = 300_000


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """128 training digits."""
    dataset = open_dataset({"source": "digits", "split": "train"})
    picked = range(0, 7 * 128, 7)
    images_NHW3 = np.stack([dataset.decode(i) for i in picked])
    return torch.from_numpy(images_NHW3).permute(0, 3, 1, 2), torch.from_numpy(dataset.labels_N[list(picked)])


def files_of(folder: Path) -> dict[str, str]:
    return {path.name: fingerprint_file(path) for path in folder.glob("*.safetensors")}


@pytest.mark.parametrize("name", ZOO)
def test_each_network_is_small_and_gives_ten_logits(name):
    with forked_randomness(0):
        module, preprocessing = build(name)
    assert module(torch.zeros(2, 3, INPUT_SIZE, INPUT_SIZE)).shape == (2, NUM_CLASSES)
    assert sum(p.numel() for p in module.parameters()) < MAX_PARAMETERS
    assert preprocessing["input_size"] == INPUT_SIZE


@pytest.mark.parametrize("name", [name for name, recipe in ZOO.items() if recipe.teacher is None])
def test_each_network_starts_to_learn_in_two_epochs(name, digits):
    with forked_randomness(0):
        module, _ = build(name)
    first, second = train_classifier(
        nn.Sequential(module),
        *digits,
        num_classes=NUM_CLASSES,
        epochs=2,
        batch_size=16,
        learning_rate=ZOO[name].learning_rate,
    )
    assert second.loss < first.loss


def test_the_pool_has_ten_families_and_two_ways_of_training():
    assert len({recipe.family for recipe in ZOO.values()}) >= 10
    assert {recipe.training for recipe in ZOO.values()} == {"supervised", "distilled"}


def test_a_distilled_member_has_a_supervised_teacher():
    for recipe in ZOO.values():
        assert recipe.teacher is None or ZOO[recipe.teacher].teacher is None


def test_equal_seeds_give_equal_files_in_any_number_of_processes(digits, tmp_path):
    names = ["densenet", "shufflenet_distilled"]
    heard = []
    train_pool(*digits, 3, tmp_path / "one", names=names, epochs=1, workers=1)
    train_pool(
        *digits, 3, tmp_path / "two", lambda *report: heard.append(report), names=names, epochs=1, workers=2
    )
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    assert [(name, epoch.number, epochs) for name, epoch, epochs in heard] == [(name, 1, 1) for name in names]


def test_a_member_does_not_depend_on_the_others(digits, tmp_path):
    train_pool(*digits, 0, tmp_path / "alone", names=["shufflenet"], epochs=1, workers=1)
    train_pool(*digits, 0, tmp_path / "both", names=["mnasnet", "shufflenet"], epochs=1, workers=1)
    assert files_of(tmp_path / "alone").items() <= files_of(tmp_path / "both").items()


def test_the_callers_threads_and_random_state_stay(digits, tmp_path):
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    train_pool(*digits, 0, tmp_path, names=["shufflenet"], epochs=1, workers=1)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pool")
    train_pool(*digits, 0, folder, names=["shufflenet", "mnasnet"], epochs=1, workers=1)
    return folder


@pytest.fixture
def pool(trained, tmp_path) -> Path:
    """A copy of a trained pool of two."""
    for path in trained.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def resumed(digits, folder: Path, seed: int = 0, epochs: int = 1) -> list[bool]:
    members = train_pool(*digits, seed, folder, names=["shufflenet", "mnasnet"], epochs=epochs, workers=1)
    return [member.resumed for member in members]


def test_a_finished_pool_is_kept(digits, pool):
    before = {path: path.stat().st_mtime_ns for path in pool.iterdir()}
    assert resumed(digits, pool) == [True, True]
    assert {path: path.stat().st_mtime_ns for path in pool.iterdir()} == before


def test_only_what_is_missing_is_trained_and_ends_in_the_same_bytes(digits, pool):
    before = files_of(pool)
    (pool / "mnasnet.safetensors").unlink()
    assert resumed(digits, pool) == [True, False]
    assert files_of(pool) == before


@pytest.mark.parametrize("content", ["not JSON", "[]", "{}"])
def test_a_member_without_a_card_of_ours_is_trained_again(content, digits, pool):
    (pool / "mnasnet.json").write_text(content)
    assert resumed(digits, pool) == [True, False]


def test_weights_that_are_not_those_of_the_card_are_trained_again(digits, pool):
    before = files_of(pool)
    (pool / "shufflenet.safetensors").write_bytes(b"other bytes")
    assert resumed(digits, pool) == [False, True]
    assert files_of(pool) == before


def test_another_seed_number_of_epochs_or_data_is_trained_again(digits, pool):
    assert resumed(digits, pool, seed=1) == [False, False]
    assert resumed(digits, pool, seed=1, epochs=2) == [False, False]
    images_N3HW, labels_N = digits
    assert resumed((255 - images_N3HW, labels_N), pool, seed=1, epochs=2) == [False, False]


def test_the_card_says_what_was_trained(pool):
    card = json.loads((pool / "shufflenet.json").read_text())
    assert card["family"] == "ShuffleNetV2"
    assert card["training"] == "supervised"
    assert (card["seed"], card["epochs"]) == (0, 1)
    assert card["preprocessing"]["mean"] == [0.5, 0.5, 0.5]
    assert 0 <= card["train_accuracy"] <= 1
    assert card["weights"] == fingerprint_file(pool / "shufflenet.safetensors")


def test_a_study_loads_the_pool_by_its_specs(pool, digits):
    specs = {spec["name"]: spec for spec in pool_specs(pool)}
    assert list(specs) == list(ZOO)
    classifier = load_classifier(specs["shufflenet"])
    assert (classifier.card.family, classifier.card.training) == ("ShuffleNetV2", "supervised")
    assert classifier.card.label_space.num_classes == NUM_CLASSES
    # The file knows what it is by itself, so a study may call it by another name.
    alone = load_classifier({"source": specs["shufflenet"]["source"], "name": "mine"})
    images_N3HW = digits[0][:4].float() / 255
    assert torch.equal(classifier(images_N3HW), alone(images_N3HW))


def test_images_of_another_size_are_refused(tmp_path):
    message = r"images of shape \(N, 3, 32, 32\), found \(1, 3, 28, 28\); render them with Canonical"
    with pytest.raises(UserError, match=message):
        train_pool(torch.zeros(1, 3, 28, 28, dtype=torch.uint8), torch.zeros(1).long(), 0, tmp_path)


def test_an_unknown_member_is_answered_with_a_near_one(digits, tmp_path):
    with pytest.raises(UserError, match=r"member of the digits zoo, found 'resnt'; did you mean 'resnet'"):
        train_pool(*digits, 0, tmp_path, names=["resnt"])


def test_a_student_without_its_teacher_is_refused(digits, tmp_path):
    with pytest.raises(UserError, match=r"the teacher 'densenet' of 'shufflenet_distilled'.*add 'densenet'"):
        train_pool(*digits, 0, tmp_path, names=["shufflenet_distilled"])


def test_a_diverging_member_stops_the_pool_and_keeps_the_finished_ones(digits, tmp_path, monkeypatch):
    from nversion.training import digits_zoo

    real = digits_zoo.train_classifier

    def diverging(module, images_N3HW, labels_N, **settings):
        if settings["learning_rate"] == ZOO["convmixer"].learning_rate:
            settings["learning_rate"] = 1e30
        return real(module, images_N3HW, labels_N, **settings)

    monkeypatch.setattr(digits_zoo, "train_classifier", diverging)
    with pytest.raises(UserError, match="a finite loss at every training step"):
        train_pool(*digits, 0, tmp_path, names=["shufflenet", "convmixer"], epochs=2, workers=1)
    assert files_of(tmp_path).keys() == {"shufflenet.safetensors"}
    assert not (tmp_path / "convmixer.json").exists()


def test_a_killed_process_is_told_in_one_sentence_and_finished_members_are_kept(digits, tmp_path):
    def kill_a_worker(*_):
        multiprocessing.active_children()[0].kill()

    train_pool(*digits, 0, tmp_path, names=["shufflenet"], epochs=1, workers=1)
    names = ["shufflenet", "mnasnet", "densenet"]
    with pytest.raises(UserError, match=r"one that was ended from outside.*; free some memory and run again"):
        train_pool(*digits, 0, tmp_path, kill_a_worker, names=names, epochs=50, workers=2)
    assert "shufflenet.safetensors" in files_of(tmp_path)


def test_cards_name_network_teacher_data_and_seed(digits, tmp_path):
    names = ["shufflenet", "densenet", "shufflenet_distilled"]
    train_pool(*digits, 3, tmp_path, names=names, epochs=1, workers=1)
    cards = [load_classifier(spec, tmp_path).card for spec in pool_specs(tmp_path, names)]
    assert [card.architecture for card in cards] == ["shufflenet", "densenet", "shufflenet"]
    assert [card.teacher for card in cards] == ["", "", "densenet"]
    assert {card.training_data for card in cards} == {("digits train half",)}
    assert {card.seed for card in cards} == {3}
