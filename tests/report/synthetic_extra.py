"""The made-up tables of every measure of common failure, counted on the same made-up right answers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from synthetic_benchmark import benchmark_tables

NAN = float("nan")
METHODS = ("saliency", "input_x_gradient", "grad_cam", "integrated_gradients-1", "integrated_gradients-10")
PAIRWISE = {
    "ratio_of_errors": (0.4, 3.0),
    "error_consistency": (0.1, 0.7),
    "label_disagreement": (0.1, 0.6),
    "kl": (0.2, 2.0),
    "js": (0.02, 0.3),
    "cosine": (0.05, 0.5),
    "cka": (0.1, 0.9),
}
WHOLE = {
    "entropy": (0.1, 0.6),
    "kohavi_wolpert": (0.02, 0.2),
    "kappa": (0.1, 0.7),
    "difficulty": (0.05, 0.2),
    "generalised_diversity": (0.2, 0.6),
    "coincident_failure": (0.2, 0.7),
    "shannon_all": (0.1, 0.5),
    "shannon_right": (0.08, 0.4),
    "shannon_wrong": (0.4, 0.8),
    "ambiguity": (0.05, 0.4),
}
ATTRIBUTION = tuple(
    f"attribution_{method}_predicted_none{who}"
    for method in METHODS[1:]
    for who in ("", "_all_right", "_some_right", "_none_right")
) + tuple(f"attribution_saliency_predicted_none_{who}_right" for who in ("all", "some", "none"))
LOWER = ("kappa", "difficulty", "error_consistency", "cka")


@dataclass(frozen=True)
class World:
    """What the tables are counted from: per condition the (M, N) answers, 0 being the label."""

    models: list[dict[str, Any]]
    conditions: list[dict[str, Any]]
    answers: dict[str, np.ndarray[Any, Any]]
    members: dict[int, np.ndarray[Any, Any]]
    rng: np.random.Generator

    def name(self, members_K: Any) -> str:
        return " + ".join(self.models[m]["model"] for m in members_K)

    def per_ensemble(self, row: Callable[[str, int, str, Any], list[dict[str, Any]]]) -> pl.DataFrame:
        """`row(ensemble, size, condition, answers_KN)` of every ensemble and condition, as one table."""
        rows = []
        for condition in self.conditions:
            answers_MN = self.answers[condition["condition"]]
            for size, members_EK in self.members.items():
                for members_K in members_EK:
                    key = {
                        "ensemble": self.name(members_K),
                        "size": size,
                        "condition": condition["condition"],
                    }
                    rows += [key | r for r in row(*key.values(), answers_MN[members_K])]
        return pl.DataFrame(rows, infer_schema_length=None)


def world(models: Any, conditions: Any, margins: Any, sizes: Any, limit: int | None) -> World:
    """Wrong answers are drawn among four labels, the first the likeliest."""
    rng = np.random.default_rng(5)
    answers = {}
    for condition, margin_MN in margins.items():
        common_N = rng.integers(1, 5, margin_MN.shape[1])
        own_MN = rng.integers(1, 5, margin_MN.shape)
        wrong_MN = np.where(rng.random(margin_MN.shape) < 0.5, common_N, own_MN)
        answers[condition] = np.where(margin_MN > 0, 0, wrong_MN)
    members = {
        size: np.array(list(itertools.combinations(range(len(models)), size)), int).reshape(-1, size)[:limit]
        for size in sizes
    }
    return World(models, conditions, answers, {k: v for k, v in members.items() if len(v)}, rng)


def more_metrics(world: World, attribution: bool) -> tuple[pl.DataFrame, pl.DataFrame, list[Any]]:
    """Rows of diversity, pairs and metrics for what the four counts of a pair do not give."""
    names = [m["model"] for m in world.models]
    rows, pair_rows = [], []
    wanted = PAIRWISE | WHOLE | (dict.fromkeys(ATTRIBUTION, (1.0, 9.0)) if attribution else {})
    for metric, (low, high) in wanted.items():
        own_M = world.rng.random(len(names))
        of_pairs = metric in PAIRWISE or (metric in ATTRIBUTION and not metric.endswith("_right"))
        for k, condition in enumerate(world.conditions):
            for size, members_EK in world.members.items():
                value_E = low + (high - low) * (0.8 * own_M[members_EK].mean(1) + 0.02 * k)
                rows.append(
                    pl.DataFrame(
                        {
                            "ensemble": [world.name(m) for m in members_EK],
                            "size": size,
                            "condition": condition["condition"],
                            "metric": metric,
                            "value": value_E,
                            "stderr": 0.02 * (high - low),
                            "n_undefined": 0,
                        }
                    )
                )
            if of_pairs:
                noise = 0.1 * world.rng.random((len(names), len(names)))
                pair_rows += [
                    (names[a], names[b], condition["condition"], metric, low + (high - low) * value)
                    for a, b in itertools.combinations(range(len(names)), 2)
                    for value in [0.4 * (own_M[a] + own_M[b]) + noise[a, b]]
                ]
    if attribution:  # the reference that the other methods are compared with
        pair_rows += [
            (a, b, condition["condition"], "attribution_saliency_predicted_none", world.rng.random())
            for condition in world.conditions
            for a, b in itertools.combinations(names, 2)
        ]
    pairs = pl.DataFrame(
        pair_rows, schema=["model_a", "model_b", "condition", "metric", "value"], orient="row"
    )
    bounds = [(m, 0.0, None, m not in LOWER, "see the list of formulas", "never", "") for m in wanted]
    return pl.concat(rows) if rows else pl.DataFrame(), pairs, bounds


def extra_tables(world: World, ensembles: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Every table that a study may lack, by name."""
    tables = {
        "comparisons": _comparisons(ensembles),
        "calibration": world.per_ensemble(_calibration),
        "agreement": world.per_ensemble(_agreement),
        "votes": world.per_ensemble(_votes),
        "joint_failures": world.per_ensemble(_joint_failures),
        "predicted_failures": world.per_ensemble(_predicted),
        "methodologies": _methodologies(world),
        "properties": _properties(world),
        "robustness": _robustness(world),
        "robustness_groups": _robustness_groups(world),
        "lineage": _lineage(world),
        "cka": _cka(world),
        "attribution_agreement": _attribution_agreement(world),
        "hazards": world.per_ensemble(_hazards),
        **benchmark_tables(world),
    }
    return {name: table for name, table in tables.items() if table.height}


