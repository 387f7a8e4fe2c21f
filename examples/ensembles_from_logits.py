"""Logits in memory: evaluate every ensemble of three, relate diversity to gain, and write a report.

Run: python examples/ensembles_from_logits.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

import nversion as nv

# Ten classifiers on 1000 samples of 20 classes; in your case, an array of M models × N samples
# × C classes, or one for each condition: {"clean": logits, "fog-3": logits_under_fog}.
rng = np.random.default_rng(0)
labels_N = rng.integers(20, size=1000)
skill_M11 = np.linspace(2.4, 3.0, 10)[:, None, None]
difficulty_NC = rng.normal(size=(1000, 20))  # what is hard for one is hard for all
logits_MNC = difficulty_NC + 0.6 * rng.normal(size=(10, 1000, 20)) + skill_M11 * np.eye(20)[labels_N]

predictions = nv.Predictions.from_arrays(logits_MNC, labels_N)
result = nv.evaluate(predictions, sizes=[3], consensus=["average", "vote"])
print(result)

triples = result.ensembles.select("ensemble", "consensus", "improvement")
disagreement = result.diversity.filter(metric="disagreement").select("ensemble", "value")
for (rule,), rows in triples.join(disagreement, on="ensemble").group_by("consensus", maintain_order=True):
    above = (rows["improvement"] > 0).mean()
    pearson = rows.select(pl.corr("value", "improvement")).item()
    print(f"{rule}: {above:.0%} of {rows.height} ensembles beat their best member; r = {pearson:+.2f}")

with TemporaryDirectory() as folder:  # name a file of yours to keep the report
    report = result.report(Path(folder) / "report.html")
    print(f"report: {report.stat().st_size / 1e6:.1f} MB")
