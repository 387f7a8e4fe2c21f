"""Metrics as classes keep torchmetrics' protocol."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from torchmetrics import MetricCollection

import nversion as nv
from nversion import UserError
from nversion.metrics import class_name
from nversion.metrics.answers import of_models

RNG = np.random.default_rng(0)
N, C = 60, 4
LABELS = torch.from_numpy(RNG.integers(0, C, N))
LOGITS = torch.from_numpy(RNG.normal(size=(3, N, C))).float() + 1.5 * torch.eye(C)[LABELS]
CLASSES = [name for name in dir(nv.metrics) if name[0].isupper()]
FUNCTIONS = {class_name(name): name for name in dir(nv.metrics) if name[0].islower()}


def expected_of(name, part=slice(None)):
    return getattr(nv.metrics, FUNCTIONS[name])(LOGITS[:, part], labels=LABELS[part])


def updated(name, *bounds):
    metric = getattr(nv.metrics, name)(num_models=3)
    for start, stop in zip((0, *bounds), (*bounds, N), strict=True):
        metric.update(LOGITS[:, start:stop], LABELS[start:stop])
    return metric


@pytest.mark.parametrize("name", CLASSES)
def test_batches_add_up_to_the_function(name):
    assert updated(name, 7, 31).compute().item() == pytest.approx(expected_of(name), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", CLASSES)
def test_forward_gives_the_batch_and_keeps_the_sum(name):
    metric = getattr(nv.metrics, name)(num_models=3)
    metric.update(LOGITS[:, :20], LABELS[:20])
    of_batch = metric(LOGITS[:, 20:], LABELS[20:])
    assert of_batch.item() == pytest.approx(expected_of(name, slice(20, N)), rel=1e-9, abs=1e-12)
    assert metric.compute().item() == pytest.approx(expected_of(name), rel=1e-9, abs=1e-12)


def test_reset_forgets():
    metric = updated("Disagreement")
    metric.reset()
    metric.update(LOGITS[:, :9], LABELS[:9])
    assert metric.compute().item() == expected_of("Disagreement", slice(9))


def test_bool_and_classes_are_taken_as_well():
    predicted = LOGITS.argmax(-1)
    by_classes, by_right = nv.metrics.Kappa(num_models=3), nv.metrics.Kappa(num_models=3)
    by_classes.update(predicted, LABELS)
    by_right.update(predicted == LABELS)
    assert by_classes.compute() == by_right.compute() == updated("Kappa").compute()


def test_a_collection_computes_all_of_them():
    collection = MetricCollection({name: getattr(nv.metrics, name)(num_models=3) for name in CLASSES})
    for start in range(0, N, 20):
        collection.update(LOGITS[:, start : start + 20], LABELS[start : start + 20])
    found = collection.compute()
    assert {name: value.item() for name, value in found.items()} == pytest.approx(
        {name: expected_of(name) for name in CLASSES}, rel=1e-9, abs=1e-12
    )
    # Metrics of the same sums share them.
    assert any(
        {"Disagreement", "Rho", "DoubleFault"} <= set(group) for group in collection.compute_groups.values()
    )


@pytest.mark.parametrize("name", CLASSES)
def test_a_metric_travels_and_its_state_is_restored(name):
    metric = updated(name)
    assert pickle.loads(pickle.dumps(metric)).compute().item() == pytest.approx(metric.compute().item())
    metric.persistent(True)
    other = getattr(nv.metrics, name)(num_models=3)
    other.persistent(True)
    other.load_state_dict(metric.state_dict())
    other.update(LOGITS[:, :1], LABELS[:1])
    metric.update(LOGITS[:, :1], LABELS[:1])
    assert other.compute().item() == pytest.approx(metric.compute().item())


def test_the_state_does_not_grow():
    def size(metric):
        return sum(getattr(metric, name).numel() for name in metric._defaults)

    assert size(updated("Js")) == size(updated("Js", 7, 31))


ONE_OF_A_KIND = ("Disagreement", "Kappa", "Js", "ShannonAll", "Ambiguity")
PROCESS = """
import json, sys
import torch, torch.distributed as dist
from torchmetrics import MetricCollection
import nversion as nv

rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", f"file://{folder}/meeting", world_size=2, rank=rank)
logits, labels = torch.load(f"{folder}/part-{rank}.pt")
collection = MetricCollection({name: getattr(nv.metrics, name)(num_models=3) for name in sys.argv[3:]})
collection.update(logits, labels)
print(json.dumps({name: value.item() for name, value in collection.compute().items()}))
dist.destroy_process_group()
"""


def test_two_processes_give_the_value_of_all_samples(tmp_path):
    for rank, part in enumerate((slice(25), slice(25, N))):
        torch.save((LOGITS[:, part].clone(), LABELS[part].clone()), tmp_path / f"part-{rank}.pt")
    commands = [
        [sys.executable, "-c", PROCESS, str(rank), str(tmp_path), *ONE_OF_A_KIND] for rank in range(2)
    ]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    found = [json.loads(process.communicate(timeout=200)[0]) for process in running]
    expected = {name: expected_of(name) for name in ONE_OF_A_KIND}
    assert found == [pytest.approx(expected, rel=1e-9, abs=1e-12)] * 2


@pytest.mark.parametrize("num_models", [1, 0, True, "3", 2.0])
def test_a_number_of_models_is_asked_for(num_models):
    with pytest.raises(UserError, match="at least two models"):
        nv.metrics.Disagreement(num_models=num_models)


def test_predictions_of_other_models_are_refused():
    with pytest.raises(UserError, match="predictions of 2 models, models first, found those of 3"):
        nv.metrics.Disagreement(num_models=2).update(LOGITS, LABELS)


@pytest.mark.gpu
@pytest.mark.parametrize("name", CLASSES)
def test_a_gpu_gives_the_values_of_the_cpu(name):
    metric = getattr(nv.metrics, name)(num_models=3).cuda()
    metric.update(LOGITS.cuda(), LABELS.cuda())
    assert metric.compute().device.type == "cuda"
    assert metric.compute().item() == pytest.approx(expected_of(name), rel=1e-5, abs=1e-6)
    assert of_models(LOGITS.cuda(), LABELS.cuda()).right_MN.device.type == "cuda"
