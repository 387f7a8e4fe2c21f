"""Real pretrained networks keep what they know when they are made elastic and sorted."""

import copy

import pytest
import torch

from nversion.data import Canonical, open_dataset
from nversion.models import load_classifier
from nversion.supernet.elastic import ElasticNetwork

pytestmark = pytest.mark.shared


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet18_pqf", "resnet50_pqf_large"])
def test_pretrained_networks_keep_their_answers(shared, name):
    classifier = load_classifier({"source": "python:weights/zoo.py:build", "name": name}, shared)
    spec = {"source": "folder", "path": "data/imagenet_val1300", "label_space": "imagenet-1k", "count": 16}
    dataset = open_dataset(spec, shared)
    canonical = Canonical(classifier.card.input_size, "squash")
    pixels = [torch.from_numpy(canonical.render(dataset.decode(i))) for i in range(16)]
    images_N3HW = classifier.preprocessing(torch.stack(pixels).float() / 255)
    logits_NC = classifier.module(images_N3HW)
    labels_N = torch.from_numpy(dataset.labels_N.copy())
    assert (logits_NC.argmax(1) == labels_N).float().mean() > 0.6
    supernet = ElasticNetwork(copy.deepcopy(classifier.module)).eval()
    assert torch.equal(supernet(images_N3HW), logits_NC)
    for importance in ("filters", "readers"):
        supernet.reorganise(importance)
        # float32 sums of up to 4608 products in another order: 6e-6 measured where the greatest logit is 13
        torch.testing.assert_close(supernet(images_N3HW), logits_NC, rtol=0, atol=5e-5)
        assert torch.equal(supernet(images_N3HW).argmax(1), logits_NC.argmax(1))
