"""What training together costs beside training alone, GNCL's penalty beside the Hessian, vmap beside a loop.

Run as `python -m benchmarks --only training`. Images are noise: no time depends on what is learnt. Seconds
are of processor time, on one thread that waits for nothing.
"""

from __future__ import annotations

import copy
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from benchmarks.timing import Row, forget_peak, peak_kibibytes, side_by_side
from nversion.core.randomness import forked_randomness
from nversion.losses import make_loss
from nversion.losses.consensus import predicted_logits
from nversion.losses.correlation import curvature_in_logits
from nversion.models import Preprocessing
from nversion.training import TrainingRecipe, parse_recipe
from nversion.training.images import InMemory
from nversion.training.loop import StageRun, train_stage
from nversion.training.members import Members
from nversion.training.record import Record
from nversion.training.small_networks import resnet
from nversion.training.strategies import Stage

NUM_MEMBERS, BATCH, NUM_STEPS, NUM_CLASSES, SIZE = 3, 64, 8, 43, 32
PENALTY_CLASSES = 1000
JOINT = (
    ("balanced", {"name": "balanced"}, 1 / 1.1),
    ("GNCL", {"name": "gncl"}, 1 / 1.1),
    ("Eq. 8", {"name": "attribution_variance"}, None),
    ("attribution_cosine", {"name": "attribution_cosine"}, None),
)


def run(repeats: int = 5) -> list[Row]:
    """Joint training under four losses, the penalty, and the vectorised members."""
    return [*joint_rows(repeats), penalty_row(repeats), *vectorised_rows(3 * repeats)]


# Together against one after the other


def joint_rows(repeats: int) -> list[Row]:
    """One epoch of the loop for three members, all that it does included, against three of one member."""
    images = InMemory(*_noise(BATCH * NUM_STEPS))
    everyone = tuple(range(NUM_MEMBERS))
    with tempfile.TemporaryDirectory() as folder:

        def alone() -> None:
            for position in everyone:
                epoch_of((position,), {"name": "independent"}, images, Path(folder))

        rows = []
        for name, loss, goal in JOINT:
            ours_s, alone_s = side_by_side(
                lambda loss=loss: epoch_of(everyone, loss, images, Path(folder)),  # type: ignore[misc]
                alone,
                repeats,
                time.process_time,
            )
            more = ours_s / alone_s - 1
            rows.append(
                Row(
                    name=f"{NUM_MEMBERS} members together, {name}",
                    ours_s=ours_s / NUM_STEPS,
                    baseline_s=alone_s / NUM_STEPS,
                    baseline="the same members one after the other, cross-entropy",
                    goal=None if goal is None else round(goal, 2),
                    note=(
                        f"a step of {BATCH} images of {SIZE}×{SIZE}, ResNet of 2.9 million MACs, AdaBelief, "
                        f"augmentation: {more:+.1%} time"
                        + ("; maps of all images, differentiated twice" if goal is None else ", limit +10 %")
                    ),
                )
            )
    return rows


def epoch_of(positions: Sequence[int], loss: dict[str, object], images: InMemory, folder: Path) -> None:
    """Train some of the members for one epoch through the loop that recipes use."""
    from lightning_fabric import Fabric

    recipe = _recipe(loss)
    with forked_randomness(0):
        networks = [resnet(NUM_CLASSES) for _ in positions]
    checkpoint = folder / f"{next(_NUMBERS)}.pt"
    train_stage(
        StageRun(
            fabric=Fabric(accelerator="cpu"),
            recipe=recipe,
            stage=Stage(tuple(positions), "shared"),
            number=0,
            seed=0,
            members=Members(networks, [_PREPROCESSING] * len(networks), recipe.maps),
            names=[f"member {position}" for position in positions],
            loss=make_loss(loss),
            training=images,
            validation=None,
            teacher=None,
            checkpoint=checkpoint,
            fingerprint="",
            record=Record(),
        )
    )
    checkpoint.unlink()