def _interval(k: float, n: int) -> tuple[float, float]:
    p = k / n if n else NAN
    half = 1.96 * np.sqrt(max(p * (1 - p), 0.25 / n) / n)
    return max(0.0, p - half), min(1.0, p + half)


def _comparisons(ensembles: pl.DataFrame) -> pl.DataFrame:
    """Intervals of the improvement that the ensembles table has, one and all at once."""
    half, wide = 1.96 * pl.col("improvement_stderr"), 3.3 * pl.col("improvement_stderr")
    first = pl.col("ensemble").str.split(" + ").list.first()
    gain = pl.col("improvement")
    return ensembles.select(
        *("ensemble", "size", "consensus", "condition"),
        first.alias("best_member"),
        pl.lit(300, pl.Int64).alias("n"),
        (150 + 150 * gain).alias("only_ensemble"),
        (150 - 150 * gain).alias("only_member"),
        gain.alias("difference"),
        (gain - half).alias("low"),
        (gain + half).alias("high"),
        (gain - wide).alias("low_corrected"),
        (gain + wide).alias("high_corrected"),
        pl.lit(0.01).alias("p_value"),
        pl.when(gain.abs() > wide).then(0.001).otherwise(0.2).alias("p_corrected"),
        pl.len().over("size", "consensus", "condition").cast(pl.Int64).alias("num_compared"),
    )


def _calibration(ensemble: str, size: int, condition: str, answers_KN: Any) -> list[dict[str, Any]]:
    loss = float((answers_KN != 0).mean())
    return [
        {"consensus": "average", "nll": 2 * loss, "nll_stderr": 0.02, "brier": loss, "brier_stderr": 0.01}
        | {"ece": 0.04, "ece_debiased": 0.03, "mean_member_nll": 2.4 * loss, "ambiguity": 0.4 * loss}
    ]


def _plurality(answers_KN: Any) -> Any:
    """Votes of the right label and of the wrong label with the most, (N,) each."""
    counts_5N = np.stack([(answers_KN == label).sum(0) for label in range(5)])
    return counts_5N[0], counts_5N[1:].max(0)


def _agreement(ensemble: str, size: int, condition: str, answers_KN: Any) -> list[dict[str, Any]]:
    right_N, wrong_N = _plurality(answers_KN)
    n, rows = len(right_N), []
    for agreeing in range(1, size + 1):
        accepted = np.maximum(right_N, wrong_N) >= agreeing
        k, failed = int(accepted.sum()), int((accepted & (wrong_N >= right_N)).sum())
        low, high = _interval(failed, k) if k else (NAN, NAN)
        rows.append(
            {"agreeing": agreeing, "n": n, "accepted": k, "coverage": k / n}
            | {"risk": failed / k if k else NAN, "risk_low": low, "risk_high": high}
        )
    return rows


