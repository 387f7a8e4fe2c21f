"""A made-up study folder with realistic numbers: what the report is developed and tested against.

Run it to look at a report without running a model: `python tests/report/synthetic.py FOLDER`.
"""

from __future__ import annotations

import io
import itertools
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs
import synthetic_extra as extra  # conftest.py puts it where this finds it
from having import metrics, whole
from PIL import Image
from synthetic_gains import gain_tables

from nversion.core import fingerprint_file
from nversion.core.study_files import write_manifest, write_table
from nversion.report.tables import Choice

# name, family, training, parameters in millions, GMACs, clean skill, robustness
POOL = [
    ("resnet50", "CNN", "supervised", 25.6, 4.1, 0.76, 0.35),
    ("resnext50_32x4d", "CNN", "supervised", 25.0, 4.3, 0.775, 0.39),
    ("resnet152", "CNN", "supervised", 60.2, 11.6, 0.783, 0.40),
    ("efficientnet_b0", "NAS", "supervised", 5.3, 0.4, 0.77, 0.45),
    ("mnasnet_100", "NAS", "supervised", 4.4, 0.3, 0.74, 0.36),
    ("squeezenet1_1", "CNN", "supervised", 1.2, 0.35, 0.58, 0.20),
    ("deit_tiny_patch16_224", "ViT", "distilled", 5.7, 1.3, 0.72, 0.47),
    ("deit_base_patch16_224", "ViT", "distilled", 86.6, 17.6, 0.82, 0.64),
    ("vit_base_patch16_224", "ViT", "supervised", 86.6, 17.6, 0.81, 0.61),
    ("swin_tiny_patch4_window7_224", "ViT", "supervised", 28.3, 4.5, 0.81, 0.55),
    ("convnext_tiny", "CNN", "supervised", 28.6, 4.5, 0.82, 0.56),
    ("dino_resnet50", "CNN", "self-supervised", 25.6, 4.1, 0.75, 0.22),
    ("dino_vitb8", "ViT", "self-supervised", 87.3, 66.9, 0.80, 0.56),
    ("mobilenetv3_large_100", "NAS", "supervised", 5.5, 0.2, 0.755, 0.38),
]
CORRUPTIONS = [("lines", 1.6), ("plasma_noise", 4.0), ("checkerboard_cutout", 4.0), ("water_drop", 7.0)]
CONSENSUS = ("average", "probability", "median", "geometric_mean", "vote")
PAIRWISE = ("disagreement", "q", "rho", "double_fault")
ATTRIBUTION = tuple(f"attribution_saliency_{t}_{n}" for t in ("predicted", "label") for n in ("none", "l2"))


@dataclass(frozen=True)
class Shape:
    """What the made-up study looks like."""

    num_models: int = 14
    num_images: int = 1300
    datasets: tuple[str, ...] = ("val1300", "val1300-v2")
    num_corruptions: int = 4
    sizes: tuple[int, ...] = (3,)
    max_ensembles: int | None = None
    consensus: tuple[str, ...] = CONSENSUS
    attribution: bool = True
    images: bool = True
    long_names: bool = False
    undefined_metric: str | None = None
    cross_conditions: bool = True
    selection: bool = False
    extra: bool = True
    num_suspects: int = 3
    seed: int = 0


