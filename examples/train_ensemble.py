"""Train two ensembles from the same weights on the same batches, one with GNCL, one balanced, and compare.

Run: python examples/train_ensemble.py
"""

import copy
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from nversion.training import parse_recipe, train_recipe

# What a recipe file holds, as a dictionary; `nversion train RECIPE.toml` reads the same from TOML.
CONTENT = {
    "train": {"name": "digits", "epochs": 1, "batch_size": 32, "device": "cpu"},
    "data": {
        "train": {"source": "digits", "split": "train"},
        "validation": {"source": "digits", "split": "test", "count": 300},
    },
    "canonical": {"size": 32, "mode": "squash"},
    "augment": {"crop_scale": [0.8, 1.0], "flip": 0.0},
    "members": [
        {
            "arch": "python:nversion.training.small_networks:build",
            "args": {"name": "resnet", "num_classes": 10},
            "name": "resnet",
            "count": 3,
        }
    ],
    "optimizer": {"name": "adabelief", "learning_rate": 0.01},
    "variants": [
        {"name": "balanced", "loss": {"name": "balanced", "weight": 0.2}},
        {"name": "gncl", "loss": {"name": "gncl", "weight": 0.2}},
    ],
}

with TemporaryDirectory() as folder:  # name a folder of yours to keep the members and to resume
    for name, recipe in parse_recipe(copy.deepcopy(CONTENT), "the example").items():
        (ensemble,) = train_recipe(recipe, Path(folder) / name)
        diary = pl.read_parquet(ensemble.folder / "metrics.parquet").filter(split="validation")
        mean = diary.group_by("metric").agg(pl.col("value").mean())
        values = dict(mean.iter_rows())
        print(
            f"{name}: the mean member is right on {values['accuracy']:.1%}, the ensemble on "
            f"{values['ensemble_accuracy']:.1%}; two members disagree on {values['disagreement']:.1%}"
        )
        print(
            f"  its {len(ensemble.members)} members, for a study: file:{ensemble.members[0].path.name}, ..."
        )