def _votes(ensemble: str, size: int, condition: str, answers_KN: Any) -> list[dict[str, Any]]:
    right_N, wrong_N = _plurality(answers_KN)
    n, rows = len(right_N), []
    for voter, needed in (("majority", size // 2 + 1), ("unanimous", size)):
        right, wrong = float((right_N >= needed).mean()), float((wrong_N >= needed).mean())
        low, high = _interval(wrong * n, n)
        rows.append(
            {"voter": voter, "right": right, "safe_stop": 1 - right - wrong, "silent_wrong": wrong}
            | {"silent_wrong_low": low, "silent_wrong_high": high, "n": n}
        )
    return rows


def _joint_failures(ensemble: str, size: int, condition: str, answers_KN: Any) -> list[dict[str, Any]]:
    rows = []
    for subset, kept in (("all", slice(None)), ("without_suspects", slice(3, None))):
        failed_KN = answers_KN[:, kept] != 0
        right_N, wrong_N = _plurality(answers_KN[:, kept])
        n = failed_KN.shape[1]
        joint, rate_K = float(failed_KN.all(0).mean()), failed_KN.mean(1)
        low, high = _interval(joint * n, n)
        p1 = float(rate_K.mean())
        rows.append(
            {"subset": subset, "n": n, "all_fail": joint, "all_fail_low": low, "all_fail_high": high}
            | {"all_fail_independent": float(rate_K.prod())}
            | {"majority_fail": float((failed_KN.sum(0) * 2 > size).mean())}
            | {"majority_fail_independent": 3 * p1**2 - 2 * p1**3}
            | {"vote_fail": float((wrong_N >= right_N).mean())}
            | {"identical_wrong": float((wrong_N * 2 > size).mean())}
            | {"beta": min(1.0, joint / p1 + 0.3) if p1 else NAN, "beta_stderr": 0.02}
            | {"beta_independent": p1 if p1 else NAN}
        )
    return rows


def _predicted(ensemble: str, size: int, condition: str, answers_KN: Any) -> list[dict[str, Any]]:
    failed_KN = answers_KN != 0
    n = failed_KN.shape[1]
    p1, rows = float(failed_KN.mean()), []
    for system, observed, alone in (
        ("all_fail", float(failed_KN.all(0).mean()), p1**size),
        ("majority_fail", float((failed_KN.sum(0) * 2 > size).mean()), 3 * p1**2 - 2 * p1**3),
    ):
        low, high = _interval(observed * n, n)
        for source, grouping, predicted, note in (
            ("half of the images", "", observed * 1.03, ""),
            ("other models", "family", observed * 0.9, ""),
            ("other models", "training", NAN, "a methodology has no other model"),
        ):
            rows.append(
                {"system": system, "predicted_from": source, "grouping": grouping, "predicted": predicted}
                | {"independent": alone, "observed": observed, "observed_low": low, "observed_high": high}
                | {"n": n, "note": note}
            )
    return rows


def _hazards(ensemble: str, size: int, condition: str, answers_KN: Any) -> list[dict[str, Any]]:
    failed_N = (answers_KN != 0).all(0)
    rows = []
    for kind, name, part in (("class", "tram", failed_N[:20]), ("group", "vehicles", failed_N[:40])):
        low, high = _interval(float(part.sum()), len(part))
        rows.append(
            {"kind": kind, "name": name, "n": len(part), "joint_failure": float(part.mean()), "low": low}
            | {"high": high, "failure": float(failed_N.mean()), "expected_cost": 0.3 if size == 3 else NAN}
        )
    return rows


def _groups(world: World, grouping: str) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for i, model in enumerate(world.models):
        groups.setdefault(model[grouping], []).append(i)
    return groups


def _pairs_of_groups(groups: dict[str, list[int]]) -> list[tuple[str, str]]:
    return list(itertools.combinations_with_replacement(groups, 2))


def _methodologies(world: World) -> pl.DataFrame:
    rows = []
    for condition, subset, grouping in itertools.product(
        world.answers, ("all", "without_suspects"), ("family", "training")
    ):
        failed_MN = world.answers[condition] != 0
        groups = _groups(world, grouping)
        for a, b in _pairs_of_groups(groups):
            key = {"condition": condition, "subset": subset, "grouping": grouping}
            key |= {"methodology_a": a, "methodology_b": b, "m_a": len(groups[a]), "m_b": len(groups[b])}
            theta_a, theta_b = failed_MN[groups[a]].mean(0), failed_MN[groups[b]].mean(0)
            mean_a, mean_b = float(theta_a.mean()), float(theta_b.mean())
            known = a != b or len(groups[a]) > 1
            note = "" if known else "one model: variance is not identified"
            joint = float((theta_a * theta_b).mean()) if known else NAN
            values = {"joint_failure": joint, "independent": mean_a * mean_b if known else NAN}
            values |= {"covariance": joint - mean_a * mean_b}
            values |= {"correlation": float(np.corrcoef(theta_a, theta_b)[0, 1]) if known else NAN}
            if a == b:
                values = {"mean_failure": mean_a} | values
            for quantity, value in values.items():
                half = 0.02 if quantity != "correlation" else 0.2
                rows.append(
                    key
                    | {"quantity": quantity, "value": value, "low": value - half, "high": value + half}
                    | {"note": "" if quantity == "mean_failure" else note}
                )
    return pl.DataFrame(rows, infer_schema_length=None)


def _properties(world: World) -> pl.DataFrame:
    rows = []
    for condition in world.answers:
        for grouping in ("family", "training"):
            for a, b in itertools.combinations(_groups(world, grouping), 2):
                key = {"condition": condition, "grouping": grouping, "methodology_a": a, "methodology_b": b}
                holds = None if "ViT" in (a, b) else False
                note = "" if holds is False else "undecided: the interval reaches over the margin"
                rows += [
                    key
                    | {"property": "indifference", "value": 0.03, "low": 0.021, "high": 0.05, "margin": 0.02}
                    | {"holds": holds, "note": note},
                    key
                    | {"property": "different_factors", "value": 0.7, "low": 0.6, "high": 0.8, "margin": 0.1}
                    | {"holds": False, "note": ""},
                ]
        rows.append(
            {"condition": condition, "grouping": "architecture × training", "methodology_a": "architecture"}
            | {"methodology_b": "training", "property": "logically_unrelated", "value": NAN, "low": NAN}
            | {"high": NAN, "margin": 0.02, "holds": None, "note": "not identified: no complete crossing"}
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def _robustness(world: World) -> pl.DataFrame:
    rows = []
    for condition in world.conditions:
        if condition["corruption"] is None:
            continue
        clean_M = (world.answers[f"{condition['dataset']}/clean"] == 0).mean(1)
        top1_M = (world.answers[condition["condition"]] == 0).mean(1)
        expected_M = np.clip(clean_M - (clean_M.mean() - top1_M.mean()), 0.02, 0.98)
        for model, clean, top1, expected in zip(world.models, clean_M, top1_M, expected_M, strict=True):
            residual = top1 - expected
            rows.append(
                {"condition": condition["condition"], "model": model["model"], "family": model["family"]}
                | {"training": model["training"], "clean_top1": clean, "top1": top1}
                | {"expected_top1": expected, "residual_probit": 3 * residual, "residual_points": residual}
                | {"low": residual - 0.03, "high": residual + 0.03, "n_models": len(world.models)}
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def _robustness_groups(world: World) -> pl.DataFrame:
    table = _robustness(world)
    if not table.height:
        return table
    return pl.concat(
        table.group_by("condition", pl.col(kind).alias("group"), maintain_order=True)
        .agg(pl.len().alias("n_models"), pl.col("residual_points").mean())
        .with_columns(
            pl.lit(kind).alias("kind"),
            (pl.col("residual_points") - 0.04).alias("low"),
            (pl.col("residual_points") + 0.04).alias("high"),
            pl.when(pl.col("n_models") < 2).then(pl.lit("one model")).otherwise(pl.lit("")).alias("note"),
        )
        for kind in ("family", "training")
    )


def _lineage(world: World) -> pl.DataFrame:
    rows = [
        (a["model"], b["model"], "training_data", "imagenet-1k")
        for a, b in itertools.combinations(world.models, 2)
    ]
    rows += [
        (a["model"], b["model"], "teacher", "regnety_160")
        for a, b in itertools.combinations(world.models, 2)
        if a["training"] == b["training"] == "distilled"
    ]
    return pl.DataFrame(rows, schema=["model_a", "model_b", "kind", "value"], orient="row")


def _cka(world: World) -> pl.DataFrame:
    rows = []
    for condition in world.conditions[:1]:
        for (i, a), (j, b) in itertools.combinations(enumerate(world.models), 2):
            for depth_a, depth_b in itertools.product(range(4 + i % 3), range(4 + j % 4)):
                undefined = (i, j, depth_a, depth_b) == (0, 1, 0, 0)
                closeness = 0.9 - 0.15 * abs(depth_a / (4 + i % 3) - depth_b / (4 + j % 4)) * 4
                rows.append(
                    {"condition": condition["condition"], "model_a": a["model"], "model_b": b["model"]}
                    | {"layer_a": f"layer{depth_a}.block", "depth_a": depth_a}
                    | {"layer_b": f"blocks.{depth_b}", "depth_b": depth_b}
                    | {"value": NAN if undefined else closeness, "stderr": 0.02, "n_images": 256}
                    | {"note": "no spread in a layer" if undefined else ""}
                )
            rows.append(
                {"condition": condition["condition"], "model_a": a["model"], "model_b": b["model"]}
                | {"layer_a": "map:saliency", "depth_a": -1, "layer_b": "map:saliency", "depth_b": -1}
                | {"value": 0.2, "stderr": 0.03, "n_images": 256, "note": ""}
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def _attribution_agreement(world: World) -> pl.DataFrame:
    rows = [
        {"condition": condition["condition"], "target": "predicted", "normalise": "none"}
        | {"method_a": a, "method_b": b, "n_pairs": len(world.models) * (len(world.models) - 1) // 2}
        | {"pearson": 0.9 - 0.05 * k, "spearman": 0.85, "low": 0.7, "high": 0.95}
        for condition in world.conditions
        for k, (a, b) in enumerate(itertools.combinations(METHODS, 2))
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def suspects(world: World, png: bytes, num: int) -> pl.DataFrame:
    """The first images of the first data set, missed by all models."""
    schema = {
        "dataset": pl.String, "sample_id": pl.String, "condition": pl.String, "label": pl.Int64,
        "label_name": pl.String, "num_wrong": pl.Int64, "num_models": pl.Int64, "agreed_label": pl.Int64,
        "agreed_name": pl.String, "agreed_share": pl.Float64, "png": pl.Binary,
    }  # fmt: skip
    first = world.conditions[0]
    where, m = first["dataset"], len(world.models)
    rows = [
        (where, f"{where}_{k}.jpg", first["condition"], k, f"class {k}", m, m, 7, "screen", share, png)
        for k, share in zip(range(num), itertools.chain([NAN], itertools.repeat(0.8)), strict=False)
    ]
    return pl.DataFrame(rows, schema=schema, orient="row")


def front(world: World) -> pl.DataFrame:
    """What is better than everything that has no more parameters: single models, then ensembles."""
    groups = [[i] for i in range(len(world.models))]
    groups += [list(m) for members in world.members.values() for m in members]
    params = [sum(world.models[i]["params"] for i in members) for members in groups]
    rows: list[dict[str, Any]] = []
    for total, members in sorted(zip(params, groups, strict=True)):
        skills = sorted(world.models[i]["robust"] for i in members)
        chosen = skills[-1] + 0.05 * (len(members) > 1) - 0.1 * (skills[-1] - skills[0])
        if rows and chosen <= rows[-1]["chosen_top1"]:
            continue
        alone = len(members) == 1
        rows.append(
            {"size": len(members), "consensus": None if alone else "average", "ensemble": world.name(members)}
            | {"members": [world.models[i]["model"] for i in members], "params": total}
            | {"macs": sum(world.models[i]["macs"] for i in members), "chosen_top1": chosen}
            | {"top1": chosen - 0.02, "top1_low": chosen - 0.05, "top1_high": chosen + 0.01}
            | {"unseen_top1": chosen - 0.08, "unseen_low": chosen - 0.11, "unseen_high": chosen - 0.05}
            | {"is_single": alone}
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def selection_splits(world: World) -> pl.DataFrame:
    """What twenty other halves of the images would have chosen: one ensemble most often, then a model."""
    models = [model["model"] for model in world.models]
    rows: list[dict[str, Any]] = []
    for split in range(20):
        members = [0] if split % 5 == 4 else [0, 1, 2] if split % 3 else [0, 1, 3 % len(models)]
        alone = len(members) == 1
        rows.append(
            {"split": split, "ensemble": world.name(members), "members": [models[i] for i in members]}
            | {
                "size": len(members),
                "consensus": None if alone else "average",
                "best_single_model": models[0],
            }
            | {"gain_chosen": 0.0 if alone else 0.03, "gain_held_out": 0.0 if alone else 0.002 * (split - 6)}
            | {"gain_unseen": 0.0 if alone else 0.001 * (split - 9)}
        )
    return pl.DataFrame(rows, infer_schema_length=None)