def write_study(folder: Path, shape: Shape = Shape()) -> Path:
    """Write FOLDER/manifest.json and FOLDER/tables/*.parquet; returns `folder`."""
    rng = np.random.default_rng(shape.seed)
    models = _models(shape)
    conditions = _conditions(shape)
    tables: dict[str, pl.DataFrame] = {"conditions": pl.DataFrame(conditions, infer_schema_length=None)}
    margins = _margins(models, conditions, shape, rng)
    tables["models"] = _model_table(models, conditions, margins)
    tables["ensembles"], tables["diversity"] = _ensemble_tables(models, conditions, margins, shape, rng)
    tables["pairs"] = _pairs(models, conditions, margins)
    tables["metrics"] = _metrics(shape)
    if shape.extra:
        world = extra.world(models, conditions, margins, shape.sizes, shape.max_ensembles)
        diversity, pairs, bounds = extra.more_metrics(world, shape.attribution)
        if diversity.height:
            tables["diversity"] = pl.concat([tables["diversity"], diversity], how="vertical_relaxed")
        tables["pairs"] = pl.concat([tables["pairs"], pairs], how="vertical_relaxed")
        more = pl.DataFrame(bounds, schema=tables["metrics"].schema, orient="row")
        tables["metrics"] = pl.concat([tables["metrics"], more])
        tables |= extra.extra_tables(world, tables["ensembles"])
        dot = _png(np.zeros((8, 8, 3), np.uint8))
        compared = tables.get("comparisons", pl.DataFrame())
        tables |= gain_tables(world, compared, dot, shape.selection)
        tables["suspects"] = extra.suspects(world, dot, shape.num_suspects)
        if shape.selection:
            tables["front"] = extra.front(world)
            tables["selection_splits"] = extra.selection_splits(world)
        first = tables["ensembles"]["ensemble"].head(1).to_list()
        shown = [names.split(" + ")[::-1] for names in first]  # none of these models has a + in its name
        tables["ensembles"] = tables["ensembles"].with_columns(
            pl.lit("training_data: imagenet-1k").alias("shared_lineage")
        )
    tables["correlations"] = _correlations(tables["ensembles"], tables["diversity"], shape)
    if shape.images:
        tables["samples"], maps = _pictures(models, conditions, rng)
        if shape.attribution:
            tables["maps"] = maps
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    manifest = _manifest(models, shape)
    if shape.extra:
        manifest["settings"]["report"] = {"ensembles": shown, "suspects": 24}
        manifest["attribution_passes"] = {"saliency": 1, "integrated_gradients-10": 10, "grad_cam": 1}
    facts = {"study_hash": manifest["study_hash"]}
    tables["metrics"] = metrics(tables["metrics"]["metric"])
    tables = {name: whole(name, table) for name, table in tables.items()}
    for name, table in tables.items():
        write_table(folder, name, table, facts)
    if shape.selection:
        table, choice = _selection(models, conditions)
        write_table(folder, "selection", table, facts | {"selection": json.dumps(choice)})
    (folder / "manifest.json").write_text(json.dumps(manifest))
    seal(folder)
    (folder / "study.toml").write_text('name = "synthetic"\n')
    return folder


def seal(folder: Path) -> Path:
    """Let the manifest hold the digests of the tables as they are now; returns `folder`."""
    manifest = json.loads((folder / "manifest.json").read_text())
    digests = {path.stem: fingerprint_file(path) for path in sorted((folder / "tables").glob("*.parquet"))}
    content = {key: value for key, value in manifest.items() if key not in ("seal", "tables", "format")}
    write_manifest(folder, content, digests)
    return folder


def _models(shape: Shape) -> list[dict[str, Any]]:
    models = []
    for i in range(shape.num_models):
        name, family, training, params, macs, clean, robust = POOL[i % len(POOL)]
        if i >= len(POOL):
            name = f"{name}.variant_{i // len(POOL)}"
        if shape.long_names:
            name = f"{name}.augreg_in21k_ft_in1k_with_a_very_long_training_tag_and_resolution_384_{i}"
        models.append(
            {
                "model": name,
                "family": family,
                "training": training,
                "params": int(params * 1e6),
                "macs": int(macs * 1e9),
                "clean": clean,
                "robust": robust,
            }
        )
    return models


def _conditions(shape: Shape) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for dataset in shape.datasets:
        rows.append(_condition(dataset, None, None, shape.num_images))
        rows += [_condition(dataset, c, s, shape.num_images) for c, s in CORRUPTIONS[: shape.num_corruptions]]
    return rows


