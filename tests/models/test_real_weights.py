"""Real weights load through the sources and classify real photographs."""

import pytest
import torch

from nversion.data import Canonical, open_dataset
from nversion.models import expand_pool, load_classifier

pytestmark = pytest.mark.shared


def zoo_specs(shared):
    names = sorted(path.stem for path in (shared / "weights").glob("*.safetensors"))
    return expand_pool([{"source": "python:weights/zoo.py:build", "names": names}])


def photographs(shared, count):
    spec = {"source": "folder", "path": "data/imagenet_val1300", "label_space": "imagenet-1k", "count": count}
    dataset = open_dataset(spec, shared)
    canonical = Canonical(224, "squash")
    images_N3HW = torch.stack([torch.from_numpy(canonical.render(dataset.decode(i))) for i in range(count)])
    return images_N3HW.float() / 255, torch.from_numpy(dataset.labels_N.copy())


def test_all_real_models_load_and_give_finite_logits(shared):
    images_N3HW, _ = photographs(shared, 1)
    fingerprints = set()
    for spec in zoo_specs(shared):
        classifier = load_classifier(spec, shared)
        assert classifier(images_N3HW).isfinite().all() and classifier.card.label_space.name == "imagenet-1k"
        assert classifier.card.family in ("CNN", "NAS")
        fingerprints.add(classifier.fingerprint)
    assert len(fingerprints) == 14


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "mobilenetv1_050_160_tfq"])
def test_real_models_classify_photographs(shared, name):
    spec = {"source": "python:weights/zoo.py:build", "name": name}
    images_N3HW, labels_N = photographs(shared, 40)
    predicted_N = load_classifier(spec, shared)(images_N3HW).argmax(1)
    assert (predicted_N == labels_N).float().mean() > 0.55


def test_a_weights_file_is_the_same_model_as_its_builder(shared):
    images_N3HW, _ = photographs(shared, 1)
    from_file = load_classifier(
        {
            "source": "file:weights/mobilenet_v2_tv.safetensors",
            "arch": "torchvision:mobilenet_v2",
            "preprocessing": {"input_size": 224, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
        },
        shared,
    )
    built = load_classifier({"source": "python:weights/zoo.py:build", "name": "mobilenet_v2_tv"}, shared)
    assert torch.equal(from_file(images_N3HW), built(images_N3HW))
