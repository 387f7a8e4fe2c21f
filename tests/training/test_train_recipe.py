"""Recipes to members on disk: the same bytes again and after a kill, equal starts, checks, refusals."""

import copy
import json

import numpy as np
import polars as pl
import pytest
import torch

from nversion.core import UserError
from nversion.losses import make_loss
from nversion.losses.base import LOSSES, Loss
from nversion.models import load_classifier
from nversion.training import loop, open_data, parse_recipe, study_file, train_recipe
from nversion.training.checkpoints import load_checkpoint, save_checkpoint

torch.set_num_threads(1)

CONTENT = {
    "train": {"name": "try", "epochs": 2, "batch_size": 32, "device": "cpu", "checkpoint_steps": 3},
    "data": {
        "train": {"source": "digits", "split": "train", "count": 200},
        "validation": {"source": "digits", "split": "test", "count": 100},
    },
    "canonical": {"size": 32, "mode": "squash"},
    "augment": {"crop_scale": [0.8, 1.0], "flip": 0.0},
    "members": [
        {
            "arch": "python:nversion.training.small_networks:build",
            "args": {"name": "resnet", "num_classes": 10},
            "name": "net",
            "count": 2,
        }
    ],
    "optimizer": {"name": "adabelief", "learning_rate": 0.01},
}


def recipe(**changes):
    content = copy.deepcopy(CONTENT)
    for table, value in changes.items():
        content[table] = {**content.get(table, {}), **value} if isinstance(value, dict) else value
    return parse_recipe(content, "a test")["try"]


def weights(ensemble):
    return {member.name: member.path.read_bytes() for member in ensemble.members}


def rows(ensemble):
    return pl.read_parquet(ensemble.folder / "metrics.parquet")


def test_the_same_recipe_gives_the_same_bytes_and_is_not_trained_twice(tmp_path):
    (first,) = train_recipe(recipe(), tmp_path / "a")
    (again,) = train_recipe(recipe(), tmp_path / "b")
    assert weights(first) == weights(again)
    assert weights(first)["net-0"] != weights(first)["net-1"]
    before = first.members[0].path.stat().st_mtime_ns
    (kept,) = train_recipe(recipe(), tmp_path / "a")
    assert kept.members[0].path.stat().st_mtime_ns == before


class KilledError(Exception):
    pass


@pytest.mark.parametrize("strategy", [{"name": "joint"}, {"name": "boosting"}])
@pytest.mark.parametrize("killed_at", [2, 5, 11])
def test_killed_at_any_step_it_resumes_to_the_same_bytes(tmp_path, monkeypatch, killed_at, strategy):
    given = recipe(strategy=strategy, loss={"name": "independent"}, train={"tensorboard": False})
    (whole,) = train_recipe(given, tmp_path / "whole")
    steps, backward = 0, loop.total

    def dying(terms):
        nonlocal steps
        steps += 1
        if steps == killed_at:
            raise KilledError
        return backward(terms)

    monkeypatch.setattr(loop, "total", dying)
    with pytest.raises(KilledError):
        train_recipe(given, tmp_path / "killed")
    monkeypatch.setattr(loop, "total", backward)
    (resumed,) = train_recipe(given, tmp_path / "killed")
    assert weights(resumed) == weights(whole)
    drop = pl.col("metric") != "images_per_second"
    assert rows(resumed).filter(drop).equals(rows(whole).filter(drop))


def test_variants_start_from_the_same_weights_and_see_the_same_batches(tmp_path):
    zero = recipe(loss={"name": "gncl", "weight": 0.0})
    (ncl,) = train_recipe(zero, tmp_path / "gncl")
    (plain,) = train_recipe(recipe(loss={"name": "independent"}), tmp_path / "plain")
    assert weights(ncl).keys() == weights(plain).keys()
    for name in weights(ncl):
        a, b = (load_classifier({"source": f"file:{e.folder / name}.safetensors"}) for e in (ncl, plain))
        for x, y in zip(a.parameters(), b.parameters(), strict=True):
            assert torch.allclose(x, y, atol=1e-5)


