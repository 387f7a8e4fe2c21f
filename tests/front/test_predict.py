"""`predict` runs modules on images, in memory or in a folder, and leaves the modules as they were."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import nversion
from nversion import UserError, predict
from nversion.data import open_dataset
from nversion.models import Preprocessing, make_classifier

RNG = np.random.default_rng(0)
IMAGES = torch.from_numpy(RNG.integers(0, 256, (10, 3, 8, 8), np.uint8))
LABELS = torch.from_numpy(RNG.integers(0, 4, 10))
DATA = (IMAGES, LABELS)


def network(seed=0, num_classes=4):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.BatchNorm1d(8), nn.Linear(8, num_classes))


NETS = {"a": network(0), "b": network(1)}


def logits_of(predictions, condition="clean"):
    return torch.cat([chunk.logits_MNC for chunk in predictions[condition].chunks()], 1)


class Pairs(Dataset):
    """Images of PIL and labels, as torchvision's data sets give them without a transform."""

    def __len__(self):
        return len(IMAGES)

    def __getitem__(self, index):
        return Image.fromarray(IMAGES[index].permute(1, 2, 0).numpy()), int(LABELS[index])


@pytest.mark.parametrize(
    "data",
    [
        DATA,
        (IMAGES / 255, LABELS),
        (IMAGES.permute(0, 2, 3, 1).numpy(), LABELS.tolist()),
        TensorDataset(*DATA),
        DataLoader(TensorDataset(*DATA), batch_size=3),
        DataLoader(TensorDataset(IMAGES / 255, LABELS), batch_size=4, num_workers=2),
        Pairs(),
        [{"image": one, "label": label} for one, label in zip(IMAGES, LABELS, strict=True)],
    ],
)
def test_every_form_of_the_data_gives_the_same_logits(data):
    predictions = predict(NETS, data, {"fog": 2}, batch_size=4)
    expected = predict(NETS, DATA, {"fog": 2}, batch_size=4)
    for condition in ("clean", "fog-2"):
        assert torch.equal(logits_of(predictions, condition), logits_of(expected, condition))
    assert predictions.labels_N.tolist() == LABELS.tolist()


def test_clean_logits_are_the_modules_own():
    net = NETS["b"].eval()
    found = logits_of(predict(NETS, DATA, mean=(0.5,) * 3, std=(0.25,) * 3))[1]
    with torch.no_grad():
        assert torch.allclose(found, net((IMAGES / 255 - 0.5) / 0.25), atol=1e-5)


def test_corrupted_images_are_those_of_corrupt():
    ids = [str(index) for index in range(10)]
    found = logits_of(predict(NETS, DATA, {"water_drop": [7.0]}, seed=3), "water_drop-7-seed3")[0]
    images = nversion.corrupt(IMAGES, "water_drop", 7.0, seed=3, ids=ids)
    with torch.no_grad():
        assert torch.allclose(found, NETS["a"].eval()(images / 255), atol=1e-5)


def test_a_folder_gives_the_logits_of_memory_and_is_not_computed_again(tmp_path):
    in_memory = predict(NETS, DATA, {"fog": [1, 3]}, batch_size=4)
    counted = {name: network(seed) for seed, name in enumerate("ab")}
    for repeat in range(2):
        stored = predict(counted, DATA, {"fog": [1, 3]}, folder=tmp_path, batch_size=4)
        for condition in in_memory:
            assert torch.equal(logits_of(stored, condition), logits_of(in_memory, condition)), repeat
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("array.npy")}
    assert len(written) == 6
    predict(counted, DATA, {"fog": [1, 3, 5]}, folder=tmp_path, batch_size=4)
    assert all(path.stat().st_mtime_ns == when for path, when in written.items())
    assert len(list(tmp_path.rglob("array.npy"))) == 8


def test_other_weights_are_other_predictions_in_the_same_folder(tmp_path):
    first = predict({"a": network(0)}, DATA, folder=tmp_path)
    second = predict({"a": network(1)}, DATA, folder=tmp_path)
    assert not torch.equal(logits_of(first), logits_of(second))


def test_modules_are_as_they_were():
    net = network().half()
    net[1].weight.requires_grad_(False)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    predict({"a": net}, DATA)
    assert all(part.training for part in net.modules())
    assert [p.requires_grad for p in net.parameters()] == [False, *[True] * 5]
    assert all(torch.equal(net.state_dict()[key], value) for key, value in before.items())
    assert {p.dtype for p in net.parameters()} == {torch.float16}


def test_modules_are_as_they_were_after_an_error():
    net = network().train()
    with pytest.raises(UserError, match="models of one number of classes"):
        predict({"a": net, "b": network(0, 5)}, DATA)
    assert net.training and all(p.requires_grad for p in net.parameters())


