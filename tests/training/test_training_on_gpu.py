"""The same step and the same augmented pixels on a GPU as on a CPU."""

import numpy as np
import pytest
import torch

from nversion.core.randomness import forked_randomness
from nversion.losses import TrainingBatch, make_loss, total
from nversion.models import Preprocessing
from nversion.training.augment import augmented
from nversion.training.members import Members
from nversion.training.recipe import AugmentTable, MapsTable
from nversion.training.small_networks import resnet

pytestmark = pytest.mark.gpu

PREPROCESSING = Preprocessing(32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def noise(count=16):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8))


@pytest.fixture(autouse=True)
def exact_products():
    """TF32 has ten bits."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def stepped(device, loss):
    with forked_randomness(0):
        members = Members([resnet(10) for _ in range(2)], [PREPROCESSING] * 2, MapsTable()).to(device).train()
    labels = torch.arange(16, device=device) % 10
    outputs = members(noise().to(device).float() / 255, labels, make_loss(loss).needs, [1, 2])
    given = TrainingBatch(outputs.logits_MNC, labels, outputs.maps_MNP, outputs.features_M, epoch=9.0)
    value = total(make_loss(loss)(given))
    value.backward()
    torch.optim.SGD(members.parameters(), 0.1).step()
    return value.item(), [parameter.detach().cpu() for parameter in members.parameters()]


@pytest.mark.parametrize("name", ["gncl", "balanced", "attribution_cosine", "pull_away"])
def test_a_step_is_that_of_the_cpu(name):
    (here, weights), (there, others) = stepped("cpu", {"name": name}), stepped("cuda", {"name": name})
    assert there == pytest.approx(here, rel=1e-4)
    for one, other in zip(weights, others, strict=True):
        torch.testing.assert_close(one, other, atol=2e-4, rtol=1e-3)


def test_augmented_pixels_are_those_of_the_cpu():
    settings = AugmentTable(max_shift=3)
    here, there = (augmented(noise().to(device), settings, ("a",)).cpu() for device in ("cpu", "cuda"))
    torch.testing.assert_close(here, there, atol=1e-5, rtol=0)


def test_half_precision_trains_with_clipping(tmp_path):
    from nversion.training import parse_recipe, train_recipe

    content = {
        "train": {
            **{"name": "try", "epochs": 2, "batch_size": 32, "device": "cuda"},
            **{"precision": "16-mixed", "clip": 1.0},
        },
        "data": {"train": {"source": "digits", "split": "train", "count": 200}},
        "canonical": {"size": 32, "mode": "squash"},
        "members": [
            {
                "arch": "python:nversion.training.small_networks:build",
                "args": {"name": "resnet", "num_classes": 10},
                "count": 2,
            }
        ],
        "loss": {"name": "gncl"},
    }
    (ensemble,) = train_recipe(parse_recipe(content, "a test")["try"], tmp_path)
    assert ensemble.diverged == ""
