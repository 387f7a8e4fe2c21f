"""A plain supervised trainer for small classifiers whose images fit in memory.

AdamW with a one-cycle learning rate, cross-entropy (or a loss of your own) and shifts by a few pixels.
All randomness follows from one seed: the order of the images and the shifts from a generator, dropout
and stochastic depth, which can only draw from torch's global generator, from a forked one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nversion.core import UserError, spans
from nversion.losses.distillation import imitation

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(logits_NC, labels_N, images_N3HW in [0, 1]) to a scalar."""


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training images gave; loss and accuracy are means over its steps' batches.

    Attributes:
        number: 1 for the first.
        loss: mean loss per image, as seen while training: shifted images, dropout on.
        accuracy: fraction of these images that were right.
        seconds: wall clock of this epoch.
    """

    number: int
    loss: float
    accuracy: float
    seconds: float


@contextmanager
def forked_randomness(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed torch's global generators inside the block and give them back untouched after it.

    Construction of modules, dropout and stochastic depth accept no generator of their own; this is
    the way to make them a function of `seed` without an effect on the caller's random state.

    >>> with forked_randomness(3):
    ...     first = nn.Linear(2, 2).weight
    >>> with forked_randomness(3):
    ...     again = nn.Linear(2, 2).weight
    >>> torch.equal(first, again)
    True
    """
    device = torch.device(device)
    accelerators = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=accelerators):
        # torch.manual_seed would also seed accelerators that are not forked here.
        torch.default_generator.manual_seed(seed)
        if accelerators:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def shift(images_N3HW: Tensor, down_N: Tensor, right_N: Tensor) -> Tensor:
    """Every image moved by its own whole number of pixels; the border pixels are repeated.

    >>> image_1311 = torch.tensor([1, 2, 3]).reshape(1, 1, 1, 3)
    >>> shift(image_1311, torch.tensor([0]), torch.tensor([1])).flatten().tolist()
    [1, 1, 2]
    """
    num_images, num_channels, height, width = images_N3HW.shape
    device = images_N3HW.device
    rows_NH = (torch.arange(height, device=device) - down_N[:, None]).clamp(0, height - 1)
    columns_NW = (torch.arange(width, device=device) - right_N[:, None]).clamp(0, width - 1)
    return images_N3HW[
        torch.arange(num_images, device=device)[:, None, None, None],
        torch.arange(num_channels, device=device)[:, None, None],
        rows_NH[:, None, :, None],
        columns_NW[:, None, None, :],
    ]


def distillation(teacher: nn.Module, *, temperature: float = 3.0, weight: float = 0.7) -> Loss:
    """The loss of Hinton, Vinyals and Dean (2015): imitate the teacher's softened probabilities.

    weight · T² · KL(softmax(teacher / T) ‖ softmax(student / T)) + (1 - weight) · cross-entropy.

    Args:
        teacher: maps float images in [0, 1] to logits, is used as it stands (put it in eval mode).
        temperature: T, above 0.
        weight: of the imitation, in [0, 1].
    """

    def loss(logits_NC: Tensor, labels_N: Tensor, images_N3HW: Tensor) -> Tensor:
        with torch.no_grad():
            teacher_NC = teacher(images_N3HW)
        imitated = imitation(logits_NC, teacher_NC, temperature)
        return weight * imitated + (1 - weight) * F.cross_entropy(logits_NC, labels_N)

    return loss