def test_a_model_may_have_its_own_preprocessing():
    half = Preprocessing(8, (0.5,) * 3, (0.5,) * 3)
    models = {"a": (NETS["a"], half), "b": (NETS["a"], {"mean": [0.5] * 3, "std": [0.5] * 3}), "c": NETS["a"]}
    models["d"] = make_classifier(network(0), half, name="x", source="test", label_space="data")
    a, b, c, d = logits_of(predict(models, DATA))
    assert torch.equal(a, b) and torch.equal(a, d) and not torch.equal(a, c)


def test_images_of_other_sizes_are_resized_and_cropped():
    data = [(np.zeros((20 + 4 * i, 30, 3), np.uint8), i) for i in range(4)]
    assert logits_of(predict(NETS, data, size=8)).shape == (2, 4, 4)


def test_data_sets_of_nversion_keep_their_names_and_ids():
    digits = open_dataset({"source": "digits", "split": "test", "count": 6})
    nets = {"a": nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))}
    predictions = predict(nets, digits)
    assert predictions.datasets == (digits.name,) and predictions.sample_ids == digits.sample_ids


def test_cards_say_what_a_model_costs():
    card = predict(NETS, DATA).cards[0]
    assert (card.num_parameters, card.macs) == (192 * 8 + 8 + 16 + 8 * 4 + 4, 192 * 8 + 8 * 4)


def test_probabilities_are_taken_as_said():
    nets = {"a": nn.Sequential(network(), nn.Softmax(-1))}
    with pytest.raises(UserError, match="expected logits from the classifier 'a', found probabilities"):
        predict(nets, DATA)
    total = logits_of(predict(nets, DATA, outputs="probabilities")).exp().sum(-1)
    assert torch.allclose(total, torch.ones(1, 10), atol=1e-5)


class Noisy(nn.Module):
    """Random logits."""

    def forward(self, images):
        return torch.randn(len(images), 4)


def test_random_logits_are_refused_unless_they_are_meant():
    with pytest.raises(UserError, match="random numbers"):
        predict({"a": Noisy()}, DATA)
    assert predict({"a": Noisy()}, DATA, repeatable=False).num_samples == 10


class Augmented(Pairs):
    """Another image whenever it is asked."""

    calls = 0

    def __getitem__(self, index):
        Augmented.calls += 1
        return torch.full((3, 8, 8), Augmented.calls % 256, dtype=torch.uint8), 0


def test_data_that_change_are_refused_before_they_are_stored(tmp_path):
    with pytest.raises(UserError, match="the same images whenever the data are read"):
        predict(NETS, Augmented(), folder=tmp_path)


@pytest.mark.parametrize(
    ("models", "data", "settings", "message"),
    [
        ([network()], DATA, {}, "models by name"),
        ({}, DATA, {}, "models by name"),
        ({"a": lambda x: x}, DATA, {}, "wrap other functions"),
        ({"a": (NETS["a"], {"sdt": 1})}, DATA, {}, "did you mean 'std'"),
        (NETS, IMAGES, {}, "pass labels with the images"),
        (NETS, (IMAGES, LABELS[:5]), {}, "5 images, one for each label"),
        (NETS, (IMAGES, LABELS + 1), {}, "labels from 0 to 3"),
        (NETS, (IMAGES * 1.0, LABELS), {}, "divide bytes by 255"),
        (NETS, (IMAGES / 255 - 0.5, LABELS), {}, "before they are normalised"),
        (NETS, (IMAGES[..., :4], LABELS), {}, "pass size=224"),
        (NETS, (IMAGES[:, :1], LABELS), {}, "grey image RGB"),
        (NETS, DataLoader(TensorDataset(*DATA), shuffle=True), {}, "shuffle=False"),
        (NETS, DataLoader(TensorDataset(IMAGES)), {}, "(images, labels)"),
        (NETS, TensorDataset(IMAGES[:0], LABELS[:0]), {}, "at least one image"),
        (NETS, "images/", {}, "found a str"),
        (NETS, DATA, {"corruptions": {"fogg": 1}}, "did you mean 'fog'"),
        (NETS, DATA, {"corruptions": {"fog": "high"}}, "a severity from"),
        (NETS, DATA, {"corruptions": ["fog"]}, "severities by corruption"),
        (NETS, DATA, {"clean": False}, "at least one condition"),
        (NETS, DATA, {"batch_size": 0}, "a batch_size of 1 or more"),
        (NETS, DATA, {"mean": (124, 116, 104)}, "divide them by 255"),
        (NETS, DATA, {"sample_ids": ["x"] * 10}, "10 ids, 1 of them different"),
        (NETS, DATA, {"sample_ids": ["x"]}, "10 sample ids"),
        ({"a": nn.Linear(3, 3)}, DATA, {}, "the classifier 'a' to run on 1×3×8×8"),
        ({"a": nn.Identity()}, DATA, {}, "logits of shape (N, classes)"),
    ],
)
def test_what_does_not_fit_is_one_sentence(models, data, settings, message):
    with pytest.raises(UserError) as error:
        predict(models, data, **settings)
    assert message in str(error.value)
