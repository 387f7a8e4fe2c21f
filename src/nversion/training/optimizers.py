"""Optimizers and schedules by name; a schedule is a pure function of how far the training is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from nversion.core import Registry, UserError, code_fingerprint
from nversion.core.reasons import reason_of
from nversion.core.settings import call_with_settings, named_settings

OPTIMIZERS: Registry[Callable[..., Optimizer]] = Registry("optimizer", "nversion.optimizers")

Schedule = Callable[[float, int], float]
"""(epochs done, with the fraction of the present one; epochs in all) to a factor of the learning rate."""

SCHEDULES: Registry[Callable[..., Schedule]] = Registry("schedule", "nversion.schedules")


LARGEST_SETTING = 1e6


def make_optimizer(
    spec: Mapping[str, Any], parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]]
) -> Optimizer:
    """The optimizer that a table describes: `name` and its settings; for parameters or groups of them.

    Raises:
        UserError: an unknown name or setting, or a value of the wrong type.
    """
    name, settings = named_settings(spec, "the optimizer", OPTIMIZERS)
    what = f"the optimizer {name!r}"
    for key, value in settings.items():
        # A step overflows float32 long before; a training that runs and diverges is another matter.
        if isinstance(value, int | float) and abs(value) > LARGEST_SETTING:
            raise UserError(
                expected=f"a {key!r} of {what} up to {LARGEST_SETTING:g}",
                found=repr(value),
                next_step="correct it",
            )
    try:
        return call_with_settings(OPTIMIZERS[name], settings, what, parameters=list(parameters))
    except UserError:
        raise
    except ValueError as error:  # torch's and timm's, of settings out of range
        raise UserError(
            expected=f"sound settings of {what}", found=reason_of(error), next_step="correct them"
        ) from error


def make_schedule(spec: Mapping[str, Any]) -> Schedule:
    """The schedule that a table describes: `name` and its settings.

    >>> schedule = make_schedule({"name": "step", "every": 30, "factor": 0.1})
    >>> schedule(29.9, 100), schedule(30.0, 100)
    (1.0, 0.1)
    """
    name, settings = named_settings(spec, "the schedule", SCHEDULES)
    return call_with_settings(SCHEDULES[name], settings, f"the schedule {name!r}")


def settings_code(optimizer: Mapping[str, Any], schedule: Mapping[str, Any]) -> list[str]:
    """Fingerprints of the code of a table's optimizer and schedule; "" for nversion's own."""
    return [
        code_fingerprint(OPTIMIZERS[str(optimizer.get("name"))]),
        code_fingerprint(SCHEDULES[str(schedule.get("name"))]),
    ]


def _check_positive(what: str, value: float) -> None:
    if not value > 0:
        raise UserError(expected=f"a {what} above 0", found=repr(value), next_step="correct it")


@OPTIMIZERS.register("sgd")
def sgd(
    *,
    parameters: list[Any],
    learning_rate: float = 0.1,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
    nesterov: bool = False,
) -> Optimizer:
    """Stochastic gradient descent with momentum."""
    return torch.optim.SGD(
        parameters, learning_rate, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov
    )


@OPTIMIZERS.register("rmsprop")
def rmsprop(
    *,
    parameters: list[Any],
    learning_rate: float = 0.256,
    alpha: float = 0.9,
    momentum: float = 0.9,
    eps: float = 1e-3,
    weight_decay: float = 1e-5,
) -> Optimizer:
    """RMSprop of TensorFlow's kind (the root after eps is added), as timm has it."""
    from timm.optim.rmsprop_tf import RMSpropTF

    optimizer: Optimizer = RMSpropTF(
        parameters, learning_rate, alpha=alpha, momentum=momentum, eps=eps, weight_decay=weight_decay
    )
    return optimizer


@OPTIMIZERS.register("adamw")
def adamw(
    *,
    parameters: list[Any],
    learning_rate: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.05,
) -> Optimizer:
    """Adam with decoupled weight decay."""
    return torch.optim.AdamW(parameters, learning_rate, betas=betas, eps=eps, weight_decay=weight_decay)


@OPTIMIZERS.register("adabelief")
def adabelief(
    *,
    parameters: list[Any],
    learning_rate: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    rectify: bool = False,
) -> Optimizer:
    """AdaBelief of timm; the paper's §4.3 with its defaults (no rectification, no decay: our reading)."""
    from timm.optim.adabelief import AdaBelief

    optimizer: Optimizer = AdaBelief(
        parameters, learning_rate, betas=betas, eps=eps, weight_decay=weight_decay, rectify=rectify
    )
    return optimizer


@SCHEDULES.register("constant")
def constant() -> Schedule:
    """The same rate throughout."""
    return lambda _epoch, _epochs: 1.0


@SCHEDULES.register("step")
def step(*, every: float, factor: float = 0.1) -> Schedule:
    """Times `factor` after every so many epochs, which need not be whole."""
    _check_positive("number of epochs, `every`,", every)
    return lambda epoch, _epochs: factor ** math.floor(epoch / every)


@SCHEDULES.register("cosine")
def cosine(*, warm_up: float = 0.0, floor: float = 0.0, over: float | None = None) -> Schedule:
    """Linear growth over `warm_up` epochs, then half a cosine down to `floor` of the rate.

    The cosine ends with the last epoch, or after `over` epochs.
    """

    def factor(epoch: float, epochs: int) -> float:
        if epoch < warm_up:
            return epoch / warm_up
        done = min(1.0, (epoch - warm_up) / max((over or epochs) - warm_up, 1e-9))
        return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2

    return factor


@SCHEDULES.register("cycles")
def cycles(*, number: int) -> Schedule:
    """`number` equal cycles of half a cosine each, from the full rate down to 0: for snapshots."""
    _check_positive("number of cycles", number)

    def factor(epoch: float, epochs: int) -> float:
        done = epoch * number / epochs % 1.0
        return (1 + math.cos(math.pi * done)) / 2

    return factor


@SCHEDULES.register("one_cycle")
def one_cycle(*, warm_up: float = 0.3, start: float = 0.04) -> Schedule:
    """Cosine growth from `start` over the share `warm_up` of the epochs, then half a cosine down to 0."""

    def factor(epoch: float, epochs: int) -> float:
        done = min(1.0, epoch / epochs)
        if done < warm_up:
            return start + (1 - start) * (1 - math.cos(math.pi * done / warm_up)) / 2
        return (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up))) / 2

    return factor
