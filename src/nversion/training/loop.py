"""The training loop: one stage, from its first step or from a checkpoint, to finished weights.

Every random number follows from the seed and the place in the training: the order of the images from (seed,
stage, epoch), their augmentation from (…, batch), dropout from (…, member, step). So there is no random state
to save, and a run that is killed at any step ends in the same weights as one that is not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nversion.core import UserError
from nversion.data.accepted import is_right
from nversion.losses import Loss, TrainingBatch, total
from nversion.losses.base import Terms
from nversion.models.state import copied_state, load_state

from .checkpoints import load_checkpoint, save_checkpoint
from .images import Images
from .members import Members, seed_of
from .optimizers import Schedule, make_optimizer, make_schedule
from .recipe import TrainingRecipe, TrainTable
from .record import Record
from .strategies import Stage, epoch_order

CHECK_STEPS_ON_GPU = 50  # reading the terms makes the device wait
SECONDS_BETWEEN_SHOWS = 0.2


@dataclass(frozen=True)
class Progress:
    """What a display may show after a step."""

    stage: int
    epoch: int
    epochs: int
    step: int
    num_steps: int
    terms: dict[str, float]
    accuracy: list[float]
    images_per_second: float
    seconds_left: float


@dataclass
class StageRun:
    """A stage and everything it is trained with.

    Attributes:
        fabric: Lightning's, launched.
        recipe, stage, number, seed: what is trained.
        members: the module of this stage's members.
        names: of the members, in their order.
        loss: of the stage.
        training: images to learn from; `validation`: to watch and to choose by; None: none.
        teacher: images in [0, 1] to logits; None: no teacher.
        checkpoint: the file.
        fingerprint: of recipe, seed and data, which the checkpoint must share.
        set_aside: names of damaged files that were moved away are added to it.
        record: rows are added to it; `on_record` is called after each epoch, on the first device only.
    """

    fabric: Any
    recipe: TrainingRecipe
    stage: Stage
    number: int
    seed: int
    members: Members
    names: list[str]
    loss: Loss
    training: Images
    validation: Images | None
    teacher: Callable[[Tensor], Tensor] | None
    checkpoint: Path
    fingerprint: str
    record: Record
    set_aside: list[str]
    on_progress: Callable[[Progress], None] = lambda _: None
    on_record: Callable[[Record], None] = lambda _: None
    diverged: str = ""
    snapshots: list[dict[str, Tensor]] = field(default_factory=list)


def train_stage(run: StageRun) -> None:
    """Train the members of a stage in place; they end on the device, in eval mode.

    Raises:
        UserError: a term of the loss is not finite or beyond `diverged_above`; it is named with the step and
            the last good checkpoint. With `when_diverged = "keep"` the last good weights are the result, and
            `run.diverged` says so.
    """
    table = run.recipe.train
    optimizer = make_optimizer(run.recipe.optimizer, [p for p in run.members.parameters() if p.requires_grad])
    base_rates = [group["lr"] for group in optimizer.param_groups]
    schedule = make_schedule(run.recipe.schedule)
    # Convolutions read all channels of a pixel: 1.1 to 1.5 times as fast on CPUs, more with AMP on GPUs. Not
    # so their second derivatives: a step on maps takes 1.25 times as long in that order.
    layout = torch.contiguous_format if "maps" in run.loss.needs else torch.channels_last
    run.members.to(memory_format=layout)
    wrapped, optimizer = run.fabric.setup(run.members, optimizer)
    state = _resume(run, optimizer)
    if table.when_diverged == "keep" and state.good is None:  # what is kept if it diverges in its first steps
        state.good = copied_state(run.members)
    try:
        while state.epoch < table.epochs:
            _train_epoch(run, wrapped, optimizer, base_rates, schedule, layout, state)
            _finish_epoch(run, optimizer, state)
    except _DivergenceError as divergence:
        if table.when_diverged == "stop" or state.good is None:
            last = (
                f"; the last good checkpoint is {run.checkpoint}"
                if state.good
                else "; there is no checkpoint yet"
            )
            raise UserError(
                expected=f"finite terms of the loss, of at most {table.diverged_above:g}",
                found=f"{divergence}{last}",
                next_step="lower the learning rate or the loss's weight",
            ) from None
        run.diverged = str(divergence)
        load_state(run.members, state.good)
    if table.keep == "best" and state.best is not None:
        load_state(run.members, state.best)
    if run.fabric.world_size > 1:  # statistics of batch norm are each device's own, and so is the best epoch
        load_state(run.members, run.fabric.broadcast(copied_state(run.members)))
    run.members.eval()


@dataclass
class Sums:
    """What an epoch has seen so far; kept in checkpoints: a resumed epoch's means are of all of it."""

    steps: int = 0
    terms: list[float] = field(default_factory=list)
    right: list[float] = field(default_factory=list)


