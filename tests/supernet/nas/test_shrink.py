"""Progressive shrinking: files that load, and are the same after a kill; the sandwich of a step, its loss."""

import math
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn import functional as F

from nversion.core import UserError
from nversion.data import Canonical, open_dataset
from nversion.losses import TrainingBatch
from nversion.models import load_classifier
from nversion.predictions import Inference, place
from nversion.supernet.files import known_subnets, read_supernet, statistics_of
from nversion.supernet.nas import build_supernet, opened, train_supernet
from nversion.supernet.nas.sandwich import Sandwich, SandwichLoss, TaughtSandwichLoss
from nversion.supernet.nas.shrink import Shrinking
from nversion.training import loop

IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 3, 5, 9])


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny):
    """The folder of the supernet, trained once without an interruption."""
    folder = tmp_path_factory.mktemp("trained")
    train_supernet(tiny(), folder)
    return folder


def contents(folder):
    """The bytes of the weights and of the statistics by their place."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.safetensors")}


def rows(folder):
    return pl.read_parquet(folder / "metrics.parquet").filter(pl.col("metric") != "images_per_second")


def smallest(folder):
    return load_classifier({"source": f"supernet:{folder / 'supernet.safetensors'}#smallest"})


def accuracy(classifier):
    """On the validation images of the specification."""
    digits = open_dataset({"source": "digits", "split": "test", "count": 60})
    canonical = Canonical(size=16, mode="squash")
    images = torch.from_numpy(np.stack([canonical.render(digits.decode(i)) for i in range(60)]))
    right_N = classifier(images.float() / 255).argmax(-1) == torch.tensor(digits.labels_N)
    return right_N.double().mean().item()


# What is there in the end.


def test_the_supernet_and_its_subnets_have_files(trained):
    files = [path.relative_to(trained).as_posix() for path in trained.rglob("[!.]*") if path.is_file()]
    assert sorted(files) == [
        "metrics.parquet",
        "supernet.json",
        "supernet.safetensors",
        "supernet.subnets/narrow.safetensors",
        "supernet.subnets/smallest.safetensors",
    ]


def test_named_subnets_are_those_of_the_specification(trained):
    supernet = read_supernet(trained / "supernet.safetensors")
    space, known = supernet.network.space, known_subnets(supernet)
    assert list(known) == ["largest", "narrow", "smallest"]
    assert (known["largest"], known["smallest"]) == (space.largest, space.smallest)
    assert known["narrow"].width == tuple(choices[-1] for choices in space.width)
    assert (known["narrow"].depth, known["narrow"].expansion) == (
        space.largest.depth,
        space.largest.expansion,
    )


def test_the_file_is_the_largest_subnet_as_weights_of_their_own(trained):
    path = trained / "supernet.safetensors"
    whole, largest = (load_classifier({"source": f"{kind}:{path}"}) for kind in ("file", "supernet"))
    assert torch.equal(whole(IMAGES), largest(IMAGES))
    assert whole.card.training_data == ("digits-train[128 of 896, seed 0]",)


def test_named_subnets_are_classifiers_of_their_own_size(trained):
    path = trained / "supernet.safetensors"
    whole, narrow = (load_classifier({"source": f"supernet:{path}#{name}"}) for name in ("largest", "narrow"))
    least = smallest(trained)
    assert whole.card.macs > narrow.card.macs > least.card.macs
    assert narrow(IMAGES).shape == (4, 10) and not torch.equal(narrow(IMAGES), least(IMAGES))


def test_statistics_are_of_training_images_without_augmentation(trained, tiny):
    spec = tiny()
    supernet = read_supernet(trained / "supernet.safetensors")
    images = Shrinking(spec, trained, trained, opened(spec, trained), []).recalibration
    assert images.pixels_NCHW.shape == (64, 3, 16, 16)
    subnet, kept = statistics_of(supernet, "smallest")
    fresh = images.statistics(supernet.network, subnet, supernet.preprocessing)
    supernet.network.activate(supernet.network.space.largest)
    for norm, (mean, variance) in kept.items():
        torch.testing.assert_close(fresh[norm], (mean, variance))


def test_the_stages_are_judged_on_validation_images(trained):
    judged = rows(trained).filter(pl.col("split") == "validation")
    assert judged.select("stage", "member").rows() == [(0, "largest"), (1, "largest"), (1, "smallest")]
    largest = load_classifier({"source": f"supernet:{trained / 'supernet.safetensors'}"})
    assert judged["value"][1] == pytest.approx(accuracy(largest), abs=1e-6)
    assert judged["value"][2] == pytest.approx(accuracy(smallest(trained)), abs=1e-6)


def bytes_held(classifiers):
    """Of the weights, each storage counted once."""
    weights = [own.untyped_storage() for one in classifiers for own in one.module.parameters()]
    return sum({storage.data_ptr(): storage.nbytes() for storage in weights}.values())


def test_subnets_share_their_weights_also_where_others_become_channels_last(trained):
    path = trained / "supernet.safetensors"
    names = ["largest", "narrow", "smallest"]
    subnets = [load_classifier({"source": f"supernet:{path}#{name}"}) for name in names]
    plain = load_classifier({"source": f"file:{path}"})
    held, expected = bytes_held(subnets), [one(IMAGES) for one in subnets]
    place([*subnets, plain], Inference(channels_last=True), torch.device("cpu"))
    assert bytes_held(subnets) == held == bytes_held([plain]) == bytes_held(subnets[:1])
    assert all(
        weight.is_contiguous(memory_format=torch.channels_last)
        for weight in plain.module.parameters()
        if weight.ndim == 4
    )
    images = IMAGES.contiguous(memory_format=torch.channels_last)
    for one, logits_NC in zip(subnets, expected, strict=True):
        torch.testing.assert_close(one(images), logits_NC, rtol=1e-4, atol=1e-5)


# Again, and after a kill.


def test_a_further_subnet_is_recalibrated_and_nothing_is_trained(trained, tiny):
    before = contents(trained)
    shown = []
    again = train_supernet(
        tiny(subnets=[{"name": "narrow", "width": [0.5]}, {"name": "shallow", "depth": [1, 2, 4, 1]}]),
        trained,
        on_progress=shown.append,
    )
    after = contents(trained)
    assert shown == []
    assert after.keys() - before.keys() == {"supernet.subnets/shallow.safetensors"}
    assert {name: after[name] for name in before} == before
    assert again.subnets["shallow"].depth == (1, 2, 4, 1)
    (trained / "supernet.subnets" / "shallow.safetensors").unlink()


class KilledError(Exception):
    pass


@pytest.mark.parametrize(("stage", "epoch", "step"), [(0, 0, 3), (1, 0, 1), (1, 0, 3), (1, 1, 2)])
def test_killed_at_any_step_it_ends_with_the_same_bytes(
    trained, tiny, tmp_path, monkeypatch, stage, epoch, step
):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SHOWS", 0.0)
    places = []

    def dying(progress):
        places.append((progress.stage, progress.epoch, progress.step))
        if places[-1] == (stage, epoch, step):
            raise KilledError

    with pytest.raises(KilledError):
        train_supernet(tiny(), tmp_path, on_progress=dying)
    assert not (tmp_path / "supernet.safetensors").exists()
    resumed = []
    train_supernet(tiny(), tmp_path, on_progress=lambda one: resumed.append((one.stage, one.epoch, one.step)))
    assert resumed[0] == (stage, epoch, step // 2 * 2 + 1 if step > 2 else 1)
    assert contents(tmp_path) == contents(trained)
    assert rows(tmp_path).equals(rows(trained))


@pytest.mark.parametrize(
    "name",
    ["supernet.json", "supernet.safetensors", "supernet.subnets/narrow.safetensors", "metrics.parquet"],
)
def test_what_is_damaged_is_set_aside_and_made_again_to_the_same_bytes(
    mutations, trained, tiny, tmp_path, name
):
    shutil.copytree(trained, folder := tmp_path / "damaged")
    whole = (path := folder / name).read_bytes()
    path.write_bytes(mutations.flipped(whole, 8 * len(whole) // 2 + 3))
    set_aside = []
    train_supernet(tiny(), folder, set_aside=set_aside)
    assert set_aside == [f"{path}.set-aside-0"]
    assert contents(folder) == contents(trained)
    # What the diary says of time differs where all was trained again.
    assert path.read_bytes() == whole or name == "supernet.json"
    assert not list(folder.glob("*.pt"))


def test_stages_that_a_kill_after_the_summary_left_are_removed(trained, tiny):
    for name in ("stage-0.pt", "checkpoint.pt"):
        (trained / name).write_bytes(b"left")
    before = contents(trained)
    train_supernet(tiny(), trained)
    assert contents(trained) == before and not list(trained.glob("*.pt"))


@pytest.mark.parametrize("name", ["stage-0.pt", "checkpoint.pt"])
def test_a_damaged_stage_is_set_aside_and_trained_again(
    mutations, trained, tiny, tmp_path, monkeypatch, name
):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SHOWS", 0.0)

    def dying(progress):
        if (progress.stage, progress.epoch, progress.step) == (1, 0, 3):
            raise KilledError

    with pytest.raises(KilledError):
        train_supernet(tiny(), tmp_path, on_progress=dying)
    whole = (path := tmp_path / name).read_bytes()
    path.write_bytes(mutations.flipped(whole, 4 * len(whole)))
    set_aside = []
    train_supernet(tiny(), tmp_path, set_aside=set_aside)
    assert set_aside == [f"{path}.set-aside-0"]
    assert contents(tmp_path) == contents(trained)


def test_killed_between_training_and_recalibration_it_only_recalibrates(trained, tiny, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(Shrinking, "recalibrate", lambda _: (_ for _ in ()).throw(KilledError))
        with pytest.raises(KilledError):
            train_supernet(tiny(), tmp_path)
    assert list(contents(tmp_path)) == ["supernet.safetensors"]
    shown = []
    train_supernet(tiny(), tmp_path, on_progress=shown.append)
    assert shown == [] and contents(tmp_path) == contents(trained)


def test_the_folder_of_another_specification_is_refused(trained, tiny):
    before = contents(trained)
    with pytest.raises(UserError, match=r"supernet of this specification and data in .*found another; give"):
        train_supernet(tiny(optimizer={"learning_rate": 0.02}), trained)
    assert contents(trained) == before


@pytest.mark.parametrize("killed_in", [0, 1])
def test_the_checkpoint_of_another_supernet_is_refused(tiny, tmp_path, monkeypatch, killed_in):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SHOWS", 0.0)

    def dying(progress):
        if (progress.stage, progress.step) == (killed_in, 3):
            raise KilledError

    with pytest.raises(KilledError):
        train_supernet(tiny(), tmp_path, on_progress=dying)
    with pytest.raises(
        UserError, match=r"checkpoint of this recipe, seed and data in .*found one of another"
    ):
        train_supernet(tiny(supernet={"seed": 1}), tmp_path)


def test_a_name_that_was_given_to_another_subnet_is_refused(trained, tiny):
    with pytest.raises(UserError, match=r"under the name 'narrow', found .*narrow.safetensors"):
        train_supernet(tiny(subnets=[{"name": "narrow", "width": [0.75]}]), trained)


# The sandwich.


@pytest.fixture(scope="module")
def sandwich(tiny):
    spec = tiny()
    supernet, preprocessing, _ = build_supernet(spec, opened(spec, Path()), Path())
    space = supernet.space.limited(["depth", "width"], max_skips=1, num_widths=2)
    return Sandwich(supernet, preprocessing, space, 2)


def test_members_are_the_largest_the_smallest_and_drawn_ones_of_the_stage(sandwich):
    space, whole = sandwich.space, sandwich.networks[0].space
    assert sandwich.names == ["largest", "smallest", "random-0", "random-1"]
    assert sandwich.subnet(0, 7) == whole.largest
    assert sandwich.subnet(1, 7) == space.smallest != whole.smallest
    drawn = [sandwich.subnet(position, seed) for position in (2, 3) for seed in range(40)]
    assert all(space.check(subnet) == subnet for subnet in drawn)
    assert len(set(drawn)) > 35
    assert {subnet.depth[2] for subnet in drawn} == {5, 6}


def test_drawn_members_are_a_function_of_the_seed(sandwich):
    assert sandwich.subnet(2, 5) == sandwich.subnet(3, 5) != sandwich.subnet(2, 6)


def test_a_stage_in_which_nothing_varies_has_the_largest_alone(sandwich):
    whole = sandwich.networks[0].space
    alone = Sandwich(sandwich.networks[0], sandwich._preprocessing, whole.limited([]), 2)
    assert (alone.names, len(alone)) == (["largest"], 1)


def test_a_step_runs_each_member_and_ends_with_the_largest(sandwich):
    network = sandwich.networks[0].train()
    logits_MNC = sandwich(IMAGES, LABELS, frozenset(), [1, 2, 3, 4]).logits_MNC
    expected = []
    for position, seed in enumerate([1, 2, 3, 4]):
        network.activate(sandwich.subnet(position, seed))
        expected.append(network(sandwich._preprocessing(IMAGES)))
    assert torch.equal(logits_MNC, torch.stack(expected))
    network.activate(sandwich.space.smallest)
    alone = sandwich.eval()(IMAGES, LABELS).logits_MNC
    assert torch.equal(alone, network(sandwich._preprocessing(IMAGES))[None])
    assert network.subnet == network.space.largest


# The loss.

LARGEST = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
SMALL = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
TWO = torch.tensor([0, 1])


def entropy(a, b):
    """Cross-entropy of logits (a, b) where the first class is right."""
    return math.log(1 + math.exp(b - a))


def divergence(teacher, own, temperature):
    """T² KL of two classes' logits, term by term."""
    p, q = (1 / (1 + math.exp((b - a) / temperature)) for a, b in (teacher, own))
    return temperature**2 * (p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)))


