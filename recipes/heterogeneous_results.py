"""What triples of different architectures gain, and what explains resilience (the paper's sections 4.1, 4.2).

    nversion study run recipes/heterogeneous-gtsrb-study.toml
    python recipes/heterogeneous_results.py --study recipes/heterogeneous-gtsrb-study.toml \\
        --folder runs/heterogeneous-gtsrb --tracks runs/gtsrb/tracks.npz --out PAGE.md --pictures docs/results

Reads the finished study's logits and Gram matrices. The study's own intervals take images for independent;
frames of one track are nearly alike, so here the blocks of every jackknife and the units of every bootstrap
are tracks. Correlations and effective robustness have the intervals of nversion.reliability, for other tracks
and other models.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from explained_resilience import (
    ARCHITECTURE_CLASS,
    COEFFICIENTS,
    NESTED,
    RESAMPLES,
    Array,
    Pool,
    predictors,
    regressions,
)
from PIL import Image

from nversion.core import generator
from nversion.evaluation.measure import ConditionResult
from nversion.evaluation.trends import correlations
from nversion.reliability import effective_robustness, group_robustness
from nversion.study import open_study, read_spec
from nversion.study.run import open_predictions
from nversion.study.write import measure

SPLITS = 200
METRICS = {
    "attribution_saliency_label_none": "attribution, raw",
    "attribution_saliency_label_l2": "attribution, unit length",
    "disagreement": "disagreement",
    "mean_member_accuracy": "mean member accuracy",
}


def measured(given: argparse.Namespace) -> tuple[Pool, dict[str, ConditionResult], pl.DataFrame]:
    """The study's conditions with tracks as blocks, and the correlations that follow."""
    study = open_study(read_spec(given.study), given.folder, given.study.parent)
    stores = study.open_stores()
    views = open_predictions(study, stores)
    track_N = np.unique(np.load(given.tracks, allow_pickle=False)["track_evaluate"], return_inverse=True)[1]
    results, tables = {}, []
    for condition in study.conditions:
        view = views[condition.name]
        result = measure(study, stores, condition, replace(view, blocks_N=track_N[view.rows_N]))
        label = condition.name.split("/")[1]
        results[label] = result
        tables.append(correlations(result, None).with_columns(condition=pl.lit(label)))
        print(label, flush=True)
    cards = [classifier.card for classifier in study.classifiers]
    pool = Pool(
        list(study.model_names),
        [str(card.family) for card in cards],
        [str(card.training) for card in cards],
        np.array([card.num_parameters for card in cards], dtype=float),
        np.array([card.macs for card in cards], dtype=float),
        {label: result.models.right_BM.double().numpy() for label, result in results.items()},
        next(iter(results.values())).models.count_B.double().numpy(),
    )
    return pool, results, pl.concat(tables)


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Markdown."""
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def models_section(pool: Pool) -> list[str]:
    """Accuracy of each model, with the cluster-robust half width over tracks."""
    n = pool.count_T.sum()
    rows = []
    for m, name in enumerate(pool.names):
        cells = [
            name,
            pool.family[m],
            pool.training[m],
            f"{pool.params_M[m] / 1e3:.0f} k",
            f"{pool.macs_M[m] / 1e6:.1f} M",
        ]
        for right_TM in pool.right_TM.values():
            accuracy = right_TM[:, m].sum() / n
            rest_T = right_TM[:, m] - accuracy * pool.count_T
            half = 1.96 * np.sqrt((rest_T**2).sum()) / n
            cells.append(f"{100 * accuracy:.1f} ± {100 * half:.1f}")
        rows.append(cells)
    head = ["model", "family", "training", "parameters", "MACs", *pool.right_TM]
    return ["## Models: accuracy on held-out tracks, percent\n", *table(head, rows)]


def gains(result: ConditionResult, consensus: str, weight_RT: Array) -> Array:
    """Improvement of each triple over its best member, for each weighting of the tracks, (R, E)."""
    size = result.sizes[0]
    right_TE = size.evaluations[consensus].correct_BE.double().numpy()
    right_RM = weight_RT @ result.models.right_BM.double().numpy()
    n_R1 = (weight_RT @ result.models.count_B.double().numpy())[:, None]
    best_RE = right_RM[:, size.ensembles.members_EK.numpy()].max(-1)
    found: Array = (weight_RT @ right_TE - best_RE) / n_R1
    return found


def triples_section(pool: Pool, results: dict[str, ConditionResult]) -> list[str]:
    """Figures 5 and 6 in numbers."""
    num_tracks = len(pool.count_T)
    rng = generator("heterogeneous triples")
    drawn_RT = rng.multinomial(num_tracks, np.full(num_tracks, 1 / num_tracks), RESAMPLES).astype(float)
    half_ST = np.stack([rng.permutation(num_tracks) < num_tracks // 2 for _ in range(SPLITS)]).astype(float)
    rows = []
    for condition, result in results.items():
        for consensus in ("average", "vote"):
            own_E = gains(result, consensus, np.ones((1, num_tracks)))[0]
            drawn_RE = gains(result, consensus, drawn_RT)
            chosen_S = gains(result, consensus, half_ST).argmax(1)
            other_S = gains(result, consensus, 1 - half_ST)[np.arange(SPLITS), chosen_S]
            share_low, share_high = np.percentile((drawn_RE > 0).mean(1), [2.5, 97.5])
            low, high = 100 * np.percentile(np.median(drawn_RE, axis=1), [2.5, 97.5])
            members = result.sizes[0].ensembles.members_EK[int(own_E.argmax())].tolist()
            right_E = result.sizes[0].evaluations[consensus].correct_BE.sum(0)
            above_best = (right_E > result.models.right_BM.sum(0).max()).double().mean()
            rows.append(
                [
                    condition,
                    consensus,
                    f"{(own_E > 0).mean():.0%} [{share_low:.0%}, {share_high:.0%}]",
                    f"{100 * np.median(own_E):+.1f} [{low:+.1f}, {high:+.1f}]",
                    f"{100 * own_E.max():+.1f}: " + ", ".join(pool.names[m] for m in members),
                    f"{100 * other_S.mean():+.1f}",
                    f"{above_best:.0%}",
                ]
            )
    head = [
        "condition",
        "consensus",
        "above zero",
        "median",
        "greatest",
        "greatest of one half, on the other",
        f"above the best of {len(pool.names)} models",
    ]
    title = "## Gain of all triples over their best member, points"
    note = (
        '"Greatest of one half": chosen on half of the tracks, measured on the other; mean of 200 halves.\n'
    )
    return [title, note, *table(head, rows)]


def correlations_section(related: pl.DataFrame, conditions: list[str]) -> list[str]:
    """Figures 5 to 7 in numbers."""
    lines = []
    for consensus, statistic in (("average", "pearson"), ("vote", "pearson"), ("average", "partial")):
        rows = []
        for metric, label in METRICS.items():
            cells = [label]
            for condition in conditions:
                found = related.filter(
                    metric=metric, condition=condition, consensus=consensus, statistic=statistic
                )
                if found.is_empty():
                    break
                value, low, high = found.select("value", "low", "high").row(0)
                text = f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"
                cells.append(f"**{text}**" if low > 0 or high < 0 else text)
            if len(cells) > 1:
                rows.append(cells)
        what = "Pearson correlation" if statistic == "pearson" else "Partial correlation given mean accuracy"
        lines += [f"## {what} with the gain, {consensus}\n", *table(["metric", *conditions], rows)]
    return lines


def steepest_section(pool: Pool, results: dict[str, ConditionResult]) -> list[str]:
    """Whether one model of steep logits makes the correlation of raw maps."""
    rows = []
    for condition, result in results.items():
        size = result.sizes[0]
        has_EM = (size.ensembles.members_EK[:, :, None] == torch.arange(len(pool.names))).any(1).numpy()
        raw_E = size.diversity["attribution_saliency_label_none"].full_E.numpy()
        gain_E = size.improvement["average"].full_E.numpy()
        steepest = int((has_EM.T @ raw_E).argmax())
        others = np.delete(np.arange(len(pool.names)), steepest)
        cells = [condition, pool.names[steepest]]
        for part_E in (has_EM[:, steepest], ~has_EM[:, steepest]):
            value = np.corrcoef(raw_E[part_E], gain_E[part_E])[0, 1]
            without = [
                np.corrcoef(raw_E[part_E & ~has_EM[:, m]], gain_E[part_E & ~has_EM[:, m]])[0, 1]
                for m in others
            ]
            cells += [
                f"{value:+.2f} ({min(without):+.2f} to {max(without):+.2f})",
                f"{100 * gain_E[part_E].mean():+.1f}",
            ]
        rows.append(cells)
    head = [
        "condition",
        "steepest",
        "with it: r",
        "with it: mean gain",
        "without it: r",
        "without it: mean gain",
    ]
    title = "## Raw maps and gain (average) with and without the model of the steepest logits"
    note = (
        "Pearson correlation; in brackets the least and greatest without each other model. Gains in points.\n"
    )
    return [title, note, *table(head, rows)]


def explained_section(pool: Pool) -> list[str]:
    """Table 1's question."""
    found = regressions(pool)
    num_columns = {name: of.shape[1] for name, of in predictors(pool, pool.params_M).items()}
    shares, coefficients = [], []
    for i, (name, (of_these, _)) in enumerate(NESTED.items()):
        cells = [name, str(sum(num_columns[key] for key in of_these))]
        for values, drawn, without in found.values():
            low, high = 100 * np.percentile(drawn[:, i], [2.5, 97.5])
            mark = "*" if values[len(NESTED) + len(COEFFICIENTS) + i] < 0.05 else ""
            least, most = 100 * without[:, i].min(), 100 * without[:, i].max()
            cells.append(f"{100 * values[i]:.0f}{mark} [{low:.0f}, {high:.0f}] ({least:.0f} to {most:.0f})")
        shares.append(cells)
    for i, name in enumerate(COEFFICIENTS, start=len(NESTED)):
        cells = [name]
        for values, drawn, without in found.values():
            low, high = np.percentile(drawn[:, i], [2.5, 97.5])
            least, most = without[:, i].min(), without[:, i].max()
            cells.append(f"{values[i]:+.2f} [{low:+.2f}, {high:+.2f}] ({least:+.2f} to {most:+.2f})")
        coefficients.append(cells)
    return [
        "## Share of the variance of resilience that is explained, percent",
        f"Log odds of accuracy by least squares over {len(pool.names)} models. "
        "* F test p < 0.05; [95 % over tracks];\n"
        "(least to greatest without each model).\n",
        *table(["by", "columns", *found], shares),
        "## Standardised coefficients: accuracy, size and training together",
        "Brackets as above.\n",
        *table(["of", *found], coefficients),
    ]


