"""What explains resilience: accuracy, size, architecture or training? Least squares over models.

Resilience is the log odds of accuracy under a corruption. With a dozen models every share of variance that a
few columns explain is large by chance, so each comes with the F test of its columns, with percentiles over
resampled tracks (other images of the same kind; the models stay), and with its values without each model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from nversion.core import generator

RESAMPLES = 2000
ARCHITECTURE_CLASS = {
    "MNASNet": "NAS",
    "supernet": "NAS",
    "DeiT": "ViT",
}  # the paper's column of Table 1; all else is CNN
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Pool:
    """M models, and how often each is right on the N/T frames of each of T tracks under each condition."""

    names: list[str]
    family: list[str]
    training: list[str]
    params_M: Array
    macs_M: Array
    right_TM: dict[str, Array]
    count_T: Array

    @property
    def corrupted(self) -> list[str]:
        """The conditions but the clean one, which is the first."""
        return list(self.right_TM)[1:]


def log_odds(right_XM: Array, n: Array | float) -> Array:
    """Finite where all or none are right."""
    return np.log((right_XM + 0.5) / (n - right_XM + 0.5))


def dummies(labels: list[str]) -> Array:
    """(M, groups − 1): the first group is the reference."""
    return np.stack([[float(x == g) for x in labels] for g in sorted(set(labels))[1:]], axis=1)


def predictors(pool: Pool, clean_M: Array) -> dict[str, Array]:
    """Groups of columns that may explain resilience, (M, columns)."""
    return {
        "accuracy": clean_M[:, None],
        "size": np.log(np.stack([pool.params_M, pool.macs_M], axis=1)),
        "class": dummies([ARCHITECTURE_CLASS.get(family, "CNN") for family in pool.family]),
        "family": dummies(pool.family),
        "training": dummies(pool.training),
    }


def share_explained(y_M: Array, *columns: Array) -> float:
    """R² of the least-squares fit with an intercept."""
    design = np.column_stack([np.ones(len(y_M)), *columns])
    rest_M = y_M - design @ np.linalg.lstsq(design, y_M, rcond=None)[0]
    return float(1 - (rest_M**2).sum() / ((y_M - y_M.mean()) ** 2).sum())


def standardised(y_M: Array, *columns: Array) -> Array:
    """Coefficients in standard deviations of y for one standard deviation of each column."""
    design = np.column_stack(columns)
    design = (design - design.mean(0)) / design.std(0)
    found: Array = np.linalg.lstsq(design, (y_M - y_M.mean()) / y_M.std(), rcond=None)[0]
    return found


NESTED = {  # what is explained: by these, beyond those
    "accuracy alone": (["accuracy"], []),
    "size alone": (["size"], []),
    "class alone (CNN, NAS, ViT)": (["class"], []),
    "family alone": (["family"], []),
    "training alone": (["training"], []),
    "size, beyond accuracy": (["size"], ["accuracy"]),
    "class, beyond accuracy": (["class"], ["accuracy"]),
    "family, beyond accuracy": (["family"], ["accuracy"]),
    "training, beyond accuracy": (["training"], ["accuracy"]),
    "accuracy, beyond size, class and training": (["accuracy"], ["size", "class", "training"]),
    "size, beyond accuracy, class and training": (["size"], ["accuracy", "class", "training"]),
    "class, beyond accuracy, size and training": (["class"], ["accuracy", "size", "training"]),
    "training, beyond accuracy, size and class": (["training"], ["accuracy", "size", "class"]),
}
COEFFICIENTS = ("clean log odds", "log parameters", "log MACs", "self-supervised")


def regression(pool: Pool, clean_M: Array, resilience_M: Array, keep: Array) -> Array:
    """Of the models in `keep`: all shares of `NESTED`, all `COEFFICIENTS`, then the F tests' p of the shares.

    p is that of the added columns under independent normal errors: of other models, and of nothing else.
    """
    of = {name: columns[keep] for name, columns in predictors(pool, clean_M).items()}
    y_M = resilience_M[keep]
    shares, p_values = [], []
    for of_these, beyond in NESTED.values():
        base = share_explained(y_M, *(of[name] for name in beyond)) if beyond else 0.0
        total = share_explained(y_M, *(of[name] for name in [*of_these, *beyond]))
        added = sum(of[name].shape[1] for name in of_these)
        rest = len(y_M) - 1 - added - sum(of[name].shape[1] for name in beyond)
        shares.append(total - base)
        unexplained = max(1 - total, 1e-12)  # 0 where the fit is exact
        p_values.append(stats.f.sf((total - base) / added / (unexplained / rest), added, rest))
    self_supervised = np.array([float(t == "self-supervised") for t in pool.training])[keep, None]
    coefficients = standardised(y_M, of["accuracy"], of["size"], self_supervised)
    return np.array([*shares, *coefficients, *p_values])


def regressions(pool: Pool) -> dict[str, tuple[Array, Array, Array]]:
    """By condition and for the mean of all: values, replicates over tracks, replicates without a model."""
    num_models, num_tracks = len(pool.names), len(pool.count_T)
    everyone = np.arange(num_models)
    clean = next(iter(pool.right_TM))
    outcomes = {name: [name] for name in pool.corrupted} | {"mean of all": pool.corrupted}

    def of_weights(weight_T: Array, conditions: list[str], keep: Array) -> Array:
        odds = {
            name: log_odds(weight_T @ pool.right_TM[name], weight_T @ pool.count_T)
            for name in [clean, *conditions]
        }
        return regression(pool, odds[clean], np.mean([odds[name] for name in conditions], axis=0), keep)

    rng = generator("heterogeneous tracks")
    drawn_RT = rng.multinomial(num_tracks, np.full(num_tracks, 1 / num_tracks), RESAMPLES).astype(float)
    ones_T = np.ones(num_tracks)
    return {
        name: (
            of_weights(ones_T, conditions, everyone),
            np.stack([of_weights(weight_T, conditions, everyone) for weight_T in drawn_RT]),
            np.stack([of_weights(ones_T, conditions, np.delete(everyone, m)) for m in everyone]),
        )
        for name, conditions in outcomes.items()
    }