@pytest.mark.parametrize(("weight", "temperature"), [(1.0, 1.0), (0.25, 1.0), (0.6, 3.0)])
def test_the_terms_are_those_of_the_formula(weight, temperature):
    loss = SandwichLoss(weight=weight, temperature=temperature)
    terms = loss(TrainingBatch(torch.stack([LARGEST, SMALL, LARGEST]), TWO))
    own = (entropy(2, 0) + entropy(1, 0)) / 2
    small = (entropy(0, 0) + entropy(0, 1)) / 2
    apart = (divergence((2, 0), (0, 0), temperature) + divergence((0, 1), (1, 0), temperature)) / 2
    assert list(terms) == ["largest", "subnets", "imitation"]
    assert terms["largest"].item() == pytest.approx(own, rel=1e-5)
    assert terms["subnets"].item() == pytest.approx((1 - weight) * (small + own) / 2, rel=1e-5)
    assert terms["imitation"].item() == pytest.approx(
        weight * apart / 2, rel=1e-5
    )  # the third imitates itself


def test_the_largest_alone_learns_from_labels():
    terms = SandwichLoss()(TrainingBatch(LARGEST[None], TWO))
    assert {name: round(term.item(), 6) for name, term in terms.items()} == {
        "largest": round((entropy(2, 0) + entropy(1, 0)) / 2, 6)
    }


