"""The interval of a relation covers the truth when models and images are drawn from populations.

`pytest tests/reliability/test_relation_interval_coverage.py -m slow -s` prints the table.
"""

import math
from statistics import mean

import pytest
import torch
from scipy import stats

from nversion.diversity import METRICS, PairCounts, ensemble_mean
from nversion.ensembles import Ensembles
from nversion.reliability import relation, relation_interval

SIZE, NUM_BLOCKS = 3, 50
STATISTICS = ("pearson", "spearman", "partial", "slope")


def draw_chances(num_models, num_images, rng):
    """P(model is right on image): ability, difficulty, and an individual taste of three traits."""
    ability_M1 = 0.6 + 0.5 * torch.randn(num_models, 1, generator=rng)
    difficulty_N = 1.3 * torch.randn(num_images, generator=rng)
    taste_MT = torch.randn(num_models, 3, generator=rng) * torch.rand(num_models, 1, generator=rng)
    traits_TN = torch.randn(3, num_images, generator=rng)
    return torch.sigmoid(1.5 * (ability_M1 - difficulty_N + taste_MT @ traits_TN))


def numbers_of(right_MN, blocks_N, num_blocks, ensembles):
    """Disagreement, majority accuracy and mean member accuracy without each block, then of all."""
    membership_EM = ensembles.membership_EM(torch.float32)
    majority_EN = ((membership_EM @ right_MN.float()) > SIZE / 2).double()
    majority_BE = torch.zeros(num_blocks, len(ensembles), dtype=torch.float64)
    majority_BE.index_add_(0, blocks_N, majority_EN.T)
    counts = PairCounts.from_right(right_MN, blocks_N, num_blocks)
    member_BE = counts.right_BM @ membership_EM.double().T / SIZE

    def with_all(sums_BE):
        total_E, total = sums_BE.sum(0), counts.count_B.sum()
        return torch.cat([(total_E - sums_BE) / (total - counts.count_B)[:, None], total_E[None] / total])

    disagreement = METRICS["disagreement"].function
    all_but_one_BE, _ = ensemble_mean(disagreement(*counts.without_each_block()), ensembles)
    all_E, _ = ensemble_mean(disagreement(*counts.total()), ensembles)
    return torch.cat([all_but_one_BE, all_E[None]]), with_all(majority_BE), with_all(member_BE)


def true_relations(rng, num_models=200, num_images=20000, num_ensembles=5000):
    """The statistics among ensembles of a large pool, from the chances: no model's or image's luck.

    The taken subsets and the pool are finite: the truth is known to about 0.02.
    """
    chances_MN = draw_chances(num_models, num_images, rng)
    ensembles = Ensembles.sample(num_models, SIZE, num_ensembles, seed=0)
    p, q = chances_MN.double(), 1 - chances_MN.double()
    x_E, _ = ensemble_mean((p @ q.T + q @ p.T) / num_images, ensembles)
    triples = torch.stack([chances_MN[row].prod(0).mean().double() for row in ensembles.members_EK])
    both_right_E, _ = ensemble_mean(p @ p.T / num_images, ensembles)
    y_E = 3 * both_right_E - 2 * triples
    z_E = p.mean(1)[ensembles.members_EK].mean(1)
    return {name: float(value) for name, value in relation(x_E, y_E, z_E).items()}


def simulate(num_models, num_images, repeats, seed):
    rng = torch.Generator().manual_seed(seed)
    pools = [true_relations(rng) for _ in range(8)]
    truth = {name: mean(pool[name] for pool in pools) for name in STATISTICS}
    ensembles = Ensembles.all_of(num_models, SIZE)
    blocks_N = torch.arange(num_images) * NUM_BLOCKS // num_images
    covered, widths, values = ({name: [] for name in STATISTICS} for _ in range(3))
    naive = []
    for _ in range(repeats):
        chances_MN = draw_chances(num_models, num_images, rng)
        right_MN = torch.rand(chances_MN.shape, generator=rng) < chances_MN
        x, y, z = numbers_of(right_MN, blocks_N, NUM_BLOCKS, ensembles)
        estimates = relation_interval(
            x[-1], y[-1], z[-1], x[:-1], y[:-1], z[:-1], ensembles.members_EK, num_models
        )
        for name, estimate in estimates.items():
            covered[name].append(estimate.low <= truth[name] <= estimate.high)
            widths[name].append(estimate.high - estimate.low)
            values[name].append(estimate.value)
        half = float(stats.norm.ppf(0.975)) / math.sqrt(len(ensembles) - 3)
        naive.append(abs(math.atanh(values["pearson"][-1]) - math.atanh(truth["pearson"])) <= half)
    return truth, covered, naive, widths, values


@pytest.mark.slow
@pytest.mark.parametrize("num_models", [8, 14])
def test_the_interval_covers_the_truth_at_least_about_as_often_as_it_says(num_models, capsys):
    truth, covered, naive, widths, values = simulate(num_models, num_images=2000, repeats=300, seed=1)
    with capsys.disabled():
        print(f"\nM = {num_models}, K = {SIZE}; Pearson, ensembles taken as independent: {mean(naive):.3f}")
        for name in STATISTICS:
            print(
                f"  {name}: coverage {mean(covered[name]):.3f}, mean width {mean(widths[name]):.2f},"
                f" mean value {mean(values[name]):.3f}, truth {truth[name]:.3f}"
            )
    # A share near 0.95 of 300 draws is known to ± 0.025.
    for name in STATISTICS:
        assert mean(covered[name]) > 0.915
    assert mean(naive) < 0.75
