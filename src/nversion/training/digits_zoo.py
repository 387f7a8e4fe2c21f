"""The demo's model pool: train what a folder lacks, and name it for a study.

A member's weights follow from the images, the seed and its name alone: each is trained on one thread
with a random state of its own, so a pool has the same bytes whether it was trained in one go or
resumed, by one process or by several, on an idle machine or a busy one. One thread per member is
also quicker than several for networks this small, as soon as anything else runs.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nversion.core import UserError, fingerprint, fingerprint_file, usable_cores, write_text
from nversion.losses import distillation as distillation_loss
from nversion.models import Classifier, Lineage, Preprocessing, load_classifier, save_weights

from . import digits_networks, plain
from .digits_networks import ARCHITECTURE, INPUT_SIZE, NUM_CLASSES, PREPROCESSING, ZOO, build
from .plain import Epoch, accuracy, distillation, forked_randomness, train_classifier

__all__ = ["INPUT_SIZE", "NUM_CLASSES", "ZOO", "Progress", "Trained", "build", "pool_specs", "train_pool"]

LABEL_SPACE = "digits"
TRAINING_DATA = "digits train half"
_PREPROCESSING = Preprocessing(**PREPROCESSING)
_CODE = (digits_networks, plain, distillation_loss)  # which the weights depend on

Progress = Callable[[str, Epoch, int], None]
"""Called after every epoch with the member's name, the epoch and the number of epochs."""


@dataclass(frozen=True)
class Trained:
    """A finished member; `seconds` is what its training took, also if an earlier call trained it."""

    name: str
    path: Path
    num_parameters: int
    train_accuracy: float
    seconds: float
    resumed: bool


@dataclass(frozen=True)
class _Task:
    """Everything that the weights of one member depend on, and where they go."""

    name: str
    images_N3HW: Tensor
    labels_N: Tensor
    data: str
    seed: int
    epochs: int
    folder: Path


