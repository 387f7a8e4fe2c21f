"""Every right/wrong metric of every triple of 14 models, against DESlib's functions in a loop over triples.

Run as `python -m benchmarks.failures`. Ours gives more than DESlib has: a sixth pairwise metric, six that
are not pairwise, and every value again without each of 50 blocks of samples.
"""

from __future__ import annotations

import importlib.util
import itertools
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.timing import Row, forget_peak, median_seconds, peak_kibibytes, side_by_side
from nversion.diversity import (
    FailureCounts,
    PairCounts,
    ensemble_mean,
    evaluate_failures,
    metrics_of,
)
from nversion.ensembles import Ensembles

NUM_MODELS, NUM_SAMPLES, SIZE, NUM_BLOCKS = 14, 50_000, 3, 50
TIMED_TRIPLES = 4
GOAL = 200.0

Metric = Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], float]
Values = dict[str, tuple[Tensor, Tensor]]
"""By metric: on all samples, and without each block."""


def run(repeats: int = 3) -> list[Row]:
    """All metrics together: against DESlib, against NumPy; other sizes and the worst case alone."""
    right_MN, blocks_N = synthetic(NUM_MODELS, NUM_SAMPLES, shared=0.8)
    triples = Ensembles.all_of(NUM_MODELS, SIZE)
    sizes = f"{NUM_MODELS} models × {NUM_SAMPLES} samples, {len(triples)} triples"
    limit = (
        f"{_num_patterns(right_MN, blocks_N)} different (block, right/wrong) patterns; "
        f"peak memory {peak_mebibytes()} MiB beside data and interpreter"
    )
    rows = [_against_deslib(right_MN, blocks_N, triples, f"{sizes}; {limit}", repeats)]

    independent_MN, _ = synthetic(NUM_MODELS, NUM_SAMPLES, shared=0.0)
    forty_MN, _ = synthetic(40, NUM_SAMPLES, shared=0.8)
    for name, of_MN, ensembles, times in (
        ("the same", right_MN, triples, repeats),
        ("the same, models fail independently", independent_MN, triples, repeats),
        ("2002 ensembles of five", right_MN, Ensembles.all_of(NUM_MODELS, 5), 1),
        ("2000 triples of 40 models", forty_MN, Ensembles.sample(40, SIZE, 2000, seed=0), 1),
    ):
        rows.append(_against_numpy(name, of_MN, blocks_N, ensembles, times))
    return rows


def _against_numpy(name: str, right_MN: Tensor, blocks_N: Tensor, ensembles: Ensembles, repeats: int) -> Row:
    ours_s, baseline_s = side_by_side(
        lambda: ours(right_MN, blocks_N, ensembles),
        lambda: numpy_loop(right_MN, blocks_N, ensembles),
        repeats,
    )
    difference = largest_difference(
        ours(right_MN, blocks_N, ensembles), numpy_loop(right_MN, blocks_N, ensembles)
    )
    return Row(
        name,
        ours_s,
        baseline_s,
        "NumPy: counts in a loop over ensembles, then our formulas; with replicates",
        None,
        f"{_num_patterns(right_MN, blocks_N)} patterns; values differ by at most {difference:.1g}",
    )


def ours(right_MN: Tensor, blocks_N: Tensor, ensembles: Ensembles) -> Values:
    """Every registered right/wrong metric from the bool matrix: on all samples, without each block."""
    pairs = PairCounts.from_right(right_MN, blocks_N, NUM_BLOCKS)
    total, without = pairs.total(), pairs.without_each_block()
    values: Values = {
        name: (
            ensemble_mean(metric.function(*total), ensembles)[0],
            ensemble_mean(metric.function(*without), ensembles)[0],
        )
        for name, metric in metrics_of("pairs").items()
    }
    return values | evaluate_failures(FailureCounts.from_right(right_MN, blocks_N, NUM_BLOCKS, ensembles))