@dataclass
class _State:
    epoch: int = 0
    step: int = 0  # of the epoch
    steps: int = 0  # of the stage
    best_value: float = math.inf
    best: dict[str, Tensor] | None = None
    good: dict[str, Tensor] | None = None  # the weights of the last checkpoint
    meter: Sums = field(default_factory=Sums)


class _DivergenceError(Exception):
    pass


def _resume(run: StageRun, optimizer: Any) -> _State:
    with run.fabric.rank_zero_first():  # which moves a damaged file away before the others look
        saved = load_checkpoint(run.checkpoint, run.fingerprint, run.set_aside)
    if saved is None or saved["stage"] != run.number:
        return _State()
    load_state(run.members, saved["members"])
    optimizer.load_state_dict(saved["optimizer"])
    run.fabric.strategy.precision.load_state_dict(saved["precision"])
    run.record.rows[:] = saved["record"]
    run.snapshots[:] = saved["snapshots"]
    return _State(
        epoch=saved["epoch"],
        step=saved["step"],
        steps=saved["steps"],
        best_value=saved["best_value"],
        best=saved["best"],
        good=saved["members"],
        meter=Sums(**saved["meter"]),
    )


def _save(run: StageRun, optimizer: Any, state: _State) -> None:
    members = copied_state(run.members)
    if not all(value.isfinite().all() for value in members.values() if value.is_floating_point()):
        return  # the terms were finite and the weights no longer are: the next check of the terms reports it
    state.good = members
    if run.fabric.is_global_zero:
        save_checkpoint(
            run.checkpoint,
            {
                **{"recipe": run.fingerprint, "stage": run.number, "epoch": state.epoch, "step": state.step},
                **{"steps": state.steps, "best_value": state.best_value, "best": state.best},
                **{"members": members, "optimizer": optimizer.state_dict()},
                **{"precision": run.fabric.strategy.precision.state_dict()},
                **{"record": run.record.rows, "snapshots": run.snapshots, "meter": asdict(state.meter)},
            },
        )


