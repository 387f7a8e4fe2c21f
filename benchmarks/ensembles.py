"""Every ensemble of 14 models against a loop over ensembles, and the memory it takes.

`python -m benchmarks.ensembles [LOGITS.npz]` prints the rows. The file holds `logits_MNC` (any float type)
and `labels_N`; without one the logits are synthetic (see `synthetic`).
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.timing import Row, side_by_side
from nversion.ensembles import CONSENSUS, Chunk, Ensembles, evaluate_sizes

NUM_BLOCKS = 50
NUM_MODELS, NUM_CLASSES = 14, 1000
PEAK_SAMPLES = (1000, 4000)


def run(logits: Path | None = None, repeats: int = 3) -> list[Row]:
    """Averaging triples and all sizes from two to five, votes and medians of triples; the peak memory."""
    if logits is None:
        logits_MNC, labels_N = synthetic(400, seed=0)
        source = "synthetic logits"
    else:
        stored = np.load(logits)
        logits_MNC = torch.from_numpy(stored["logits_MNC"]).float()
        labels_N = torch.from_numpy(stored["labels_N"])
        source = "real logits"
    num_models, num_samples, num_classes = logits_MNC.shape
    triples = [Ensembles.all_of(num_models, 3)]
    all_sizes = [Ensembles.all_of(num_models, size) for size in (2, 3, 4, 5)]
    peaks = [peak_mebibytes(n) for n in PEAK_SAMPLES]
    memory = "; ".join(
        f"N = {n}: {extra} MiB beside the interpreter, {total} MiB in all"
        for n, (extra, total) in zip(PEAK_SAMPLES, peaks, strict=True)
    )
    rows = []
    for name, ensembles, goal in (
        ("average", triples, 10.0),
        ("average", all_sizes, 40.0),
        ("probability", triples, None),
        ("median", triples, None),
        ("vote", triples, None),
    ):
        count = sum(len(of_size) for of_size in ensembles)
        ours_s, baseline_s = side_by_side(
            lambda n=name, e=ensembles: ours(n, e, logits_MNC, labels_N),  # type: ignore[misc]
            lambda n=name, e=ensembles: loop(n, e, logits_MNC, labels_N),  # type: ignore[misc]
            repeats,
        )
        rows.append(
            Row(
                f"{name} of all {count} ensembles",
                ours_s,
                baseline_s,
                "a loop over ensembles in torch",
                goal,
                f"{num_models} models × {num_samples} samples × {num_classes} classes, {source}, "
                f"{torch.get_num_threads()} thread(s)"
                + (f"; peak memory: {memory}" if ensembles is all_sizes else ""),
            )
        )
    return rows


def ours(name: str, ensembles: list[Ensembles], logits_MNC: Tensor, labels_N: Tensor) -> list[Tensor]:
    """The accuracies of every ensemble, by size."""
    blocks_N = torch.arange(len(labels_N)) * NUM_BLOCKS // len(labels_N)
    chunk = Chunk(0, logits_MNC, labels_N, blocks_N)
    return [result[name].accuracy.full_E for result in evaluate_sizes([chunk], ensembles, [name], NUM_BLOCKS)]


def loop(name: str, ensembles: list[Ensembles], logits_MNC: Tensor, labels_N: Tensor) -> list[Tensor]:
    """The same, one ensemble after the other; members' values are computed once."""
    rule = CONSENSUS[name]
    values_MNC = rule.member_values(logits_MNC)  # type: ignore[attr-defined]
    mean = rule.is_mean  # type: ignore[attr-defined]
    accuracies = []
    for of_size in ensembles:
        right = []
        for members in of_size.members_EK.tolist():
            values_KNC = values_MNC[members]
            scores_NC = values_KNC.mean(0) if mean else values_KNC.median(0).values
            right.append((scores_NC.argmax(-1) == labels_N).double().mean())
        accuracies.append(torch.stack(right))
    return accuracies


def synthetic(num_samples: int, seed: int) -> tuple[Tensor, Tensor]:
    """Logits of models that are right on about four of five samples and agree more than by chance.

    A sample has a label, a difficulty and 1000 plausibilities that all models see (normal, deviation 2);
    each adds noise of its own (deviation 1.5) and stands in its own scale.
    """
    generator = torch.Generator().manual_seed(seed)
    labels_N = torch.randint(0, NUM_CLASSES, (num_samples,), generator=generator)
    shared_NC = torch.randn(num_samples, NUM_CLASSES, generator=generator) * 2
    bonus_N = 10 + 4 * torch.randn(num_samples, generator=generator)
    shared_NC[torch.arange(num_samples), labels_N] += bonus_N
    own_MNC = torch.randn(NUM_MODELS, num_samples, NUM_CLASSES, generator=generator) * 1.5
    scale_M11 = 0.5 + 1.5 * torch.rand(NUM_MODELS, 1, 1, generator=generator)
    return (shared_NC + own_MNC) * scale_M11, labels_N


def peak_mebibytes(num_samples: int) -> tuple[int, int]:
    """Peak memory of evaluating all 3458 ensembles in a process of its own: beyond its start, and in all."""
    command = [sys.executable, "-m", "benchmarks.ensembles", "--peak", str(num_samples)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(answer[-2]), int(answer[-1])


def _print_peak(num_samples: int) -> None:
    def chunks() -> Iterator[Chunk]:
        for start in range(0, num_samples, 200):
            logits_MNC, labels_N = synthetic(200, seed=start)
            yield Chunk(start, logits_MNC, labels_N, (start + torch.arange(200)) * NUM_BLOCKS // num_samples)

    ensembles = [Ensembles.all_of(NUM_MODELS, size) for size in (2, 3, 4, 5)]
    started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    evaluate_sizes(chunks(), ensembles, ["average", "median", "vote"], NUM_BLOCKS)
    ended = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print((ended - started) >> 10, ended >> 10)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        _print_peak(int(sys.argv[2]))
    else:
        for row in run(Path(sys.argv[1]) if len(sys.argv) > 1 else None):
            goal = "" if row.goal is None else f" (goal {row.goal:g})"
            print(f"{row.name}: {row.ratio:.1f} times{goal}, {row.ours_s:.3f} s; {row.note}")