def test_members_are_classifiers_with_cards(tmp_path):
    (ensemble,) = train_recipe(recipe(loss={"name": "balanced"}), tmp_path)
    classifier = load_classifier({"source": f"file:{ensemble.members[0].path}"})
    assert classifier.card.training == "balanced"
    assert classifier.card.training_data == ("digits-train[200 of 896, seed 0]",)
    assert classifier.card.label_space.name == "digits"
    assert classifier(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def test_the_diary_has_terms_members_and_validation(tmp_path):
    (ensemble,) = train_recipe(recipe(loss={"name": "gncl"}), tmp_path)
    table = rows(ensemble)
    train = table.filter(pl.col("split") == "train")
    assert {"cross_entropy", "negative_correlation", "loss", "accuracy"} <= set(train["metric"])
    by_metric = {row["metric"]: row["value"] for row in train.filter(pl.col("epoch") == 2).to_dicts()}
    assert by_metric["loss"] == pytest.approx(by_metric["cross_entropy"] + by_metric["negative_correlation"])
    validation = table.filter((pl.col("split") == "validation") & (pl.col("metric") == "accuracy"))
    assert validation.height == 4 and set(validation["member"]) == {"net-0", "net-1"}
    assert validation["value"].is_between(0, 1).all()


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_loss_trains(tmp_path, name):
    teacher = ()
    if "teacher" in LOSSES[name].needs:
        (taught,) = train_recipe(recipe(train={"epochs": 1}), tmp_path / "teacher")
        teacher = [{"source": f"file:{taught.members[0].path}"}]
    given = recipe(train={"epochs": 1}, loss={"name": name}, teacher=list(teacher))
    (ensemble,) = train_recipe(given, tmp_path / "a")
    assert ensemble.diverged == "" and len(ensemble.members) == 2


def test_snapshots_are_members(tmp_path):
    one = [{**CONTENT["members"][0], "count": 1}]
    given = recipe(
        members=one, strategy={"name": "snapshot", "cycles": 2}, schedule={"name": "cycles", "number": 2}
    )
    (ensemble,) = train_recipe(given, tmp_path)
    assert [member.name for member in ensemble.members] == ["net-cycle0", "net-cycle1"]
    assert len(set(weights(ensemble).values())) == 2


def test_boosting_records_votes(tmp_path):
    (ensemble,) = train_recipe(recipe(strategy={"name": "boosting"}), tmp_path)
    assert all(member.vote_weight is not None for member in ensemble.members)


def test_keeping_the_best_epoch_takes_the_weights_of_least_validation_cross_entropy(tmp_path):
    (best,) = train_recipe(recipe(train={"keep": "best", "epochs": 4}), tmp_path)
    table = rows(best).filter(pl.col("metric") == "ensemble_cross_entropy")
    least = table.sort("value")["value"][0]
    data = open_data(recipe(), tmp_path).validation
    classifiers = [load_classifier({"source": f"file:{member.path}"}) for member in best.members]
    images = torch.stack([torch.from_numpy(data.decode(i)).permute(2, 0, 1) for i in range(len(data))]) / 255
    with torch.no_grad():
        logits = torch.stack([classifier(images) for classifier in classifiers]).mean(0)
    value = torch.nn.functional.cross_entropy(logits, torch.tensor(data.labels_N))
    assert value.item() == pytest.approx(least, rel=1e-4)


class Exploding(Loss):
    def __call__(self, batch):
        terms = make_loss({"name": "independent"})(batch)
        return {**terms, "penalty": terms["cross_entropy"] * (1.0 if batch.epoch < 1 else torch.nan)}


def exploding(monkeypatch):
    monkeypatch.setitem(LOSSES._entries, "exploding", Exploding)
    return {"name": "exploding"}


def test_a_diverging_term_stops_with_step_term_and_checkpoint(tmp_path, monkeypatch):
    loss = exploding(monkeypatch)
    message = (
        r"found penalty = nan at step 7; the last good checkpoint is .*checkpoint\.pt; lower the learning"
    )
    with pytest.raises(UserError, match=message):
        train_recipe(recipe(loss=loss), tmp_path)


def test_the_last_good_weights_of_a_diverged_training_can_be_kept(tmp_path, monkeypatch):
    loss = exploding(monkeypatch)
    (ensemble,) = train_recipe(recipe(loss=loss, train={"when_diverged": "keep"}), tmp_path)
    assert ensemble.diverged == "penalty = nan at step 7"
    classifier = load_classifier({"source": f"file:{ensemble.members[0].path}"})
    assert all(parameter.isfinite().all() for parameter in classifier.parameters())


def test_results_are_kept_when_their_data_move_and_not_when_they_change(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (64, 32, 32, 3), dtype=np.uint8)

    def trained(name, x):
        np.savez(tmp_path / name, x=x, y=np.arange(64) % 10)
        of = {"name": "d", "label_space": "s", "num_classes": 10}
        table = {"source": "npz", "path": str(tmp_path / name), **of}
        return train_recipe(recipe(train={"epochs": 1}, data={"train": table, "validation": table}), tmp_path)

    (first,) = trained("a.npz", images)
    before = first.members[0].path.stat().st_mtime_ns
    (moved,) = trained("b.npz", images)
    assert moved.members[0].path.stat().st_mtime_ns == before
    with pytest.raises(UserError, match="found those of another"):
        trained("c.npz", images[::-1])


def test_a_folder_of_another_recipe_is_refused(tmp_path):
    train_recipe(recipe(train={"epochs": 1}), tmp_path)
    with pytest.raises(
        UserError, match=r"results of this recipe, seed and data in .*, found those of another"
    ):
        train_recipe(recipe(), tmp_path)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "total", lambda terms: (_ for _ in ()).throw(KilledError))
    with pytest.raises(KilledError):
        train_recipe(recipe(), tmp_path)
    monkeypatch.undo()
    save_checkpoint(tmp_path / "seed-0" / "checkpoint.pt", {"recipe": "other", "stage": 0})
    with pytest.raises(
        UserError, match=r"a checkpoint of this recipe, seed and data in .*, found one of another"
    ):
        train_recipe(recipe(), tmp_path)