def _condition(dataset: str, corruption: str | None, severity: float | None, n: int) -> dict[str, Any]:
    return {
        "condition": f"{dataset}/clean" if corruption is None else f"{dataset}/{corruption}-{severity:g}",
        "dataset": dataset,
        "corruption": corruption,
        "severity": severity,
        "seed": 0,
        "n": n,
        "excluded": 1 if corruption is None else 0,
    }


def _margins(
    models: Sequence[dict[str, Any]],
    conditions: Sequence[dict[str, Any]],
    shape: Shape,
    rng: np.random.Generator,
) -> dict[str, np.ndarray[Any, Any]]:
    """Margin of the right class, per condition (M, N): above 0 is right."""
    families = sorted({m["family"] for m in models})
    margins = {}
    for number, condition in enumerate(conditions):
        n = condition["n"]
        difficulty_N = rng.normal(size=n)
        by_family_FN = rng.normal(size=(len(families), n))
        own_MN = rng.normal(size=(len(models), n))
        hardness = 0.0 if condition["corruption"] is None else (0.7, 0.9, 1.0, 0.3)[number % 4]
        accuracy_M = np.array([m["clean"] * (1 - hardness) + m["robust"] * hardness for m in models])
        if condition["dataset"].endswith("v2"):
            accuracy_M = accuracy_M - 0.1
        family_M = [families.index(m["family"]) for m in models]
        spread = np.sqrt(1 + 0.36 + 0.49)
        score_MN = difficulty_N + 0.6 * by_family_FN[family_M] + 0.7 * own_MN
        threshold_M = np.array([_normal_quantile(1 - a) for a in accuracy_M]) * spread
        steepness_M = 0.6 + 0.8 * rng.random(len(models))
        margins[condition["condition"]] = (score_MN - threshold_M[:, None]) * steepness_M[:, None]
    return margins


def _normal_quantile(p: float) -> float:
    grid = np.linspace(-4, 4, 4001)
    density = np.exp(-(grid**2) / 2)
    return float(np.interp(p, np.cumsum(density) / density.sum(), grid))


def _model_table(models: Any, conditions: Any, margins: Any) -> pl.DataFrame:
    rows = []
    for condition in conditions:
        right_MN = margins[condition["condition"]] > 0
        for i, model in enumerate(models):
            n, top1 = condition["n"], float(right_MN[i].mean())
            z = 1.96
            centre = (top1 + z * z / (2 * n)) / (1 + z * z / n)
            half = z * np.sqrt(top1 * (1 - top1) / n + z * z / (4 * n * n)) / (1 + z * z / n)
            rows.append(
                {k: model[k] for k in ("model", "family", "training", "params", "macs")}
                | {"family_declared": True, "training_declared": True}
                | {
                    "condition": condition["condition"],
                    "n": n,
                    "top1": top1,
                    "top1_low": centre - half,
                    "top1_high": centre + half,
                    "top5": min(1.0, top1 + 0.6 * (1 - top1)),
                    "nll": 2.5 * (1 - top1),
                    "ece": 0.05,
                }
            )
    return pl.DataFrame(rows)


