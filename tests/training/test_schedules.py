"""Schedules by their values, against torch's where torch has the same; optimizers by name."""

import pytest
import torch

from nversion.core import UserError
from nversion.training.optimizers import OPTIMIZERS, make_optimizer, make_schedule


def test_step_is_torchs_step():
    schedule = make_schedule({"name": "step", "every": 30, "factor": 0.1})
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    theirs = torch.optim.lr_scheduler.StepLR(optimizer, 30, 0.1)
    for epoch in range(100):
        assert schedule(float(epoch), 100) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_steps_need_not_be_whole():
    schedule = make_schedule({"name": "step", "every": 2.4, "factor": 0.97})
    assert [schedule(epoch, 100) for epoch in (2.39, 2.41, 4.81)] == pytest.approx([1.0, 0.97, 0.97**2])


def test_cosine_is_torchs_annealing_after_its_warm_up():
    schedule = make_schedule({"name": "cosine", "warm_up": 5, "floor": 0.1})
    assert [schedule(epoch, 100) for epoch in (0, 2.5, 5)] == pytest.approx([0.0, 0.5, 1.0])
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 95, eta_min=0.1)
    for epoch in range(95):
        assert schedule(5.0 + epoch, 100) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_cycles_start_at_the_full_rate_and_end_near_none():
    schedule = make_schedule({"name": "cycles", "number": 3})
    assert [schedule(epoch, 30) for epoch in (0, 10, 20)] == pytest.approx([1.0] * 3)
    assert all(schedule(epoch - 1e-6, 30) < 1e-6 for epoch in (10, 20, 30))


def test_one_cycle_peaks_where_its_warm_up_ends():
    schedule = make_schedule({"name": "one_cycle", "warm_up": 0.25, "start": 0.1})
    assert [schedule(epoch, 8) for epoch in (0, 2, 8)] == pytest.approx([0.1, 1.0, 0.0])


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_takes_a_step_downhill(name):
    weight = torch.nn.Parameter(torch.tensor([3.0]))
    optimizer = make_optimizer({"name": name, "learning_rate": 0.05}, [weight])
    for _ in range(5):
        optimizer.zero_grad()
        (weight**2).sum().backward()
        optimizer.step()
    assert weight.item() < 3.0


def test_adabelief_has_the_papers_constants():
    group = make_optimizer({"name": "adabelief"}, [torch.nn.Parameter(torch.zeros(1))]).param_groups[0]
    assert (group["lr"], group["eps"], group["betas"], group["weight_decay"]) == (
        1e-3,
        1e-8,
        (0.9, 0.999),
        0.0,
    )
    assert group["rectify"] is False


@pytest.mark.parametrize(
    ("make", "spec", "message"),
    [
        (
            make_schedule,
            {"name": "steps", "every": 3},
            "a known schedule, found 'steps'; did you mean 'step'",
        ),
        (make_schedule, {"name": "step"}, "the setting 'every' of the schedule 'step'"),
        (make_schedule, {}, "the setting 'name' of the schedule"),
        (
            lambda spec: make_optimizer(spec, []),
            {"name": "adamm"},
            "a known optimizer, found 'adamm'; did you mean",
        ),
        (
            lambda spec: make_optimizer(spec, []),
            {"name": "sgd", "lr": 1},
            "a setting of the optimizer 'sgd', found 'lr'",
        ),
    ],
)
def test_wrong_settings_are_told(make, spec, message):
    with pytest.raises(UserError, match=message):
        make(spec)