def test_a_checkpoint_of_another_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("nversion.training.checkpoints.FORMAT", 0)
    save_checkpoint(tmp_path / "checkpoint.pt", {"recipe": "this"})
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"this version of nversion in .*\.pt, found one of another"):
        load_checkpoint(tmp_path / "checkpoint.pt", "this", [])


def test_the_study_of_an_ensemble_is_a_study(tmp_path):
    import tomllib

    from nversion.study.spec import parse_spec

    (ensemble,) = train_recipe(recipe(), tmp_path)
    spec = parse_spec(tomllib.loads(study_file(ensemble, recipe(), tmp_path)), "a test")
    assert [model["name"] for model in spec.models] == ["try-s0-net-0", "try-s0-net-1"]


def test_a_summary_says_what_was_trained(tmp_path):
    (ensemble,) = train_recipe(recipe(), tmp_path)
    summary = json.loads((ensemble.folder / "training.json").read_text())
    assert summary["seed"] == 0 and summary["recipe"]["loss"] == {"name": "independent"}
    assert not list(ensemble.folder.glob("*.pt"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"epochs": 0}}, r"a sound value of train.epochs in a test, found 0"),
        ({"train": {"epoch": 3}}, r"keys that a recipe knows in a test, found train.epoch; did you mean"),
        ({"data": {"train": {"source": "digits", "count": 3}}}, r"training images of all 10 classes"),
        ({"optimizer": {"name": "adamm"}}, r"a known optimizer, found 'adamm'"),
        ({"loss": {"name": "gncl", "weight": -1}}, r"a weight of at least 0, found -1"),
        (
            {"members": [{**CONTENT["members"][0], "args": {"name": "resnet", "num_classes": 7}}]},
            r"10 outputs of",
        ),
        ({"augment": {"crop_scale": [0.9, 0.2]}}, r"a range goes from a number above 0"),
    ],
)
def test_wrong_recipes_are_told(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        train_recipe(recipe(**changes), tmp_path)


def test_label_spaces_of_training_and_validation_must_agree(tmp_path):
    import numpy as np

    np.savez(tmp_path / "other.npz", x=np.zeros((4, 32, 32, 3), np.uint8), y=np.arange(4))
    other = {"source": "npz", "path": str(tmp_path / "other.npz"), "label_space": "signs", "num_classes": 4}
    given = recipe(data={"train": CONTENT["data"]["train"], "validation": other})
    with pytest.raises(UserError, match="validation labels of the label space 'digits' of the training data"):
        train_recipe(given, tmp_path / "a")


def test_variants_replace_whole_tables():
    content = {**copy.deepcopy(CONTENT), "loss": {"name": "gncl", "weight": 0.3}}
    content["variants"] = [{"name": "a", "loss": {"name": "balanced"}}, {"name": "b", "train": {"epochs": 9}}]
    found = parse_recipe(content, "a test")
    assert found["a"].loss == {"name": "balanced"} and found["a"].train.epochs == 2
    assert found["b"].loss["weight"] == 0.3 and (found["b"].train.epochs, found["b"].train.name) == (9, "b")


def test_variants_have_names_of_their_own():
    content = {**copy.deepcopy(CONTENT), "variants": [{"name": "a"}, {"name": "a"}]}
    with pytest.raises(
        UserError, match="a name of its own for every variant in a test, found 'a' for variant 1"
    ):
        parse_recipe(content, "a test")
