"""The store of Gram matrices: identity, targets, work that is done once, and what it cost."""

from collections import Counter

import pytest
import torch

from nversion.attribution import attribute, gram
from nversion.core import UserError
from nversion.diversity import attribution_metric
from nversion.models import Classifier
from nversion.predictions import grams as attributions
from nversion.predictions import run as run_models
from nversion.predictions.grams import GramWriter
from nversion.study.plan import open_study
from nversion.study.spec import AttributionTable

CONDITION = "d/clean"


@pytest.fixture
def study(small, inputs):
    return open_study(small.spec(), inputs / "out", inputs)


def writer(study, on_step=lambda _: None, **asked):
    asked = {"methods": ["saliency"], "targets": ["predicted", "label"], "normalise": ["none"], **asked}
    return GramWriter(
        study.folder / "attributions",
        study.datasets["d"],
        study.canonical,
        study.conditions_of("d"),
        study.classifiers,
        AttributionTable(images=8, **asked),
        study.inference,
        study.device,
        on_step,
    )


def fill(study, grams):
    run_models(
        study.datasets["d"],
        study.canonical,
        study.conditions_of("d"),
        [grams],
        batch_size=study.inference.batch_size,
        device=study.device,
    )
    grams.finish()
    return grams


def images_of(study, grams):
    """The attributed images of the clean condition as floats, and their labels."""
    dataset = study.datasets["d"]
    rendered = [torch.from_numpy(study.canonical.render(dataset.decode(i))) for i in grams.samples]
    return torch.stack(rendered).float() / 255, torch.from_numpy(dataset.labels_N[grams.samples])


def test_saliency_of_predicted_class_and_label_keeps_the_key_of_earlier_versions(study):
    grams = writer(study)
    what = grams.arrays[CONDITION, attribution_metric("saliency", "label", "none").name].what
    described = attributions.describe_condition(
        study.datasets["d"], study.canonical, study.conditions_of("d")[0]
    )
    assert what == described | {
        "models": [[c.name, c.fingerprint] for c in study.classifiers],
        "method": "saliency",
        "target": "label",
        "targets": ["predicted", "label"],
        "normalise": "none",
        "absolute": True,
        "images": [8, 0],
        "batch_size": 4,
        "channels_last": True,
    }


def test_the_record_of_a_method_says_baseline_rule_passes_and_layers(study):
    grams = writer(study, methods=["integrated_gradients-3", "grad_cam"], targets=["ensemble"])
    integrated = grams.arrays[
        CONDITION, attribution_metric("integrated_gradients-3", "ensemble", "none").name
    ].what
    assert (integrated["baseline"], integrated["rule"], integrated["passes"]) == ("black", "gausslegendre", 3)
    layers = grams.arrays[CONDITION, attribution_metric("grad_cam", "ensemble", "none").name].what["layers"]
    assert layers == dict.fromkeys(["a", "bb", "ccc", "dddd"], "stem")


def test_the_ensembles_class_is_that_of_the_mean_of_all_models_logits(study):
    grams = fill(study, writer(study, targets=["predicted", "label", "ensemble"]))
    images_nN3HW, labels_n = images_of(study, grams)
    logits_MnC = torch.stack([c(images_nN3HW) for c in study.classifiers])
    mean_n = logits_MnC.mean(0).argmax(-1)
    classes = {
        "predicted": logits_MnC.argmax(-1),
        "label": labels_n.expand(4, -1),
        "ensemble": mean_n.expand(4, -1),
    }
    assert len({tuple(map(tuple, of_target.tolist())) for of_target in classes.values()}) == 3
    for target, targets_Mn in classes.items():
        maps = [
            attribute(c, images_nN3HW, targets_n, "saliency", absolute=True)
            for c, targets_n in zip(study.classifiers, targets_Mn, strict=True)
        ]
        stored_nMM = torch.from_numpy(
            grams.arrays[CONDITION, attribution_metric("saliency", target, "none").name].read().copy()
        )
        expected_nMM = gram(maps)
        torch.testing.assert_close(stored_nMM, expected_nMM, rtol=1e-4, atol=1e-6 * float(expected_nMM.max()))


def test_a_model_runs_once_on_an_image_for_the_targets_of_all_methods(study, monkeypatch):
    seen = Counter()
    original = Classifier.forward

    def forward(self, images_N3HW):
        if torch.is_inference_mode_enabled():
            seen[self.name] += len(images_N3HW)
        return original(self, images_N3HW)

    monkeypatch.setattr(Classifier, "forward", forward)
    fill(
        study,
        writer(study, methods=["saliency", "input_x_gradient"], targets=["predicted", "label", "ensemble"]),
    )
    assert seen == dict.fromkeys(["a", "bb", "ccc", "dddd"], 2 * 8)  # eight images, two conditions


def test_labels_alone_need_no_run_for_targets(study, monkeypatch):
    monkeypatch.setattr(torch, "inference_mode", None)  # would fail where it is entered
    grams = writer(study, targets=["label"])
    images_nN3HW, labels_n = images_of(study, grams)
    targets = grams._targets(images_nN3HW, labels_n)
    assert targets["label"].tolist() == [labels_n.tolist()] * 4


def test_an_added_method_runs_alone(study, monkeypatch):
    fill(study, writer(study))
    made = Counter()
    original = attributions.attribute_targets

    def counted(classifier, images_N3HW, targets, method, absolute, **settings):
        made[method] += 1
        return original(classifier, images_N3HW, targets, method, absolute, **settings)

    monkeypatch.setattr(attributions, "attribute_targets", counted)
    grams = writer(study, methods=["saliency", "integrated_gradients-2"])
    assert (grams.num_missing_samples(), grams.num_missing_passes()) == (16, 2 * 16)
    fill(study, grams)
    assert set(made) == {"integrated_gradients-2"}
    assert all(array.complete for array in grams.arrays.values())


def test_steps_are_announced_as_they_come(study):
    steps = []
    grams = writer(study, steps.append, methods=["saliency", "grad_cam"])
    announced = grams.num_steps()
    fill(study, grams)
    assert len(steps) == announced > 0


def test_a_method_that_cannot_explain_a_model_is_told_before_anything_runs(study):
    for classifier in study.classifiers[:1]:
        classifier.module.grad_cam_layer = "tail"
    with pytest.raises(UserError, match=r"the name of a layer of a, found 'tail'"):
        writer(study, methods=["grad_cam"])