def _ensemble_tables(
    models: Any, conditions: Any, margins: Any, shape: Shape, rng: np.random.Generator
) -> tuple[pl.DataFrame, pl.DataFrame]:
    names = np.array([m["model"] for m in models])
    params = np.array([m["params"] for m in models])
    macs = np.array([m["macs"] for m in models])
    style_MD = rng.normal(size=(len(models), 6)) + 2 * rng.normal(size=(len(models), 1))
    frames, diversity = [], []
    for size in shape.sizes:
        members_EK = np.array(list(itertools.combinations(range(len(models)), size)), dtype=int).reshape(
            -1, size
        )
        if shape.max_ensembles is not None:
            members_EK = members_EK[: shape.max_ensembles]
        ensemble = [" + ".join(names[m]) for m in members_EK]
        listed = [list(names[m]) for m in members_EK]
        if not len(members_EK):
            continue
        for condition in conditions:
            margin_MN = margins[condition["condition"]]
            right_MN = margin_MN > 0
            accuracy_M = right_MN.mean(1)
            n = margin_MN.shape[1]
            right_EK_N = right_MN[members_EK]
            best_E = accuracy_M[members_EK].max(1)
            mean_E = accuracy_M[members_EK].mean(1)
            votes_EN = right_EK_N.sum(1)
            winners = {
                "average": (margin_MN[members_EK].mean(1) > -0.22).mean(1),
                "probability": ((1 / (1 + np.exp(-margin_MN[members_EK]))).mean(1) > 0.455).mean(1),
                "median": (np.median(margin_MN[members_EK], axis=1) > -0.17).mean(1),
                "vote": np.where(
                    votes_EN * 2 > size, 1.0, np.where(votes_EN >= 1, 0.5 * votes_EN / size, 0)
                ).mean(1),
            }
            winners["geometric_mean"] = winners["average"]
            for consensus in shape.consensus:
                top1_E = winners[consensus]
                spread_E = np.sqrt(np.maximum(votes_EN / size * (1 - votes_EN / size), 0).mean(1) / n)
                frames.append(
                    pl.DataFrame(
                        {
                            "ensemble": ensemble,
                            "members": listed,
                            "size": size,
                            "consensus": consensus,
                            "condition": condition["condition"],
                            "top1": top1_E,
                            "best_member_top1": best_E,
                            "mean_member_top1": mean_E,
                            "improvement": top1_E - best_E,
                            "improvement_stderr": spread_E,
                            "ties": (votes_EN == 1).sum(1)
                            if consensus == "vote"
                            else np.zeros(len(ensemble), int),
                            "params": params[members_EK].sum(1),
                            "macs": macs[members_EK].sum(1),
                        }
                    )
                )
            values = _pairwise(right_MN)
            pairs = list(itertools.combinations(range(size), 2))
            for metric in PAIRWISE:
                pair_EP = np.stack([values[metric][members_EK[:, a], members_EK[:, b]] for a, b in pairs], 1)
                undefined_E = np.isnan(pair_EP).sum(1)
                value_E = pair_EP.mean(1)
                if shape.undefined_metric == metric:
                    value_E, undefined_E = np.full(len(ensemble), np.nan), np.full(len(ensemble), len(pairs))
                diversity.append(_diversity(ensemble, size, condition, metric, value_E, 0.01, undefined_E))
            if shape.attribution:
                for k, metric in enumerate(ATTRIBUTION):
                    own_MD = style_MD + 0.1 * k + 0.4 * rng.normal(size=style_MD.shape)
                    value_E = own_MD[members_EK].var(1).sum(1) * 1e-3
                    diversity.append(_diversity(ensemble, size, condition, metric, value_E, 1e-4, 0))
    return pl.concat(frames) if frames else _no_ensembles(), pl.concat(
        diversity
    ) if diversity else _no_diversity()


def _no_ensembles() -> pl.DataFrame:
    text = ("ensemble", "consensus", "condition")
    numbers = ("top1", "best_member_top1", "mean_member_top1", "improvement", "improvement_stderr")
    whole = ("size", "ties", "params", "macs")
    schema: dict[str, Any] = dict.fromkeys(text, pl.String) | dict.fromkeys(numbers, pl.Float64)
    return pl.DataFrame(schema=schema | dict.fromkeys(whole, pl.Int64) | {"members": pl.List(pl.String)})


def _no_diversity() -> pl.DataFrame:
    schema: dict[str, Any] = dict.fromkeys(("ensemble", "condition", "metric"), pl.String)
    return pl.DataFrame(
        schema=schema
        | dict.fromkeys(("value", "stderr"), pl.Float64)
        | dict.fromkeys(("size", "n_undefined"), pl.Int64)
    )


