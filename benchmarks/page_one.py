"""Every number of a report's first page, computed from the stored logits again with NumPy and SciPy alone.

    python benchmarks/page_one.py FOLDER

reads the findings and the table of accuracies of FOLDER/report.html, and FOLDER's logits, labels, inner
products of attribution maps, facts of the models and settings. It computes each number as the documentation
defines it, and fails where the page holds a number that it did not come to. Of nversion it takes
`core.generator` alone, which defines the random halves, blocks and parts of the images.
"""

from __future__ import annotations

import html
import itertools
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import optimize, stats

from nversion.core import generator

Array = NDArray[Any]
FEWEST_TO_RELATE = 8
FEWEST_MODELS = 3


def percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f} %"


def plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def points(value: float) -> str:
    return f"{100 * value:+.1f}" if round(100 * value, 1) else "0.0"


def jackknife_variance(full: Array, without_B: Array, share_B: Array) -> Array:
    """Of blocks of unequal size (Busing, Meijer and van der Leeden 1999), full and without each block."""
    share = share_B.reshape((-1,) + (1,) * np.ndim(full))
    pseudo = full / share - (1 - share) / share * without_B
    mean = (share * pseudo).sum(0)
    return np.asarray((share / (1 - share) * (pseudo - mean) ** 2).mean(0))