def robustness_section(pool: Pool, results: dict[str, ConditionResult]) -> list[str]:
    """How far each model and each group lies above the line of all in clean accuracy."""
    clean, *corrupted = [result.models for result in results.values()]
    found = [effective_robustness(clean.right_BM, of.right_BM, clean.count_B) for of in corrupted]
    rows = [
        [name, *(_told(f.residual_points_M[m], f.low_M[m], f.high_M[m]) for f in found)]
        for m, name in enumerate(pool.names)
    ]
    for groups in ([ARCHITECTURE_CLASS.get(family, "CNN") for family in pool.family], pool.training):
        of_groups = [group_robustness(f, groups) for f in found]
        rows += [
            [
                f"all {same[0].n_models} {same[0].group}",
                *(_told(g.residual_points, g.low, g.high) for g in same),
            ]
            for same in zip(*of_groups, strict=True)
        ]
    head = ["points above the line", *pool.corrupted]
    return ["## Accuracy beyond what clean accuracy leads to expect, points\n", *table(head, rows)]


def _told(value: Any, low: Any, high: Any) -> str:
    text = f"{100 * float(value):+.1f} [{100 * float(low):+.1f}, {100 * float(high):+.1f}]"
    return f"**{text}**" if low > 0 or high < 0 else text


def stack_pictures(folder: Path, names: list[str], out: Path) -> None:
    """The report's figures under one another, at half their size and in 64 colours."""
    images = [Image.open(folder / f"{name}.png").convert("RGB") for name in names]
    images = [
        image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS) for image in images
    ]
    sheet = Image.new(
        "RGB", (max(i.width for i in images), sum(i.height + 16 for i in images)), color="white"
    )
    top = 0
    for image in images:
        sheet.paste(image, (0, top))
        top += image.height + 16
    sheet.quantize(64).save(out, optimize=True)


def main() -> None:
    """Measure, and write one page of tables and two pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--tracks", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, help="a folder for two pictures out of the report's")
    given = parser.parse_args()
    torch.set_num_threads(1)
    pool, results, related = measured(given)
    lines = [
        *models_section(pool),
        *triples_section(pool, results),
        *correlations_section(related, list(results)),
        *steepest_section(pool, results),
        *explained_section(pool),
        *robustness_section(pool, results),
    ]
    given.out.write_text("\n".join(lines))
    if given.pictures:
        figures = given.folder / "figures"
        gained = ["improvement_average", "improvement_vote"]
        stack_pictures(figures, gained, given.pictures / "heterogeneous-improvement.png")
        shown = ["accuracy_by_condition", "trend_grid"]
        stack_pictures(figures, shown, given.pictures / "heterogeneous-conditions.png")
    print(given.out)


if __name__ == "__main__":
    main()
