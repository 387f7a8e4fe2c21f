"""You have logits already: evaluate every ensemble of three and relate diversity to what it gains.

Run: python examples/ensembles_from_logits.py
"""

import torch

from nversion.diversity import METRICS, PairCounts, ensemble_mean
from nversion.ensembles import Chunk, Ensembles, ModelStatistics, evaluate, right_MN
from nversion.reliability import relation

# Ten classifiers on 2000 samples of 20 classes; in your case, an array of M models × N samples × C classes.
generator = torch.Generator().manual_seed(0)
labels_N = torch.randint(20, (2000,), generator=generator)
skill_M11 = torch.linspace(1.5, 3.0, 10)[:, None, None]
logits_MNC = torch.randn(10, 2000, 20, generator=generator)
logits_MNC += skill_M11 * torch.nn.functional.one_hot(labels_N, 20)

blocks_N = torch.arange(2000) % 50  # for standard errors: which samples are left out together
chunk = Chunk(start=0, logits_MNC=logits_MNC, labels_N=labels_N, blocks_N=blocks_N)

models = ModelStatistics(num_models=10, num_blocks=50)
models.update(chunk)
top1_M = models.result().top1_M

ensembles = Ensembles.all_of(num_models=10, size=3)
results = evaluate([chunk], ensembles, ["average", "vote"], num_blocks=50)

counts = PairCounts.from_right(right_MN(logits_MNC, labels_N), blocks_N, num_blocks=50)
disagreement_MM = METRICS["disagreement"].function(*counts.total())
disagreement_E, _ = ensemble_mean(disagreement_MM, ensembles)

best_member_E = top1_M[ensembles.members_EK].amax(-1)
for rule, result in results.items():
    improvement_E = result.accuracy_E - best_member_E
    pearson = float(relation(disagreement_E, improvement_E)["pearson"])
    above = float((improvement_E > 0).double().mean())
    print(f"{rule}: {above:.0%} of {len(ensembles)} ensembles beat their best member; r = {pearson:+.2f}")
