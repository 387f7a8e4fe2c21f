"""Weights without the versions of their layers."""

import pytest
import torch

from nversion.models import Preprocessing, load_classifier, save_weights
from nversion.models.state import load_state
from nversion.models.weights import build_architecture


def mnasnet(tmp_path, seed):
    return build_architecture("torchvision:mnasnet0_5", 10, {}, "a test", tmp_path, None, seed).module


def test_plain_weights_fit_a_network_that_asks_for_its_version(tmp_path):
    first, second = (mnasnet(tmp_path, seed) for seed in (0, 1))
    plain = dict(first.state_dict())
    with pytest.raises(ValueError, match="version should be set to 1 or 2"):
        second.load_state_dict(plain)  # torchvision's own answer
    load_state(second, plain)
    assert all(torch.equal(value, plain[key]) for key, value in second.state_dict().items())


def test_a_file_of_such_a_network_is_a_classifier(tmp_path):
    path, grey = tmp_path / "a.safetensors", Preprocessing(32, (0.5,) * 3, (0.5,) * 3)
    save_weights(
        path,
        mnasnet(tmp_path, 3),
        arch="torchvision:mnasnet0_5",
        preprocessing=grey,
        label_space="own",
        num_classes=10,
    )
    assert load_classifier({"source": f"file:{path}"}).card.label_space.num_classes == 10
