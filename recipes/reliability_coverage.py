"""How often the 95 % intervals of the design-diversity model cover the truth, by simulation.

    python recipes/reliability_coverage.py --simulations 500

Two methodologies of known difficulty, m models of each, drawn anew with the images in every simulation.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections import defaultdict

import torch
from scipy import stats

from nversion.diversity import PairCounts
from nversion.reliability import (
    Methodologies,
    SimulatedMethodologies,
    block_jackknife_stderr,
    methodology_estimates,
    pair_properties,
)

NUM_BLOCKS = 50
B = (4.0, 3.0)
SETTINGS = {  # images, share of ability, share of taste
    "images dominate": (1000, 0.0, 0.0),
    "both": (5000, 0.02, 0.0),
    "models dominate": (2000, 0.1, 0.2),
}
DIFFICULTY = {"alike": (0.8, 0.8), "independent": (0.0, 0.0), "opposite": (0.8, -0.8)}
COLUMNS = (
    "mean",
    "joint A,A",
    "variance A",
    "joint A,B",
    "covariance A,B",
    "correlation A,B",
    "difference",
    "mean, plain",
)


def truths(simulated: SimulatedMethodologies) -> dict[str, float]:
    mean_a, mean_b = simulated.moment((1, 0)), simulated.moment((0, 1))
    variance_a, variance_b = simulated.covariance(0, 0), simulated.covariance(1, 1)
    covariance = simulated.covariance(0, 1)
    values = (
        mean_a,
        simulated.moment((2, 0)),
        variance_a,
        simulated.moment((1, 1)),
        covariance,
        covariance / (variance_a * variance_b) ** 0.5,
        mean_a - mean_b,
        mean_a,
    )
    return dict(zip(COLUMNS, values, strict=True))


def intervals(failures_MN: torch.Tensor, num_models: int) -> dict[str, tuple[float, float]]:
    num_images = failures_MN.shape[1]
    blocks_N = torch.arange(num_images) * NUM_BLOCKS // num_images
    counts = PairCounts.from_right(~failures_MN, blocks_N, NUM_BLOCKS)
    methodologies = Methodologies.of_labels(["A"] * num_models + ["B"] * num_models)
    found = {
        (row.quantity, row.methodology_a + row.methodology_b): (row.low, row.high)
        for row in methodology_estimates(counts.both_wrong_BMM, counts.count_B, methodologies)
    }
    indifference = pair_properties(counts.both_wrong_BMM, counts.count_B, methodologies)[0]
    return {
        "mean": found["mean_failure", "AA"],
        "joint A,A": found["joint_failure", "AA"],
        "variance A": found["covariance", "AA"],
        "joint A,B": found["joint_failure", "AB"],
        "covariance A,B": found["covariance", "AB"],
        "correlation A,B": found["correlation", "AB"],
        "difference": (indifference.low, indifference.high),
        "mean, plain": plain_interval(failures_MN[:num_models]),
    }


def plain_interval(failures_MN: torch.Tensor) -> tuple[float, float]:
    """Of the mean failure: the two jackknife variances added, one t of m − 1 degrees of freedom."""
    rate_M = failures_MN.double().mean(1)
    share_N = failures_MN.double().mean(0)
    share_B = share_N.view(NUM_BLOCKS, -1).mean(1)
    rate_B = (share_B.sum() - share_B) / (NUM_BLOCKS - 1)
    variance = float(rate_M.var()) / len(rate_M) + float(block_jackknife_stderr(rate_M.mean(), rate_B)) ** 2
    half = float(stats.t.ppf(0.975, len(rate_M) - 1)) * math.sqrt(variance)
    return float(rate_M.mean()) - half, float(rate_M.mean()) + half


def coverage(
    simulated: SimulatedMethodologies, num_models: int, num_images: int, simulations: int, seed: int
) -> dict[str, float]:
    """Share of simulations whose interval holds the truth; one without an interval does not count."""
    rng = torch.Generator().manual_seed(seed)
    truth = truths(simulated)
    hits: dict[str, list[bool]] = defaultdict(list)
    for _ in range(simulations):
        failures_MN = simulated.draw((num_models, num_models), num_images, rng)
        for column, (low, high) in intervals(failures_MN, num_models).items():
            if not math.isnan(low):
                hits[column].append(low <= truth[column] <= high)
    return {column: sum(hits[column]) / len(hits[column]) for column in COLUMNS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=500)
    parser.add_argument("--models", type=int, nargs="+", default=[3, 5, 10, 20])
    parser.add_argument("--variations", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    started = time.perf_counter()
    print("| variation | difficulty | m | " + " | ".join(COLUMNS) + " |")
    print("|---" * (3 + len(COLUMNS)) + "|")
    for row, (variation, difficulty) in enumerate(itertools.product(SETTINGS, DIFFICULTY)):
        if variation not in arguments.variations:
            continue
        num_images, ability, taste = SETTINGS[variation]
        simulated = SimulatedMethodologies(B, DIFFICULTY[difficulty], ability, taste)
        for num_models in arguments.models:
            seed = arguments.seed + 100 * row + num_models  # rows are draws of their own
            covered = coverage(simulated, num_models, num_images, arguments.simulations, seed)
            cells = " | ".join(f"{100 * covered[column]:.1f}" for column in COLUMNS)
            print(f"| {variation} | {difficulty} | {num_models} | {cells} |", flush=True)
    print(f"\n{arguments.simulations} simulations a row, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