def train_classifier(
    module: nn.Module,
    images_N3HW: Tensor,
    labels_N: Tensor,
    *,
    num_classes: int,
    epochs: int,
    batch_size: int = 64,
    learning_rate: float = 3e-3,
    weight_decay: float = 0.05,
    max_shift: int = 2,
    label_smoothing: float = 0.0,
    loss: Loss | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Callable[[Epoch], None] | None = None,
) -> tuple[Epoch, ...]:
    """Train `module` in place and leave it on `device` in eval mode.

    The same arguments on the same machine with the same number of threads give the same weights to
    the byte on a CPU; on an accelerator, where every kernel of the module is deterministic. Peak
    memory beside the module's own: the uint8 images once on `device`, and one batch of floats.

    Args:
        module: maps float images in [0, 1] to logits_NC; its normalisation is its own part, as in
            a `Classifier`. Its initial weights are the caller's (see `forked_randomness`).
        images_N3HW: uint8.
        labels_N: int64 in [0, num_classes).
        batch_size: the last, smaller batch of an epoch is left out, so that batch norm never sees
            a handful of images; another part of the images is left out in every epoch.
        learning_rate: the peak of the one cycle.
        max_shift: images move by up to so many pixels in each direction; 0 for none.
        label_smoothing: of the cross-entropy; not used by a `loss` of your own.
        loss: cross-entropy if None.
        progress: called after every epoch.

    Returns:
        One `Epoch` per pass.

    Raises:
        UserError: images and labels do not fit, or a loss is not finite (found at the epoch's end,
            so that an accelerator is not made to wait at every step; the module is then spoilt).
    """
    _check(images_N3HW, labels_N, num_classes, epochs)
    device = torch.device(device)
    loss = loss or _cross_entropy(label_smoothing)
    draws = torch.Generator().manual_seed(seed)
    images_N3HW, labels_N = images_N3HW.to(device), labels_N.to(device)
    num_images = len(images_N3HW)
    length = min(batch_size, num_images)
    num_steps = num_images // length
    module.to(device).train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=learning_rate,
        total_steps=epochs * num_steps,
        pct_start=0.3,  # with 0.25 OneCycleLR divides by zero when there are four steps
    )
    history: list[Epoch] = []
    with forked_randomness(seed, device):
        for number in range(1, epochs + 1):
            started = time.perf_counter()
            order_N = torch.randperm(num_images, generator=draws)
            moves_2N = torch.randint(-max_shift, max_shift + 1, (2, num_images), generator=draws)
            losses_S = torch.zeros(num_steps, device=device)
            num_right = torch.zeros((), dtype=torch.int64, device=device)
            for step, (start, stop) in enumerate(spans(num_steps * length, length)):
                index_n = order_N[start:stop].to(device)
                down_n, right_n = moves_2N[:, start:stop].to(device)
                batch_n3HW = shift(images_N3HW[index_n], down_n, right_n).float() / 255
                logits_nC = module(batch_n3HW)
                step_loss = loss(logits_nC, labels_N[index_n], batch_n3HW)
                optimizer.zero_grad()
                step_loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                losses_S[step] = step_loss.detach()
                num_right += (logits_nC.detach().argmax(dim=1) == labels_N[index_n]).sum()
            _check_finite(losses_S, num_steps * (number - 1))
            epoch = Epoch(
                number=number,
                loss=losses_S.mean().item(),
                accuracy=num_right.item() / (num_steps * length),
                seconds=time.perf_counter() - started,
            )
            history.append(epoch)
            if progress:
                progress(epoch)
    module.eval()
    return tuple(history)


@torch.no_grad()
def accuracy(module: nn.Module, images_N3HW: Tensor, labels_N: Tensor, *, batch_size: int = 256) -> float:
    """The fraction of uint8 images that `module`, as it stands, gets right."""
    device = next(module.parameters()).device
    num_right = torch.zeros((), dtype=torch.int64, device=device)
    for start, stop in spans(len(images_N3HW), batch_size):
        logits_nC = module(images_N3HW[start:stop].to(device).float() / 255)
        num_right += (logits_nC.argmax(dim=1) == labels_N[start:stop].to(device)).sum()
    return num_right.item() / len(images_N3HW)


def _cross_entropy(label_smoothing: float) -> Loss:
    def loss(logits_NC: Tensor, labels_N: Tensor, images_N3HW: Tensor) -> Tensor:
        return F.cross_entropy(logits_NC, labels_N, label_smoothing=label_smoothing)

    return loss


def _check(images_N3HW: Tensor, labels_N: Tensor, num_classes: int, epochs: int) -> None:
    if images_N3HW.dtype != torch.uint8 or images_N3HW.ndim != 4 or images_N3HW.shape[1] != 3:
        raise UserError(
            expected="uint8 images of shape (N, 3, height, width)",
            found=f"{images_N3HW.dtype} of shape {tuple(images_N3HW.shape)}",
            next_step="render the data set with Canonical and stack the images",
        )
    if len(images_N3HW) != len(labels_N) or len(labels_N) == 0:
        raise UserError(
            expected="one label for every training image, and at least one image",
            found=f"{len(images_N3HW)} images and {len(labels_N)} labels",
            next_step="pass images and labels of the same samples",
        )
    lowest, highest = int(labels_N.min()), int(labels_N.max())
    if lowest < 0 or highest >= num_classes:
        raise UserError(
            expected=f"labels from 0 to {num_classes - 1}",
            found=f"labels from {lowest} to {highest}",
            next_step="check num_classes and the label space of the data set",
        )
    if epochs < 1:
        raise UserError(expected="at least one epoch", found=str(epochs), next_step="pass epochs=1 or more")


def _check_finite(losses_S: Tensor, steps_before: int) -> None:
    broken_S = ~losses_S.isfinite()
    if broken_S.any():
        step = int(broken_S.to(torch.uint8).argmax())
        raise UserError(
            expected="a finite loss at every training step",
            found=f"{losses_S[step].item()} at step {steps_before + step + 1}",
            next_step="lower the learning rate, or check the images and the loss",
        )