_NUMBERS = count()
_PREPROCESSING = Preprocessing(SIZE, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def _recipe(loss: dict[str, object]) -> TrainingRecipe:
    content = {
        "train": {"name": "benchmark", "epochs": 1, "batch_size": BATCH},
        "data": {"train": {"source": "digits"}},
        "members": [{"arch": "python:nversion.training.small_networks:build"}],
        "optimizer": {"name": "adabelief"},
        "loss": loss,
    }
    return parse_recipe(content, "a benchmark")["benchmark"]


def _noise(num_images: int) -> tuple[Tensor, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (num_images, 3, SIZE, SIZE), dtype=np.uint8)
    return torch.from_numpy(images), rng.integers(0, NUM_CLASSES, num_images)


# The quadratic form against the matrix


def penalty_row(repeats: int) -> Row:
    """GNCL's penalty, forward and backward, at as many classes as ImageNet has."""
    logits_MNC = _logits()
    penalties = {"ours": curvature_in_logits, "Hessian": by_hessian}
    ours_s, hessian_s = side_by_side(
        lambda: _backward(curvature_in_logits, logits_MNC),
        lambda: _backward(by_hessian, logits_MNC),
        repeats,
        time.process_time,
    )
    peak = {name: peak_mebibytes(name) for name in penalties}
    return Row(
        name="GNCL's penalty, forward and backward",
        ours_s=ours_s,
        baseline_s=hessian_s,
        baseline="diag(q) − q q' built for each sample, d'Dd by it",
        goal=50.0,
        note=(
            f"{NUM_MEMBERS} members, {BATCH} samples, {PENALTY_CLASSES} classes; peak memory beside "
            f"logits and imports {peak['ours']:.1f} MiB against {peak['Hessian']:.0f} MiB"
        ),
    )


def by_hessian(logits_MNC: Tensor, ensemble_NC: Tensor) -> Tensor:
    """d'Dd of all members with D as a matrix for each sample, in three batched operations: (M, N)."""
    q_NC = ensemble_NC.softmax(-1)
    hessian_NCC = torch.diag_embed(q_NC) - q_NC[:, :, None] * q_NC[:, None, :]
    difference_NMC = (logits_MNC - ensemble_NC).transpose(0, 1)
    return ((difference_NMC @ hessian_NCC) * difference_NMC).sum(-1).T


def _backward(curvature: Callable[[Tensor, Tensor], Tensor], logits_MNC: Tensor) -> None:
    logits_MNC.grad = None
    curvature(logits_MNC, predicted_logits(logits_MNC, "average")).mean().backward()  # type: ignore[no-untyped-call]


def _logits() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (NUM_MEMBERS, BATCH, PENALTY_CLASSES)
    return torch.randn(shape, generator=generator).mul_(3).requires_grad_()


def peak_mebibytes(which: str) -> float:
    """Peak memory of one penalty in a process of its own, beyond what a call on one sample has taken."""
    command = [sys.executable, "-m", "benchmarks.training", "--peak", which]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def _print_peak(which: str) -> None:
    torch.set_num_threads(1)
    logits_MNC = _logits()
    curvature = curvature_in_logits if which == "ours" else by_hessian
    _backward(curvature, logits_MNC[:, :1].detach().requires_grad_())
    forget_peak()
    started = peak_kibibytes()
    _backward(curvature, logits_MNC)
    print((peak_kibibytes() - started) / 1024)


# Members of one architecture as one batched network


def perceptron() -> nn.Module:
    """20 000 learned values on 8×8 pixels."""
    layers = [nn.AvgPool2d(4), nn.Flatten(), nn.Linear(192, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(64, NUM_CLASSES))


def group_normalised() -> nn.Module:
    """Three convolutions with group norm, 16 to 64 channels."""
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(before, after, 3, 2, 1), nn.GroupNorm(4, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, NUM_CLASSES))


def vectorised_rows(repeats: int) -> list[Row]:
    """Forward and backward of three members by `torch.func`, against one after the other."""
    rows = []
    for make in (perceptron, group_normalised):
        for batch in (8, BATCH):
            with forked_randomness(0):
                networks = [make() for _ in range(NUM_MEMBERS)]
                images_N3HW = torch.rand(batch, 3, SIZE, SIZE)
            labels_N = torch.arange(batch) % NUM_CLASSES
            both = _vectorised_and_loop(networks, images_N3HW, labels_N)
            vectorised_s, loop_s = side_by_side(*both, repeats, time.process_time)
            what = make.__name__.replace("_", " ")
            rows.append(
                Row(
                    name=f"{NUM_MEMBERS} members under vmap, {what}, batch {batch}",
                    ours_s=vectorised_s,
                    baseline_s=loop_s,
                    baseline="a loop over the members, which is what trains",
                    note="vmap is not used: see docs/results/training-benchmarks.md",
                )
            )
    return rows


def _vectorised_and_loop(
    networks: list[nn.Module], images_N3HW: Tensor, labels_N: Tensor
) -> tuple[Callable[[], None], Callable[[], None]]:
    parameters, buffers = stack_module_state(networks)
    skeleton = copy.deepcopy(networks[0]).to("meta")

    def one(own: dict[str, Tensor], own_buffers: dict[str, Tensor], images: Tensor) -> Tensor:
        logits: Tensor = functional_call(skeleton, (own, own_buffers), (images,))
        return logits

    def step(forward: Callable[[], Tensor], leaves: Sequence[Tensor]) -> None:
        for leaf in leaves:
            leaf.grad = None
        logits_MNC = forward()
        labels = labels_N.repeat(len(networks))
        F.cross_entropy(logits_MNC.flatten(0, 1), labels).backward()  # type: ignore[no-untyped-call]

    stacked = list(parameters.values())
    separate = [parameter for network in networks for parameter in network.parameters()]
    return (
        lambda: step(lambda: vmap(one, (0, 0, None))(parameters, buffers, images_N3HW), stacked),
        lambda: step(lambda: torch.stack([network(images_N3HW) for network in networks]), separate),
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        _print_peak(sys.argv[2])
    else:
        for row in run():
            print(f"{row.name}: {row.ours_s:.4f} s against {row.baseline_s:.4f} s ({row.baseline})")
            print(f"  ratio {row.ratio:.2f}, goal {row.goal}; {row.note}")
