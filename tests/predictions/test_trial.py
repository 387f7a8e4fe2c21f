"""Classifiers whose logits are not a function of the image are found before a run; others pass."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nversion.core import UserError
from nversion.data import Canonical
from nversion.models import Preprocessing, make_classifier
from nversion.predictions import Inference, trial

PREPARE = Preprocessing(32, (0.5,) * 3, (0.25,) * 3)


class Says(nn.Module):
    """Applies a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, images):
        return self.function(images)


class Adapting(nn.BatchNorm2d):
    def forward(self, x):
        statistics = (self.running_mean, self.running_var, self.weight, self.bias)
        return F.batch_norm(x, *statistics, True, 0.3, self.eps)


class Centred(nn.Module):
    """Keeps a mean of all features that it saw, in a plain attribute."""

    def __init__(self):
        super().__init__()
        self.mean, self.seen = 0.0, []

    def forward(self, x):
        self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
        self.seen.append(len(x))
        return x - self.mean


class Counting(nn.Module):
    """Notes how often it ran, which changes no logit."""

    def __init__(self):
        super().__init__()
        self.register_buffer("runs", torch.zeros(()))
        self.sizes = []

    def forward(self, x):
        self.runs += 1
        self.sizes.append(len(x))
        return x


class Initialised(nn.Module):
    """Takes its scale from the first images that it sees, and keeps it."""

    scale = None

    def forward(self, x):
        if self.scale is None:
            self.scale = x.abs().mean()
        return x / self.scale


def network(*inner):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 8, 5, 4), nn.ReLU(), *inner, nn.Flatten(), nn.Linear(392, 10))


def classifier(module, **settings):
    settings = {"name": "it", "source": "test", "label_space": "ten"} | settings
    return make_classifier(module, PREPARE, **settings)


def tried(module, **settings):
    return trial(
        [classifier(module, **settings)], Canonical(32), Inference(batch_size=8), torch.device("cpu")
    )


def random_crop(images):
    left = int(torch.randint(0, 8, ()))
    return F.pad(images, (left, 8 - left))[..., 4:-4]


def private_noise(x, rng=np.random.default_rng(0)):  # noqa: B008
    return x + 0.1 * torch.from_numpy(rng.standard_normal(x.shape, np.float32))


def flipped_as_a_batch(images):
    return images.flip(3) if float(torch.rand(())) < 0.5 else images


RANDOM = "other ones when it is shown the same images again: it draws random numbers"
ADAPTS = "other ones after it has seen images: it adapts while it runs"
BATCH = "other ones in another batch: it uses what is beside an image or came first"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda: network(Says(lambda x: F.dropout(x, 0.02, training=True))), RANDOM),
        (lambda: nn.Sequential(Says(random_crop), network()), RANDOM),
        (lambda: nn.Sequential(Says(flipped_as_a_batch), network()), RANDOM),
        (lambda: network(Says(private_noise)), RANDOM),
        (lambda: network(Adapting(8)), BATCH),
        (lambda: network(Centred()), ADAPTS),
        (lambda: network(Initialised()), BATCH),
        (lambda: network(nn.BatchNorm2d(8, track_running_stats=False)), BATCH),
        (lambda: network(Says(lambda x: x - x.mean(0))), BATCH),
        (lambda: network(Says(lambda x: x + 0.2 * x[:1])), BATCH),
        (
            lambda: torch.ao.quantization.quantize_dynamic(network(), {nn.Linear}, dtype=torch.qint8),
            BATCH,
        ),
    ],
)
def test_what_is_no_function_of_the_image_is_refused_with_its_reason(make, found):
    with pytest.raises(
        UserError, match=f"the same logits of 'it' for an image .*{found}.*repeatable = false"
    ):
        tried(make())


def test_batch_norm_that_cannot_take_one_image_is_told():
    module = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10), nn.BatchNorm1d(10, track_running_stats=False))
    card = classifier(network())
    card.module = module.eval()
    with pytest.raises(UserError, match="to run on one image as it does on several, found ValueError"):
        trial([card], Canonical(32), Inference(), torch.device("cpu"))


def test_what_is_said_to_be_not_repeatable_is_only_timed():
    seconds = tried(network(Says(lambda x: F.dropout(x, 0.5, training=True))), repeatable=False)
    assert seconds["it"] > 0


@pytest.mark.parametrize(
    "make",
    [
        network,
        lambda: network(nn.BatchNorm2d(8)),
        lambda: network(Counting()),
        lambda: network(Says(lambda x: x + 0 * torch.rand(()))),  # draws, to no effect
        lambda: nn.Sequential(network(), Says(lambda x: x + 30000)),  # digits that float32 has not
    ],
)
def test_functions_of_the_image_pass(make):
    assert tried(make())["it"] > 0


def test_a_trial_leaves_no_trace():
    counting, adapting = Counting(), Adapting(8)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    noisy = Says(lambda x: F.dropout(x, 0.5, training=True) + np.random.rand())  # noqa: NPY002
    tried(network(counting, adapting, noisy), repeatable=False)
    assert counting.runs == 0 and counting.sizes == []
    assert torch.equal(adapting.running_mean, torch.zeros(8))
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