def test_imitation_does_not_move_the_teacher():
    logits_MNC = torch.stack([LARGEST, SMALL]).requires_grad_()
    SandwichLoss(temperature=2.0)(TrainingBatch(logits_MNC, TWO))["imitation"].backward()
    assert not logits_MNC.grad[0].any()
    # d/dz of T² KL is T (softmax(z / T) − teacher), over the N samples of the mean.
    expected = 2.0 * ((SMALL / 2).softmax(-1) - (LARGEST / 2).softmax(-1)) / 2
    torch.testing.assert_close(logits_MNC.grad[1], expected)


def test_subnets_imitate_the_start_where_it_teaches():
    batch = TrainingBatch(torch.stack([LARGEST, SMALL]), TWO, teacher_NC=SMALL)
    assert TaughtSandwichLoss()(batch)["imitation"].item() == 0
    assert SandwichLoss()(batch)["imitation"].item() > 0.1


def test_the_start_is_the_network_before_its_training(tiny, tmp_path, monkeypatch):
    spec = tiny(
        supernet={"teacher": "start"}, stages=[{"dims": ["width"], "epochs": 1, "learning_rate": 0.1}]
    )
    start, preprocessing, _ = build_supernet(spec, opened(spec, tmp_path), tmp_path)
    start.eval()
    heard = []
    given = loop.TrainingBatch

    def listening(*fields):
        heard.append(fields[4])
        return given(*fields)

    monkeypatch.setattr(loop, "TrainingBatch", listening)
    seen = []
    training = Sandwich.forward
    monkeypatch.setattr(Sandwich, "forward", lambda own, *a: seen.append(a[0]) or training(own, *a))
    train_supernet(spec, tmp_path)
    del seen[0]  # of the step before the training, in which no teacher is heard
    assert len(heard) == len(seen) == 4
    for teacher_NC, images in zip(heard, seen, strict=True):
        assert not teacher_NC.requires_grad
        torch.testing.assert_close(teacher_NC, start(preprocessing(images)), rtol=1e-4, atol=1e-4)
    assert F.mse_loss(heard[0], heard[-1]) > 0  # other images