def _train_epoch(
    run: StageRun,
    wrapped: Any,
    optimizer: Any,
    base_rates: list[float],
    schedule: Schedule,
    layout: torch.memory_format,
    state: _State,
) -> None:
    table = run.recipe.train
    order_n = epoch_order(run.stage, len(run.training.labels_N), run.seed, state.epoch)
    num_steps = len(order_n) // table.batch_size or 1
    if len(order_n) >= table.batch_size:
        order_n = order_n[: num_steps * table.batch_size]  # batch norm is never given a handful of images
    elif len(order_n) < 2:
        raise UserError(
            expected="batches of at least 2 images",
            found=f"{len(order_n)} image to train on",
            next_step="add images",
        )
    keys: tuple[str | int, ...] = (run.seed, run.stage.key, state.epoch)
    ranks, rank = run.fabric.world_size, run.fabric.global_rank
    if table.batch_size // ranks < 2:
        raise UserError(
            expected=f"at least 2 images of a batch for each of {ranks} devices",
            found=f"batches of {table.batch_size}",
            next_step=f"set `batch_size` to {2 * ranks} or more",
        )
    if ranks > 1:  # each device its own part of every batch
        whole = order_n[: num_steps * (table.batch_size // ranks) * ranks].reshape(num_steps, ranks, -1)
        order_n, keys = np.ascontiguousarray(whole[:, rank]).ravel(), (*keys, rank)
    run.members.train()
    meter = _Meter(run, state.meter)
    batches = run.training.batches(order_n, table.batch_size // ranks, keys, first=state.step)
    for loaded, labels in batches:
        epoch = state.epoch + state.step / num_steps
        images = loaded.contiguous(memory_format=layout)
        for group, rate in zip(optimizer.param_groups, base_rates, strict=True):
            group["lr"] = rate * schedule(epoch, table.epochs)
        seeds = [
            seed_of("dropout", run.seed, member, run.stage.key, state.epoch, state.step, rank)
            for member in run.stage.members
        ]
        last_of_sum = (state.step + 1) % table.accumulate == 0 or state.step + 1 == num_steps
        with run.fabric.no_backward_sync(wrapped, enabled=not last_of_sum and ranks > 1):
            outputs = wrapped(images, labels, run.loss.needs, seeds)
            teacher = run.teacher(images) if run.teacher is not None and "teacher" in run.loss.needs else None
            batch = TrainingBatch(
                outputs.logits_MNC, labels, outputs.maps_MNP, outputs.features_M, teacher, epoch
            )
            terms = run.loss(batch)
            run.fabric.backward(total(terms) / table.accumulate)
        meter.add(terms, outputs.logits_MNC.detach(), labels, state)
        if last_of_sum:
            if table.clip is not None:
                run.fabric.strategy.precision.unscale_gradients(optimizer.optimizer)
                for network in run.members.networks:
                    nn.utils.clip_grad_norm_(network.parameters(), table.clip)
            optimizer.step()
            optimizer.zero_grad()
        state.step += 1
        state.steps += 1
        meter.show(state, num_steps)
        if last_of_sum and state.steps % table.checkpoint_steps == 0 and state.step < num_steps:
            meter.check()
            _save(run, optimizer, state)
    meter.check()
    meter.write(state, state.epoch + 1.0, optimizer.param_groups[0]["lr"])
    state.meter = Sums()


def _finish_epoch(run: StageRun, optimizer: Any, state: _State) -> None:
    table = run.recipe.train
    state.epoch, state.step = state.epoch + 1, 0
    if run.validation is not None:
        value = validate(run, state)
        if value < state.best_value and table.keep == "best":
            state.best_value = value
            state.best = copied_state(run.members)
    if run.stage.snapshots and state.epoch % (table.epochs // run.stage.snapshots) == 0:
        run.snapshots.append(copied_state(run.members.networks[0]))
    _save(run, optimizer, state)
    if run.fabric.is_global_zero:
        run.on_record(run.record)


def validate(run: StageRun, state: _State) -> float:
    """Add rows of all members and of the average of their logits; give the ensemble's cross-entropy.

    Also the mean disagreement of two members: the share of images on which exactly one is right. Accepted
    labels of the data set count as right, as in studies; the cross-entropy is that of the label.
    """
    images = run.validation
    assert images is not None
    logits_MNC, labels_N = predict(run.members, images, run.recipe.train)
    right_MN = is_right(logits_MNC.argmax(-1), labels_N, images.accepted)
    ensemble_NC = logits_MNC.mean(0)

    def add(metric: str, value: float, member: str = "") -> None:
        run.record.add(run.number, float(state.epoch), state.steps, "validation", metric, value, member)

    def cross_entropy(logits_NC: Tensor) -> float:
        return nn.functional.cross_entropy(logits_NC, labels_N).item()

    for name, right_N, logits_NC in zip(run.names, right_MN, logits_MNC, strict=True):
        add("accuracy", right_N.float().mean().item(), name)
        add("cross_entropy", cross_entropy(logits_NC), name)
    ensemble_right_N = is_right(ensemble_NC.argmax(-1), labels_N, images.accepted)
    add("ensemble_accuracy", ensemble_right_N.float().mean().item())
    value = cross_entropy(ensemble_NC)
    add("ensemble_cross_entropy", value)
    if len(run.names) > 1:
        first, second = torch.triu_indices(len(right_MN), len(right_MN), 1, device=right_MN.device)
        add("disagreement", (right_MN[first] ^ right_MN[second]).float().mean().item())
    return value


@torch.no_grad()
def predict(members: Members, images: Images, table: TrainTable) -> tuple[Tensor, Tensor]:
    """Logits (M, N, C), float32, and labels of all images in their order; dropout off, no augmentation."""
    was_training = members.training
    members.eval()
    order = np.arange(len(images.labels_N), dtype=np.int64)
    logits, labels = [], []
    for batch, of_batch in images.batches(order, max(table.batch_size, 256), ()):
        logits.append(members(batch, of_batch).logits_MNC.float())
        labels.append(of_batch)
    members.train(was_training)
    return torch.cat(logits, 1), torch.cat(labels)


def rights(members: Members, images: Images, table: TrainTable) -> NDArray[np.bool_]:
    """Whether the first member is right on each image, (N,); accepted labels count."""
    logits_MNC, labels_N = predict(members, images, table)
    right_N = is_right(logits_MNC[0].argmax(-1), labels_N, images.accepted)
    right: NDArray[np.bool_] = right_N.cpu().numpy()
    return right


class _Meter:
    """Means of an epoch, read from the device now and then; finds the first term that diverged."""

    def __init__(self, run: StageRun, sums: Sums) -> None:
        self._run = run
        self._sums = sums
        self._every = 1 if run.fabric.device.type == "cpu" else CHECK_STEPS_ON_GPU
        self._pending: list[tuple[int, Tensor, Tensor]] = []
        self._names: list[str] = []
        self._images = self._steps = 0  # since the start or the resumption
        self._started = time.perf_counter()
        self._shown = 0.0

    def add(self, terms: Terms, logits_MNC: Tensor, labels_N: Tensor, state: _State) -> None:
        self._names = list(terms)
        values_T = torch.stack([term.detach().float() for term in terms.values()])
        right_M = (logits_MNC.argmax(-1) == labels_N).float().mean(1)
        self._pending.append((state.steps, values_T, right_M))
        self._images += len(labels_N)
        self._steps += 1
        if len(self._pending) >= self._every:
            self.check()

    def check(self) -> None:
        """Read what is pending.

        Raises:
            _DivergenceError: a term is not finite or too large.
        """
        limit = self._run.recipe.train.diverged_above
        for step, own_T, right_M in self._pending:
            values_T = self._run.fabric.all_reduce(own_T)  # so that all devices stop together
            values = values_T.tolist()
            for name, value in zip(self._names, values, strict=True):
                if not abs(value) <= limit:
                    raise _DivergenceError(f"{name} = {value:g} at step {step + 1}")
            self._sums.terms = _added(self._sums.terms, values)
            self._sums.right = _added(self._sums.right, right_M.tolist())
            self._sums.steps += 1
        self._pending.clear()

    def show(self, state: _State, num_steps: int) -> None:
        now = time.perf_counter()
        if now - self._shown < SECONDS_BETWEEN_SHOWS or not self._sums.steps:
            return
        self._shown = now
        epochs = self._run.recipe.train.epochs
        steps_left = (epochs - state.epoch) * num_steps - state.step
        self._run.on_progress(
            Progress(
                stage=self._run.number,
                epoch=state.epoch,
                epochs=epochs,
                step=state.step,
                num_steps=num_steps,
                terms=dict(zip(self._names, self._means(self._sums.terms), strict=True)),
                accuracy=self._means(self._sums.right),
                images_per_second=self._images / (now - self._started),
                seconds_left=steps_left * (now - self._started) / self._steps,
            )
        )

    def write(self, state: _State, epoch: float, rate: float) -> None:
        seconds = time.perf_counter() - self._started

        def add(metric: str, value: float, member: str = "") -> None:
            self._run.record.add(self._run.number, epoch, state.steps, "train", metric, value, member)

        means = self._means(self._sums.terms)
        for name, value in zip(self._names, means, strict=True):
            add(name, value)
        add("loss", sum(means))
        for name, value in zip(self._run.names, self._means(self._sums.right), strict=True):
            add("accuracy", value, name)
        add("learning_rate", rate)
        add("images_per_second", self._images / seconds)

    def _means(self, sums: list[float]) -> list[float]:
        return [value / self._sums.steps for value in sums]


def _added(sums: list[float], values: list[float]) -> list[float]:
    return [a + b for a, b in zip(sums, values, strict=True)] if sums else values