def _against_deslib(right_MN: Tensor, blocks_N: Tensor, triples: Ensembles, note: str, repeats: int) -> Row:
    number = " + ".join(str(len(metrics_of(kind))) for kind in ("pairs", "failure counts"))
    name = f"all {number} right/wrong metrics, {NUM_BLOCKS} replicates"
    if importlib.util.find_spec("deslib") is None:
        seconds = median_seconds(lambda: ours(right_MN, blocks_N, triples), repeats)
        return Row(name, seconds, None, "DESlib", GOAL, note)
    from deslib.util import diversity

    functions: list[Metric] = [
        diversity.disagreement_measure,
        diversity.Q_statistic,
        diversity.correlation_coefficient,
        diversity.double_fault,
        diversity.ratio_errors,
    ]
    timed = triples.members_EK[:: len(triples) // TIMED_TRIPLES][:TIMED_TRIPLES].tolist()
    ours_s, some_s = side_by_side(
        lambda: ours(right_MN, blocks_N, triples),
        lambda: deslib_loop(functions, right_MN.numpy().astype(np.int64), timed),
        repeats,
    )
    baseline_s = some_s * len(triples) / len(timed)
    # Each of the 91 pairs stands in 12 triples: what a user saves who keeps DESlib's values of pairs.
    each_pair_once = baseline_s / len(triples) / 3 * NUM_MODELS * (NUM_MODELS - 1) / 2 / ours_s
    return Row(
        name,
        ours_s,
        baseline_s,
        "DESlib's 5 functions in a loop over triples, no replicates; "
        f"{len(timed)} triples timed, × {len(triples)} / {len(timed)}",
        GOAL,
        f"{note}; {each_pair_once:.3g}× where DESlib computes each pair once; "
        f"{torch.get_num_threads()} thread(s)",
    )


def deslib_loop(
    functions: list[Metric], predicted_MN: NDArray[np.int64], members: list[list[int]]
) -> list[list[float]]:
    """The mean over pairs of each function, one ensemble after the other; 1 is the label of every sample."""
    labels_N = np.ones(predicted_MN.shape[1], dtype=np.int64)
    return [
        [
            float(np.mean([f(labels_N, predicted_MN[i], predicted_MN[k]) for i, k in pairs_of(of_one)]))
            for f in functions
        ]
        for of_one in members
    ]


def numpy_loop(right_MN: Tensor, blocks_N: Tensor, ensembles: Ensembles) -> Values:
    """The same numbers: counts one ensemble after the other in NumPy, then our formulas on all at once."""
    right, blocks = right_MN.numpy().astype(np.int64), blocks_N.numpy()
    pair_tables, histograms = [], []
    num_counts = ensembles.size + 1
    for of_one in ensembles.members_EK.tolist():
        for i, k in pairs_of(of_one):
            cell_N = blocks * 4 + 3 - 2 * right[i] - right[k]
            pair_tables.append(np.bincount(cell_N, minlength=4 * NUM_BLOCKS))
        num_failing_N = len(of_one) - right[of_one].sum(0)
        histograms.append(np.bincount(blocks * num_counts + num_failing_N, minlength=num_counts * NUM_BLOCKS))
    pair_tables_EPB4 = np.stack(pair_tables).reshape(len(ensembles), -1, NUM_BLOCKS, 4).astype(np.float64)
    each_4BEP = torch.from_numpy(pair_tables_EPB4).permute(3, 2, 0, 1)
    total_4EP = each_4BEP.sum(1)
    without_4BEP = total_4EP[:, None] - each_4BEP
    values: Values = {
        name: (metric.function(*total_4EP).mean(-1), metric.function(*without_4BEP).mean(-1))
        for name, metric in metrics_of("pairs").items()
    }
    counts_EBK1 = np.stack(histograms).reshape(len(ensembles), NUM_BLOCKS, num_counts).astype(np.float64)
    return values | evaluate_failures(FailureCounts(torch.from_numpy(counts_EBK1).transpose(0, 1)))


def largest_difference(first: Values, second: Values) -> float:
    """Over all metrics, ensembles and replicates."""
    return max(
        float((a - b).abs().max()) for name in first for a, b in zip(first[name], second[name], strict=True)
    )


def pairs_of(members: list[int] | range) -> list[tuple[int, int]]:
    """Every pair of an ensemble's members."""
    return list(itertools.combinations(members, 2))


def synthetic(num_models: int, num_samples: int, shared: float) -> tuple[Tensor, Tensor]:
    """Models that are right on four samples of five; shared² is the correlation of what decides it."""
    generator = torch.Generator().manual_seed(0)
    ease_N = torch.randn(num_samples, generator=generator)
    own_MN = torch.randn(num_models, num_samples, generator=generator)
    right_MN = shared * ease_N + (1 - shared**2) ** 0.5 * own_MN < 0.84
    return right_MN, torch.randint(NUM_BLOCKS, (num_samples,), generator=generator)


def peak_mebibytes() -> int:
    """Peak memory of one evaluation of all triples, in a process of its own, beyond data and imports."""
    command = [sys.executable, "-m", "benchmarks.failures", "--peak"]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def _print_peak() -> None:
    right_MN, blocks_N = synthetic(NUM_MODELS, NUM_SAMPLES, shared=0.8)
    ours(right_MN[:, :100], blocks_N[:100], Ensembles.all_of(NUM_MODELS, 2))
    forget_peak()
    started = peak_kibibytes()
    ours(right_MN, blocks_N, Ensembles.all_of(NUM_MODELS, SIZE))
    print((peak_kibibytes() - started) >> 10)


def _num_patterns(right_MN: Tensor, blocks_N: Tensor) -> int:
    return len(torch.cat([blocks_N[None], right_MN.long()]).unique(dim=1)[0])


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["--peak"]:
        _print_peak()
    else:
        from benchmarks.__main__ import show

        show("failures", run())