def pool_specs(folder: Path, names: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The `[[models]]` tables of a study over the pool that `train_pool` left in `folder`.

    Preprocessing and seed stand in the weight files.

    >>> spec = pool_specs(Path("models"))[0]
    >>> spec["source"], spec["family"], spec["training"]
    ('file:models/resnet.safetensors', 'ResNet', 'supervised')
    """
    return [
        {
            "source": f"file:{(folder / name).as_posix()}.safetensors",
            "name": name,
            "family": ZOO[name].family,
            "training": ZOO[name].training,
            "label_space": LABEL_SPACE,
            "architecture": _architecture(name),
            "training_data": TRAINING_DATA,
        }
        | ({"teacher": teacher} if (teacher := ZOO[name].teacher) else {})
        for name in names or ZOO
    ]


def _architecture(name: str) -> str:
    """The member of the same network that has no teacher, where there is one."""
    same = [other for other in ZOO if ZOO[other].construct is ZOO[name].construct]
    return min(same, key=lambda other: ZOO[other].teacher is not None)


def train_pool(
    images_N3HW: Tensor,
    labels_N: Tensor,
    seed: int,
    folder: Path,
    progress: Progress | None = None,
    *,
    names: Sequence[str] | None = None,
    epochs: int | None = None,
    workers: int | None = None,
) -> list[Trained]:
    """Train every member that `folder` lacks and write NAME.safetensors and the card NAME.json there.

    A member is kept, not trained, when its card says the same recipe, seed, data, code and library
    versions, and its weights are the bytes that the card was written for.

    Args:
        images_N3HW: uint8, 32×32.
        labels_N: int64 in 0..9.
        progress: is not called for members that are kept.
        names: some members of `ZOO`; all if None. A distilled one needs its teacher among them.
        epochs: instead of each recipe's own number, for a quick trial.
        workers: processes that train; one per available CPU, at most 4, if None. With 1 everything
            happens in this process. More start by `spawn`: a script that calls this needs the usual
            `if __name__ == "__main__":`.

    Returns:
        The members in the order of `names`.

    Raises:
        UserError: the images are not 32×32, a name is unknown, a teacher is missing, a training
            diverges or a process is killed. Members that were finished are kept, and those under way
            unless a process was killed.
    """
    names = list(ZOO) if names is None else list(names)
    _check(images_N3HW, names)
    data = fingerprint([images_N3HW.numpy(), labels_N.numpy()])
    tasks = {
        name: _Task(name, images_N3HW, labels_N, data, seed, epochs or ZOO[name].epochs, folder)
        for name in sorted(names, key=lambda name: ZOO[name].teacher is not None)  # teachers first
    }
    done: dict[str, Trained] = {}
    for name, task in tasks.items():
        if _teacher_ready(name, done) and (finished := _finished(task)) is not None:
            done[name] = finished
    missing = [task for name, task in tasks.items() if name not in done]
    workers = min(workers or min(4, usable_cores()), len(missing))
    if workers > 1:
        done |= _train_in_processes(missing, workers, progress)
    else:
        for task in missing:
            done[task.name] = _train_member(task, progress)
    return [done[name] for name in names]


def _check(images_N3HW: Tensor, names: list[str]) -> None:
    if tuple(images_N3HW.shape[1:]) != (3, INPUT_SIZE, INPUT_SIZE):
        raise UserError(
            expected=f"images of shape (N, 3, {INPUT_SIZE}, {INPUT_SIZE})",
            found=str(tuple(images_N3HW.shape)),
            next_step=f"render them with Canonical(size={INPUT_SIZE})",
        )
    for name in names:
        teacher = ZOO[name].teacher
        if teacher and teacher not in names:
            raise UserError(
                expected=f"the teacher {teacher!r} of {name!r} among the members",
                found=", ".join(names),
                next_step=f"add {teacher!r}, or leave out {name!r}",
            )


def _teacher_ready(name: str, done: dict[str, Trained]) -> bool:
    teacher = ZOO[name].teacher
    return teacher is None or teacher in done


def _train_member(task: _Task, progress: Progress | None) -> Trained:
    recipe = ZOO[task.name]
    own_seed = int(fingerprint(["digits zoo", task.name, task.seed])[:8], 16)
    with _one_thread():
        with forked_randomness(own_seed):
            module, _ = build(task.name)
        whole = _Prepared(module)
        loss = distillation(_teacher(task, recipe.teacher)) if recipe.teacher else None
        started = time.perf_counter()
        train_classifier(
            whole,
            task.images_N3HW,
            task.labels_N,
            num_classes=NUM_CLASSES,
            epochs=task.epochs,
            learning_rate=recipe.learning_rate,
            max_shift=recipe.max_shift,
            loss=loss,
            seed=own_seed,
            progress=None if progress is None else lambda epoch: progress(task.name, epoch, task.epochs),
        )
        seconds = time.perf_counter() - started
        train_accuracy = accuracy(whole, task.images_N3HW, task.labels_N)
    path = _weights_path(task.folder, task.name)
    save_weights(
        path,
        module,
        arch=ARCHITECTURE,
        preprocessing=_PREPROCESSING,
        label_space=LABEL_SPACE,
        args={"name": task.name},
        training=recipe.training,
        lineage=Lineage(
            _architecture(task.name),
            teacher=recipe.teacher or "",
            training_data=(TRAINING_DATA,),
            seed=task.seed,
        ),
    )
    card = _plan(task) | {
        "num_parameters": sum(p.numel() for p in module.parameters()),
        "train_accuracy": train_accuracy,
        "seconds": round(seconds, 2),
        "weights": fingerprint_file(path),
    }
    # Last: a card stands for finished weights.
    write_text(path.with_suffix(".json"), json.dumps(card, indent=2) + "\n")
    return _trained(path, card, resumed=False)


def _plan(task: _Task) -> dict[str, Any]:
    """The part of a member's card that is known before training; equal plans give equal weights."""
    recipe = ZOO[task.name]
    return {
        "name": task.name,
        "family": recipe.family,
        "training": recipe.training,
        "teacher": recipe.teacher
        and {"name": recipe.teacher, "weights": fingerprint_file(_weights_path(task.folder, recipe.teacher))},
        "architecture": ARCHITECTURE,
        "label_space": LABEL_SPACE,
        "preprocessing": _PREPROCESSING.to_dict(),
        "seed": task.seed,
        "epochs": task.epochs,
        "learning_rate": recipe.learning_rate,
        "max_shift": recipe.max_shift,
        "data": task.data,
        "code": fingerprint([fingerprint_file(Path(module.__file__ or "")) for module in _CODE]),
        "versions": {package: version(package) for package in ("torch", "torchvision", "timm")},
    }


def _finished(task: _Task) -> Trained | None:
    path = _weights_path(task.folder, task.name)
    try:
        card = json.loads(path.with_suffix(".json").read_text())
        if card.items() >= _plan(task).items() and card["weights"] == fingerprint_file(path):
            return _trained(path, card, resumed=True)
    except (FileNotFoundError, ValueError, AttributeError, KeyError):
        return None  # no card, or none of ours: the member is trained and gets a right one
    return None


def _trained(path: Path, card: dict[str, Any], *, resumed: bool) -> Trained:
    return Trained(path.stem, path, card["num_parameters"], card["train_accuracy"], card["seconds"], resumed)


def _weights_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"


def _teacher(task: _Task, name: str) -> Classifier:
    return load_classifier({"source": f"file:{_weights_path(task.folder, name).resolve()}", "name": name})


class _Prepared(nn.Module):
    """Images in [0, 1] to logits, trainable, where a `Classifier` is frozen."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images_N3HW: Tensor) -> Tensor:
        logits_NC: Tensor = self.module(_PREPROCESSING(images_N3HW))
        return logits_NC


@contextmanager
def _one_thread() -> Iterator[None]:
    # Sums are split by the number of threads, so that number would show in the last bits of the weights.
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


def _train_in_processes(tasks: list[_Task], workers: int, progress: Progress | None) -> dict[str, Trained]:
    """Train in spawned processes; a student starts when its teacher is done."""
    context = multiprocessing.get_context("spawn")
    epochs = context.SimpleQueue()
    waiting = {task.name: task for task in tasks}
    being_trained = set(waiting)
    running: set[Future[Trained]] = set()
    done: dict[str, Trained] = {}
    with ProcessPoolExecutor(workers, context, _start_worker, (epochs,)) as pool:
        try:
            while waiting or running:
                for name in list(waiting):
                    if ZOO[name].teacher not in being_trained - set(done):
                        running.add(pool.submit(_train_in_worker, waiting.pop(name)))
                finished, running = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
                _pass_on(epochs, progress)
                done |= {future.result().name: future.result() for future in finished}
        except BrokenProcessPool as error:
            raise UserError(
                expected=f"{workers} processes that train to their end",
                found="one that was ended from outside, as a system short of memory does",
                next_step="free some memory and run again: finished members are kept, the others are trained",
            ) from error
        except BaseException:
            pool.shutdown(cancel_futures=True)  # what is under way ends and is kept
            raise
        _pass_on(epochs, progress)
    return done


def _pass_on(epochs: Any, progress: Progress | None) -> None:
    while not epochs.empty():
        report = epochs.get()
        if progress:
            progress(*report)


_epochs_of_worker: Any = None


def _start_worker(epochs: Any) -> None:
    global _epochs_of_worker  # noqa: PLW0603 - a queue reaches a worker only through its initializer
    _epochs_of_worker = epochs
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer


def _train_in_worker(task: _Task) -> Trained:
    return _train_member(task, lambda *report: _epochs_of_worker.put(report))