@dataclass
class Stored:
    """What a study's folder holds of one data set.

    Attributes:
        logits: of each condition, float64 (M, N, C).
        accepted_NC: which classes are right.
    """

    folder: Path
    manifest: dict[str, Any]
    models: list[str]
    params: dict[str, int]
    families: list[str]
    conditions: list[str]
    labels_of_conditions: dict[str, str]
    logits: dict[str, Array]
    accepted_NC: Array

    @classmethod
    def read(cls, folder: Path) -> Stored:
        manifest = json.loads((folder / "manifest.json").read_text())
        facts = pl.read_parquet(folder / "tables" / "conditions.parquet").rows(named=True)
        assert len({row["dataset"] for row in facts}) == 1, "one data set at a time"
        models = [model["name"] for model in manifest["models"]]
        logits = {
            row["condition"]: np.stack(
                [
                    np.load(folder / manifest["logits"][row["condition"]][m] / "array.npy").astype(float)
                    for m in models
                ]
            )
            for row in facts
        }
        labels = pl.read_parquet(folder / "tables" / "labels.parquet").rows(named=True)
        num_classes = next(iter(logits.values())).shape[-1]
        accepted_NC = np.zeros((len(labels), num_classes), bool)
        for n, row in enumerate(labels):
            accepted_NC[n, [row["label"], *row["accepted"]]] = True
        cards = pl.read_parquet(folder / "tables" / "models.parquet").unique("model", keep="first")
        card = {row["model"]: row for row in cards.rows(named=True)}
        names = {
            row["condition"]: "clean"
            if row["corruption"] is None
            else f"{row['corruption'].replace('_', ' ')} {row['severity']:g}"
            for row in facts
        }
        return cls(
            folder,
            manifest,
            models,
            {m: card[m]["params"] for m in models},
            [card[m]["family"] if card[m]["family_declared"] else "" for m in models],
            [row["condition"] for row in facts],
            names,
            logits,
            accepted_NC,
        )

    @property
    def clean(self) -> str:
        return next(c for c, label in self.labels_of_conditions.items() if label == "clean")

    @property
    def corrupted(self) -> list[str]:
        return [c for c in self.conditions if c != self.clean]

    @property
    def num_images(self) -> int:
        return len(self.accepted_NC)

    @cached_property
    def predicted(self) -> dict[str, Array]:
        return {c: logits.argmax(-1) for c, logits in self.logits.items()}

    @cached_property
    def right(self) -> dict[str, Array]:
        return {c: self.is_right(predicted) for c, predicted in self.predicted.items()}

    def is_right(self, predicted: Array) -> Array:
        return self.accepted_NC[np.arange(self.num_images), predicted]

    def members(self, size: int) -> Array:
        return np.array(list(itertools.combinations(range(len(self.models)), size)))

    def average_right(self, condition: str, members: Sequence[int]) -> Array:
        return self.is_right(self.logits[condition][list(members)].mean(0).argmax(-1))

    def vote_right(self, condition: str, members: Sequence[int]) -> Array:
        """The expected share of right answers where ties are drawn by lot."""
        votes_NC = np.zeros(self.accepted_NC.shape, int)
        for m in members:
            votes_NC[np.arange(self.num_images), self.predicted[condition][m]] += 1
        top_NC = votes_NC == votes_NC.max(1, keepdims=True)
        return np.asarray((top_NC & self.accepted_NC).sum(1) / top_NC.sum(1))

    @cached_property
    def blocks(self) -> Array:
        blocks = np.empty(self.num_images, int)
        order = generator("jackknife blocks", self.num_images).permutation(self.num_images)
        asked = self.manifest["settings"]["ensembles"]["num_blocks"]
        blocks[order] = np.arange(self.num_images) * min(asked, self.num_images) // self.num_images
        return blocks

    @cached_property
    def held_out(self) -> Array:
        n = len(np.unique(self.blocks))
        order = generator("halves for selection", self.dataset, n, self.choice["seed"]).permutation(n)
        return np.isin(self.blocks, order[n // 2 :])

    @property
    def dataset(self) -> str:
        return self.clean.split("/")[0]

    @cached_property
    def choice(self) -> dict[str, Any]:
        path = self.folder / "tables" / "selection.parquet"
        facts: dict[str, Any] = json.loads(pl.read_parquet_metadata(path)["selection"])
        return facts


def scope(study: Stored) -> list[str]:
    families = len(set(study.families))
    ensembles = [
        f"{len(study.members(size)):,} ensembles of {size}"
        for size in study.manifest["settings"]["ensembles"]["sizes"]
    ]
    conditions = [f"1 clean condition and {len(study.corrupted)} corrupted"]
    return [f"{len(study.models)} models", f"{families} families", f"{study.num_images:,} images"] + (
        conditions + ensembles
    )


def wilson(right: int, n: int) -> tuple[float, float]:
    interval = stats.binomtest(right, n).proportion_ci(method="wilson")
    return interval.low, interval.high


def what_corruptions_cost(study: Stored) -> list[str]:
    mean = {c: right.mean() for c, right in study.right.items()}
    hardest = min(study.corrupted, key=lambda c: mean[c])
    cost = [
        f"{study.labels_of_conditions[hardest]}, lowers the models' mean top-1 accuracy",
        f"from {percent(mean[study.clean])} to {percent(mean[hardest])}",
    ]
    if mean[hardest] >= mean[study.clean]:
        cost = [f"mean top-1 accuracy: it is {percent(mean[study.clean])} on clean", percent(mean[hardest])]
        cost.append(f"on {study.labels_of_conditions[hardest]}")
    lowest = {
        m: min((int(study.right[c][i].sum()), k, c) for k, c in enumerate(study.conditions))
        for i, m in enumerate(study.models)
    }
    best = max(study.models, key=lambda m: lowest[m][0])
    right, _, where = lowest[best]
    low, high = wilson(right, study.num_images)
    return [
        *cost,
        best,
        f"{percent(right / study.num_images)} [{100 * low:.1f}, {100 * high:.1f}]",
        f"on {study.labels_of_conditions[where]}",
    ]


def what_ensembles_bring(study: Stored, size: int = 3) -> list[str]:
    members_EK, n = study.members(size), study.num_images
    gains = {"average": {}, "vote": {}}
    better = worse = 0
    level = stats.norm.ppf(1 - 0.05 / len(members_EK) / 2)
    for condition in study.conditions:
        right_M = study.right[condition].sum(1)
        for rule, of_rule in gains.items():
            gain = []
            for members in members_EK:
                right_N = (study.average_right if rule == "average" else study.vote_right)(condition, members)
                best = max(members, key=lambda m: (right_M[m], -m))
                gain.append(right_N.sum() - right_M[best])
                if condition == study.clean and rule == "average":
                    # Tango's score test at a difference of 0 is McNemar's with the normal distribution.
                    own, other = (right_N & ~study.right[condition][best]).sum(), 0
                    other = (~right_N & study.right[condition][best]).sum()
                    score = (own - other) / np.sqrt(own + other) if own + other else 0.0
                    better, worse = better + (score > level), worse + (score < -level)
            of_rule[condition] = np.round(gain, 9) / n
    above = {rule: {c: (g > 0) for c, g in of_rule.items()} for rule, of_rule in gains.items()}
    average, clean = above["average"], study.clean
    return [
        f"{percent(average[clean].mean(), 0)} of the ensembles of {size}",
        f"{percent(np.concatenate([average[c] for c in study.corrupted]).mean(), 0)} over the "
        f"{len(study.corrupted)} corrupted",
        f"gain is {points(np.median(gains['average'][clean]))} points",
        f"{better} of {len(members_EK)} are better and {worse} worse",
        percent(above["vote"][clean].mean(), 0),
    ]


def smallest_gain(study: Stored, size: int = 3) -> list[str]:
    """Connor's numbers for McNemar's test at 80 % power (1987, Eq. 3), solved for the gain."""
    right_MN, members_EK = study.right[study.clean], study.members(size)
    apart = []
    for members in members_EK:
        right_N = study.average_right(study.clean, members)
        best = max(members, key=lambda m: (right_MN[m].sum(), -m))
        apart.append((right_N != right_MN[best]).mean())
    discordant = float(np.median(apart))

    def images(gain: float, level: float = 0.05) -> float:
        share = max(discordant, gain)
        z, z_power = stats.norm.ppf(1 - level / 2), stats.norm.ppf(0.8)
        return float((z * np.sqrt(share) + z_power * np.sqrt(share - gain**2)) ** 2 / gain**2)

    def least(level: float) -> str:
        gain = optimize.brentq(lambda g: images(g, level) - study.num_images, 1e-6, 1)
        return f"below {100 * gain:.1f} points"

    step = 10.0 ** max(0, np.floor(np.log10(images(0.01))) - 1)
    many = f"{least(0.05 / len(members_EK))} where all {plural(len(members_EK), 'ensemble')} of {size}"
    return [
        f"With {plural(study.num_images, 'image')}",
        least(0.05),
        "(80 % power at the 5 % level",
        many,
        f"one point needs {plural(int(np.ceil(images(0.01) / step) * step), 'image')}",
    ]


def pearson_with_interval(study: Stored, x: Array, x_B: Array, y: Array, y_B: Array, size: int) -> str:
    """Fisher's z with the jackknives over blocks of images and over models, Student's t of M − 1."""
    members_EK, num_models = study.members(size), len(study.models)

    def z(a: Array, b: Array) -> float:
        return float(np.arctanh(np.corrcoef(a, b)[0, 1]))

    share_B = np.bincount(study.blocks) / study.num_images
    z_B = np.array([z(a, b) for a, b in zip(x_B, y_B, strict=True)])
    # The blocks of a relation count equally.
    images = jackknife_variance(np.array(z(x, y)), z_B, np.full(len(share_B), 1 / len(share_B)))
    without = [(members_EK != m).all(1) for m in range(num_models)]
    z_M = np.array([z(x[kept], y[kept]) for kept in without])
    models = (num_models - 1) / num_models * ((z_M - z_M.mean()) ** 2).sum()
    half = stats.t.ppf(0.975, num_models - 1) * np.sqrt(images + models)
    low, high = np.tanh([z(x, y) - half, z(x, y) + half])
    said = f"{np.tanh(z(x, y)):.2f} [{low:.2f}, {high:.2f}]"
    return said + ("" if low > 0 or high < 0 else " (not distinguishable from zero)")


def with_and_without(study: Stored, values_N: Array) -> tuple[Array, Array]:
    """Means over images (..., N) of all blocks, and without each block (B, ...)."""
    count_B = np.bincount(study.blocks)
    sums_B = np.stack([values_N[..., study.blocks == b].sum(-1) for b in range(len(count_B))])
    total = sums_B.sum(0)
    return total / study.num_images, (total - sums_B) / (study.num_images - count_B)[
        (slice(None),) + (None,) * (sums_B.ndim - 1)
    ]


def gains_of(study: Stored, condition: str, size: int) -> tuple[Array, Array]:
    """Improvement over the best member of the images at hand, of all and without each block."""
    members_EK = study.members(size)
    right_EN = np.stack([study.average_right(condition, members) for members in members_EK])
    full, without = with_and_without(study, right_EN)
    of_models, models_without = with_and_without(study, study.right[condition])
    return full - of_models[members_EK].max(1), without - models_without[:, members_EK].max(2)


def attribution_diversity(study: Stored, condition: str, size: int) -> tuple[Array, Array]:
    """Eq. 7 of unit-length maps, (1/K) Σ G_ii − (1/K²) Σ G_ij of inner products, in the mean over images."""
    models = [[model["name"], model["fingerprint"]] for model in study.manifest["models"]]
    (folder,) = (
        path.parent
        for path in (study.folder / "attributions" / condition).glob(
            "*_saliency_predicted_l2-*/manifest.json"
        )
        if (what := json.loads(path.read_text())["what"])["models"] == models
        and what["target"] == "predicted"
    )
    gram_nMM = np.load(folder / "array.npy").astype(float)
    number, seed = json.loads((folder / "manifest.json").read_text())["what"]["images"]
    rng = generator("attributed images", seed, study.num_images)
    blocks_n = study.blocks[np.sort(rng.choice(study.num_images, number, replace=False))]
    variance_nE = np.stack(
        [
            np.trace(gram_nMM[:, m][:, :, m], axis1=1, axis2=2) / size
            - gram_nMM[:, m][:, :, m].sum((1, 2)) / size**2
            for m in study.members(size)
        ],
        axis=1,
    )
    blocks = range(study.blocks.max() + 1)
    return variance_nE.mean(0), np.stack([variance_nE[blocks_n != b].mean(0) for b in blocks])


def what_diversity_tells(study: Stored, size: int = 3) -> list[str]:
    if len(study.models) < FEWEST_TO_RELATE:
        return [f"{len(study.models)} models", f"fewer than {FEWEST_TO_RELATE} models"]
    said: dict[str, list[str]] = {}
    for condition in study.conditions:
        gains = gains_of(study, condition, size)
        pairs = [list(itertools.combinations(range(size), 2)), study.members(size)]
        right = study.right[condition]
        differs_EN = np.stack(
            [np.mean([right[m[a]] != right[m[b]] for a, b in pairs[0]], axis=0) for m in pairs[1]]
        )
        accuracy_EN = np.stack([right[m].mean(0) for m in pairs[1]])
        measures = [
            attribution_diversity(study, condition, size),
            with_and_without(study, differs_EN),
            with_and_without(study, accuracy_EN),
        ]
        said[condition] = [pearson_with_interval(study, *measure, *gains, size) for measure in measures]
    undecided = [all("not dist" in text for text in said[c]) for c in study.corrupted]
    assert all(undecided), "a relation under a corruption is distinguishable from zero: extend this check"
    return [*said[study.clean], f"{plural(len(study.corrupted), 'corruption')} none of these"]


def what_fails_together(study: Stored) -> list[str]:
    """Two of the better family less one of each, with the interval over models and images."""
    groups = {f: [i for i, g in enumerate(study.families) if g == f] for f in dict.fromkeys(study.families)}
    fails = ~study.right[study.clean]
    count_B = np.bincount(study.blocks)
    both_BMM = np.stack([(f := fails[:, study.blocks == b].astype(float)) @ f.T for b in range(len(count_B))])

    def joint(both_xMM: Array, count_x: Array, a: Sequence[int], b: Sequence[int]) -> Array:
        pairs = [(i, k) for i in a for k in b if i != k]
        return np.asarray(np.mean([both_xMM[:, i, k] for i, k in pairs], axis=0) / count_x)

    total, n = both_BMM.sum(0), study.num_images
    both_xMM = np.concatenate([total[None], total - both_BMM])
    count_x = np.concatenate([[n], n - count_B]).astype(float)
    share_B = count_B / n
    number = dict.fromkeys(("less", "more", "open", "unknown", "few"), 0)
    for a, b in itertools.combinations(groups, 2):
        if min(len(groups[a]), len(groups[b])) < 2:
            number["unknown"] += 1
            continue
        better = min((a, b), key=lambda g: joint(both_xMM, count_x, groups[g], groups[g])[0])

        def difference(left_out: int | None, a: str = a, b: str = b, better: str = better) -> Array:
            own = {g: [m for m in groups[g] if m != left_out] for g in (a, b)}
            return joint(both_xMM, count_x, own[a], own[b]) - joint(
                both_xMM, count_x, own[better], own[better]
            )

        full = difference(None)
        images = jackknife_variance(full[0], full[1:], share_B)
        of_models = satterthwaite = both = 0.0
        for group in (groups[a], groups[b]):
            m = len(group)
            if m < FEWEST_MODELS:
                continue
            without = np.stack([difference(model) for model in group])
            variance = (m - 1) / m * ((without[:, 0] - without[:, 0].mean()) ** 2).sum()
            of_models, satterthwaite = of_models + variance, satterthwaite + variance**2 / (m - 1)
            mixed = full[0] - without[:, :1] - full[None, 1:] + without[:, 1:]
            odds = (1 - share_B) / share_B
            both += (odds * mixed**2).mean(1).sum() * (m - 1) / m
        half = max(0.0, images - both) * stats.t.ppf(0.975, len(count_B) - 1) ** 2
        if satterthwaite:
            half += of_models * stats.t.ppf(0.975, of_models**2 / satterthwaite) ** 2
        low, high = full[0] - np.sqrt(half), full[0] + np.sqrt(half)
        number["less" if high < 0 else "more" if low > 0 else "open"] += 1
        number["few"] += min(len(groups[a]), len(groups[b])) < FEWEST_MODELS
    assert not number["less"] + number["more"], "a pair is decided: extend this check"
    few = [f"In {plural(number['few'], 'pair')}", f"fewer than {FEWEST_MODELS} models"]
    return [f"({number['unknown']} not identified)"] * bool(number["unknown"]) + few * bool(number["few"])


def outcomes(study: Stored, condition: str, members: Sequence[int], needed: int) -> tuple[float, float]:
    """Silently wrong, and stopped, where so many members must name one class."""
    votes_NC = np.zeros(study.accepted_NC.shape, int)
    for m in members:
        votes_NC[np.arange(study.num_images), study.predicted[condition][m]] += 1
    answered, answer = votes_NC.max(1) >= needed, votes_NC.argmax(1)
    return float((answered & ~study.is_right(answer)).mean()), float((~answered).mean())


def silently_wrong(study: Stored, size: int = 3) -> list[str]:
    members_EK = study.members(size)

    def mean(condition: str, needed: int) -> Array:
        return np.mean([outcomes(study, condition, m, needed) for m in members_EK], axis=0)

    majority = {c: mean(c, size // 2 + 1)[0] for c in study.conditions}
    hardest = max(majority, key=lambda c: majority[c])
    unanimous = mean(hardest, size)
    return [
        f"{size // 2 + 1}-out-of-{size}",
        percent(majority[study.clean]),
        f"all ensembles of {size}",
        *[f"{percent(majority[hardest])} under {study.labels_of_conditions[hardest]}"]
        * (hardest != study.clean),
        f"returns {percent(unanimous[0])} there",
        f"{percent(unanimous[1])}",
    ]


def held_out(study: Stored) -> list[str]:
    """The best by the worst of the seen conditions on one half, on the other half, and on other halves."""
    facts = study.choice
    assert (facts["criterion"], facts["consensus"]) == ("worst", "average"), "extend this check"
    sizes = study.manifest["settings"]["ensembles"]["sizes"]
    singles = [(m,) for m in range(len(study.models))]
    everyone = singles + [tuple(members) for size in sizes for members in study.members(size)]
    right = {c: np.stack([study.average_right(c, who) for who in everyone]) for c in study.conditions}
    seen, unseen = facts["seen"], facts["unseen"]
    params = np.array([sum(study.params[study.models[m]] for m in who) for who in everyone])

    def worst(conditions: Sequence[str], kept: Array) -> Array:
        return np.min([right[c][:, kept].mean(1) for c in conditions], axis=0)

    def best(kept: Array, among: Sequence[int]) -> int:
        mean = np.mean([right[c][:, kept].mean(1) for c in seen], axis=0)
        keys = np.column_stack([worst(seen, kept).round(12), mean.round(12), -params])
        return max(among, key=lambda x: (*keys[x], -x))

    def name(x: int) -> str:
        return " + ".join(study.models[m] for m in everyone[x])

    def difference(conditions: Sequence[str], x: int, other: int) -> str:
        names = np.unique(study.blocks[study.held_out])
        kept = [study.held_out, *(study.held_out & (study.blocks != b) for b in names)]
        gains = np.array([worst(conditions, k)[x] - worst(conditions, k)[other] for k in kept])
        share = np.array([(study.blocks[study.held_out] == b).mean() for b in names])
        half = stats.t.ppf(0.975, len(names) - 1) * np.sqrt(jackknife_variance(gains[0], gains[1:], share))
        low, high = gains[0] - half, gains[0] + half
        said = f"{points(gains[0])} points [{points(low)}, {points(high)}]"
        return said + ("" if low > 0 or high < 0 else " (not distinguishable from zero)")

    of_models = range(len(singles))
    chosen, single = best(~study.held_out, range(len(everyone))), best(~study.held_out, of_models)
    top1 = [percent(worst(conditions, study.held_out)[chosen]) for conditions in (seen, unseen)]
    many = [f"the {len(unseen)} unseen ones"] * (len(unseen) > 1)
    said = [plural(len(seen), "condition")]
    if chosen == single:
        ensemble = best(~study.held_out, range(len(singles), len(everyone)))
        said += [f"a single model, {name(chosen)}", f"reaches {top1[0]}", top1[1], *many, name(ensemble)]
        said += [difference(conditions, ensemble, chosen) for conditions in (seen, unseen)]
    else:
        said += [
            f"the ensemble {name(chosen)} reaches {top1[0]}",
            f"{difference(seen, chosen, single)} compared with the best single model, {name(single)}",
            f"{params[chosen] / params[single]:.1f} times its "
            + (f"{params[single] / 1000:.3g} k" if params[single] >= 1000 else f"{params[single]}"),
            *many,
            f"reaches {top1[1]}, {difference(unseen, chosen, single)}",
        ]
    return said + _repeated(study, worst, best, name, len(singles), len(everyone))


def _repeated(study: Stored, worst: Any, best: Any, name: Any, num_models: int, number: int) -> list[str]:
    """The same choice on other halves, made of random halves of the blocks."""
    num_blocks = int(study.blocks.max()) + 1
    num_splits = pl.read_parquet(study.folder / "tables" / "selection_splits.parquet").height
    seen, taken, gains = study.choice["seen"], Counter(), []
    for split in range(num_splits):
        order = generator("halves of blocks", study.dataset, num_blocks, split).permutation(num_blocks)
        choosing = np.isin(study.blocks, order[: num_blocks // 2])
        chosen, single = best(choosing, range(number)), best(choosing, range(num_models))
        taken[("the single model " if chosen < num_models else "") + name(chosen)] += 1
        of_other_half = worst(seen, ~choosing)
        gains.append(round(of_other_half[chosen] - of_other_half[single], 12))
    most = taken.most_common()
    low, middle, high = np.quantile(gains, [0.05, 0.5, 0.95])
    others = sum(times for _, times in most[3:])
    return [
        f"{num_splits} other halves",
        *(f"{who} in {times}" for who, times in most[:3]),
        *[f"{plural(len(most) - 3, 'other')} in {others}"] * bool(others),
        f"is {points(middle)} points",
        f"{points(low)} to {points(high)} in nine of ten",
        f"{percent(np.mean(np.array(gains) > 0))} of them",
    ]


CHECKS = (
    scope,
    what_corruptions_cost,
    what_ensembles_bring,
    smallest_gain,
    what_diversity_tells,
    what_fails_together,
    silently_wrong,
    held_out,
)


def findings_of(page: str) -> list[str]:
    """The findings as they stand on the page, with one kind of blank and of minus."""
    listed = page[page.index('<ol class="findings">') : page.index("</ol>")]
    plain = [re.sub(r"<[^>]*>", "", item) for item in re.findall(r"(?s)<li>(.*?)</li>", listed)]
    return [html.unescape(text).replace("\u00a0", " ").replace("−", "-") for text in plain]


def unexplained(sentence: str, fragments: Sequence[str]) -> Iterator[str]:
    """Fragments that the sentence lacks in their order, and numbers that it holds besides."""
    at, rest = 0, []
    for fragment in fragments:
        found = sentence.find(fragment, at)
        if found < 0:
            yield f"expected {fragment!r}"
            continue
        rest.append(sentence[at:found])
        at = found + len(fragment)
    rest.append(sentence[at:])
    yield from (f"found {number!r}" for number in re.findall(r"[+-]?\d[\d.,]*", " ".join(rest)))


def accuracies(study: Stored) -> list[str]:
    """The rows of the table of models: accuracies with Wilson's intervals, their mean change."""
    rows = []
    for i, model in enumerate(study.models):
        right = [int(study.right[c][i].sum()) for c in study.conditions]
        intervals = [wilson(count, study.num_images) for count in right]
        cells = [
            f"{100 * count / study.num_images:.1f} {100 * low:.1f}–{100 * high:.1f}"
            for count, (low, high) in zip(right, intervals, strict=True)
        ]
        mean = np.mean([study.right[c][i].mean() for c in study.corrupted])
        rows.append(" ".join([model, *cells, points(mean - study.right[study.clean][i].mean())]))
    return rows


def accuracies_of(page: str, num_conditions: int) -> list[str]:
    """The same columns as they stand on the page."""
    table = page[page.index("<tbody>", page.index("<caption><span>Top-1 accuracy on ")) :]
    rows = re.findall(r"(?s)<tr>(.*?)</tr>", table[: table.index("</tbody>")])
    cells = [re.findall(r"(?s)<t[hd][^>]*>(.*?)</t[hd]>", row)[: num_conditions + 2] for row in rows]
    plain = [re.sub(r"<[^>]*>", "", " ".join(row).replace("<small>", " ")) for row in cells]
    return [html.unescape(text).replace("−", "-") for text in plain]


def check(folder: Path) -> list[str]:
    """What does not hold, a line each; none where every number is right."""
    study = Stored.read(folder)
    page = (folder / "report.html").read_text(encoding="utf-8")
    sentences = findings_of(page)
    assert len(sentences) == len(CHECKS), f"{len(sentences)} findings and {len(CHECKS)} checks"
    rows = itertools.zip_longest(accuracies(study), accuracies_of(page, len(study.conditions)))
    return [f"expected {right!r}, found {said!r}" for right, said in rows if right != said] + [
        f"{of.__name__}: {problem} in {sentence!r}"
        for of, sentence in zip(CHECKS, sentences, strict=True)
        for problem in unexplained(sentence, of(study))
    ]


if __name__ == "__main__":
    problems = check(Path(sys.argv[1]))
    print("\n".join(problems) or "every number of the findings and of the table of accuracies is right")
    sys.exit(bool(problems))