def _diversity(
    ensemble: Any, size: int, condition: Any, metric: str, value: Any, se: float, undefined: Any
) -> Any:
    return pl.DataFrame(
        {
            "ensemble": ensemble,
            "size": size,
            "condition": condition["condition"],
            "metric": metric,
            "value": value,
            "stderr": np.full(len(ensemble), se),
            "n_undefined": np.broadcast_to(undefined, len(ensemble)),
        }
    )


def _pairwise(right_MN: Any) -> dict[str, Any]:
    r = right_MN.astype(float)
    n11, n00 = r @ r.T, (1 - r) @ (1 - r).T
    n10, n01 = r @ (1 - r).T, (1 - r) @ r.T
    n = right_MN.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "disagreement": (n10 + n01) / n,
            "q": (n11 * n00 - n01 * n10) / (n11 * n00 + n01 * n10),
            "rho": (n11 * n00 - n01 * n10) / np.sqrt((n11 + n10) * (n01 + n00) * (n11 + n01) * (n10 + n00)),
            "double_fault": n00 / n,
        }


def _pairs(models: Any, conditions: Any, margins: Any) -> pl.DataFrame:
    rows = []
    for condition in conditions:
        values = _pairwise(margins[condition["condition"]] > 0)
        rows += [
            (
                models[a]["model"],
                models[b]["model"],
                condition["condition"],
                metric,
                float(values[metric][a, b]),
            )
            for metric in PAIRWISE
            for a, b in itertools.combinations(range(len(models)), 2)
        ]
    return pl.DataFrame(rows, schema=["model_a", "model_b", "condition", "metric", "value"], orient="row")


def _correlations(ensembles: pl.DataFrame, diversity: pl.DataFrame, shape: Shape) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    names = ensembles["condition"].unique(maintain_order=True).to_list()
    metrics = [*diversity["metric"].unique(maintain_order=True), "mean_member_accuracy"]
    values: dict[tuple[Any, ...], Any] = {
        key: part["value"].to_numpy() for key, part in diversity.group_by("size", "condition", "metric")
    }
    outcome = dict(ensembles.group_by("size", "condition", "consensus"))
    for size, consensus in itertools.product(shape.sizes, shape.consensus):
        for on, accuracy in itertools.product(names, names):
            same = on == accuracy
            if not same and not (shape.cross_conditions and on == names[0]):
                continue
            part = outcome[size, accuracy, consensus]
            y, z = part["improvement"].to_numpy(), part["mean_member_top1"].to_numpy()
            for metric in metrics:
                x = (
                    outcome[size, on, consensus]["mean_member_top1"].to_numpy()
                    if metric == "mean_member_accuracy"
                    else values[size, on, metric]
                )
                rows += [
                    {
                        "metric": metric,
                        "size": size,
                        "consensus": consensus,
                        "diversity_condition": on,
                        "accuracy_condition": accuracy,
                        "statistic": statistic,
                        "value": value,
                        "low": low,
                        "high": high,
                        "n_ensembles": len(y),
                        "note": "" if np.isfinite(low) or statistic == "slope" else "no spread to relate",
                    }
                    for statistic, (value, low, high) in _relations(x, y, z, shape.num_models).items()
                ]
    if rows:
        return pl.DataFrame(rows, infer_schema_length=None)
    text = ("metric", "consensus", "diversity_condition", "accuracy_condition", "statistic", "note")
    schema: dict[str, Any] = dict.fromkeys(text, pl.String) | {"size": pl.Int64, "n_ensembles": pl.Int64}
    return pl.DataFrame(schema=schema | dict.fromkeys(("value", "low", "high"), pl.Float64))


def _relations(x: Any, y: Any, z: Any, num_models: int) -> dict[str, tuple[float, float, float]]:
    def correlate(a: Any, b: Any) -> float:
        with np.errstate(invalid="ignore", divide="ignore"):
            a, b = a - a.mean(), b - b.mean()
            return float((a @ b) / np.sqrt((a @ a) * (b @ b)))

    def interval(r: float) -> tuple[float, float, float]:
        if not np.isfinite(r) or abs(r) > 0.999999:
            return (np.nan, np.nan, np.nan)
        half = 2.16 / np.sqrt(num_models - 3)
        return r, float(np.tanh(np.arctanh(r) - half)), float(np.tanh(np.arctanh(r) + half))

    pearson, xz, yz = correlate(x, y), correlate(x, z), correlate(y, z)
    with np.errstate(invalid="ignore", divide="ignore"):
        partial = (pearson - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
        slope = pearson * y.std() / x.std()
    spearman = correlate(np.argsort(np.argsort(x)).astype(float), np.argsort(np.argsort(y)).astype(float))
    if not np.isfinite(pearson):
        spearman = np.nan
    return {
        "pearson": interval(pearson),
        "spearman": interval(spearman),
        "partial": (np.nan,) * 3 if x is z else interval(float(partial)),
        "slope": (float(slope), float(slope - abs(slope)), float(slope + abs(slope))),
    }


def _metrics(shape: Shape) -> pl.DataFrame:
    rows = [
        ("disagreement", 0.0, 1.0, True, "(N01 + N10) / N", "never", ""),
        ("q", -1.0, 1.0, False, "(N11·N00 − N01·N10) / (N11·N00 + N01·N10)", "both products are 0", ""),
        (
            "rho",
            -1.0,
            1.0,
            False,
            "Pearson correlation of right/wrong",
            "a member is always right or wrong",
            "",
        ),
        ("double_fault", 0.0, 1.0, False, "N00 / N", "never", ""),
    ]
    if shape.attribution:
        rows += [
            (m, 0.0, None, True, "Σ Var_i(a_i) over pixels and channels", "never", "") for m in ATTRIBUTION
        ]
    columns = [
        "metric",
        "low_bound",
        "high_bound",
        "higher_is_more_diverse",
        "formula",
        "undefined_when",
        "notes",
    ]
    return pl.DataFrame(rows, schema=columns, orient="row")


def _pictures(models: Any, conditions: Any, rng: np.random.Generator) -> tuple[pl.DataFrame, pl.DataFrame]:
    samples, maps = [], []
    y, x = np.mgrid[0:96, 0:96] / 96
    for k in range(4):
        base = np.stack([np.sin(6 * x * (k + 1)) + y, np.cos(5 * y + k) + x, x * y * 2], -1)
        base = np.uint8(255 * (base - base.min()) / np.ptp(base))
        for c, condition in enumerate(conditions):
            noisy = np.uint8(np.clip(base.astype(int) + c * rng.integers(-12, 12, base.shape), 0, 255))
            samples.append(
                (f"{condition['dataset']}_{k}.jpg", k, f"class {k}", condition["condition"], _png(noisy))
            )
        for i, model in enumerate(models):
            spot = np.exp(-((x - rng.random()) ** 2 + (y - rng.random()) ** 2) * 12)
            masked = np.uint8(base * np.clip(spot + 0.2 * rng.random((96, 96)), 0, 1)[..., None])
            right = (k + i) % 4 > 0
            name = f"class {k}" if right else "something else"
            where = (f"{conditions[0]['dataset']}_{k}.jpg", conditions[0]["condition"])
            shown = (model["model"], model["family"], f"class {k}", name, right, _png(masked))
            maps.append((*where, *shown))
    return (
        pl.DataFrame(samples, schema=["sample_id", "label", "label_name", "condition", "png"], orient="row"),
        pl.DataFrame(
            maps,
            schema=[
                "sample_id",
                "condition",
                "model",
                "family",
                "label_name",
                "predicted_name",
                "right",
                "png",
            ],
            orient="row",
        ),
    )


def _selection(models: Any, conditions: Any) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The first three models, chosen under all conditions but the last."""
    names = [condition["condition"] for condition in conditions]
    members, params = [m["model"] for m in models[:3]], sum(m["params"] for m in models[:3])
    top1 = {
        "chosen": (0.70, 0.66, 0.61),
        "best_single_model": (0.64, 0.63, 0.60),
        "average_ensemble": (0.60, 0.59, 0.55),
        "homogeneous": (0.66, 0.64, 0.58),
        "same_cost_model": (0.65, 0.645, 0.605),
        "best_in_hindsight": (None, 0.67, 0.64),
    }
    rows = []
    for role, values in top1.items():
        parts = (("selection", "seen"), ("held_out", "seen"), ("held_out", "unseen"))
        for (half, scope), value in zip(parts, values, strict=True):
            if value is None:
                continue
            compared = role == "chosen" and half == "held_out"
            paired = value - top1["best_single_model"][1 if scope == "seen" else 2] if compared else None
            single = role in ("best_single_model", "same_cost_model")
            mine = members[:1] if single else members
            rows.append(
                {
                    "role": role,
                    "ensemble": None if role == "average_ensemble" else " + ".join(mine),
                    "members": None if role == "average_ensemble" else mine,
                    "size": len(mine),
                    "consensus": None if single else "average",
                    "half": half,
                    "scope": scope,
                    "statistic": "worst",
                    "condition": None,
                    "n": 100,
                    "top1": value,
                    "top1_low": value - 0.05,
                    "top1_high": value + 0.05,
                    "difference": paired,
                    "difference_low": None if paired is None else paired - 0.02,
                    "difference_high": None if paired is None else paired + 0.02,
                    "params": models[0]["params"] if single else params,
                    "macs": 10**9,
                }
            )
    facts = {"size": None, "consensus": "average", "criterion": "worst", "seed": 0, "max_params": None}
    facts |= {"max_macs": None, "seen": names[:-1], "unseen": names[-1:], "candidates": 10, "drop": 0.04}
    facts |= {"single_models": len(models)}
    facts |= {"average_drop": 0.01, "optimism": 0.03, "regret_seen": 0.01, "regret_unseen": 0.03}
    return pl.DataFrame(rows, infer_schema_length=None), facts


def choice(*names: str) -> Choice:
    """What `nversion select` would have left: the models of these names, a million parameters each."""
    models = [{"model": name, "params": 10**6} for name in names]
    table, facts = _selection(models, [{"condition": f"d/{c}"} for c in ("clean", "lines-1", "plasma-2")])
    return Choice(table.with_columns(cs.float().fill_null(float("nan"))), facts)


def _png(pixels: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _manifest(models: Any, shape: Shape) -> dict[str, Any]:
    return {
        "study": "synthetic",
        "question": "Do diverse architectures fail together under natural corruptions?",
        "study_hash": "0f3c9a7d51",
        "logits": {},
        "versions": {"nversion": "0.1.0", "torch": "2.11.0", "torchvision": "0.26.0", "python": "3.11.9"},
        "device": "cpu",
        "command": "nversion study run study.toml",
        "created": "2026-01-01T12:00:00+00:00",
        "datasets": [
            {"name": d, "n": shape.num_images, "fingerprint": "ab12cd34ef56", "terms": "research only"}
            for d in shape.datasets
        ],
        "models": [
            {
                "name": m["model"],
                "source": f"timm:{m['model']}",
                "fingerprint": f"{i:012x}",
                "preprocessing": {
                    "input_size": 224,
                    "mean": [0.485, 0.456, 0.406],
                    "std": [0.229, 0.224, 0.225],
                    "interpolation": "bilinear",
                },
            }
            for i, m in enumerate(models)
        ],
        "settings": {
            "consensus": list(shape.consensus),
            "sizes": list(shape.sizes),
            "ensembles": "exhaustive",
            "seed": shape.seed,
            "attribution": {
                "method": "saliency",
                "absolute": True,
                "normalise": ["none", "l2"],
                "images": 100,
            },
        },
        "identities": ["geometric_mean = average"],
        "seconds": 1234.5,
        "notes": ["Made-up numbers: this study was never run."],
    }


if __name__ == "__main__":
    print(write_study(Path(sys.argv[1])))
