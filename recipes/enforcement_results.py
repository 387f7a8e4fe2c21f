"""What enforcing diversity bought.

    python recipes/enforcement_results.py --trained runs/gtsrb/enforcement --tracks runs/gtsrb/tracks.npz \\
        --heterogeneous runs/gtsrb/heterogeneous --weights runs/gtsrb/weights --out PAGE.md

Every trained ensemble of enforcement-gtsrb-reduced.toml under clean images and the paper's four corruptions
at their strengths for 32 pixels: accuracy of the average, gain over its best member, Shannon equitability of
the members' answers (Eq. 5, S = members) where the ensemble is right and where it is wrong, disagreement
(Eq. 4), attribution diversity (Eq. 7, saliency of the predicted class, raw and for maps of unit length) and
CKA (Eq. 6) of what enters the classifier layer. With `--heterogeneous`, the same of the triples of
heterogeneous-gtsrb-reduced.toml: all of them, and the one whose average is best on the clean tracks of
"select". With `--weights`, accuracies on the tracks of "select", by which weights of losses are chosen.

Differences from independent members are paired: same initial weights, same batches, same images. Their
intervals are percentiles over 2000 resamples of the seeds and of the tracks (frames of one track are nearly
alike), so they cover another training and other signs. The test set has no tracks: a
point estimate, on a seeded part of 1000. Evaluations are kept beside the weights and read again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from enforcement_measures import Inside, look_inside, of_answers, of_inside, predict
from torch import Tensor

from nversion.core import generator
from nversion.corruptions import PAPER_STRENGTHS_CIFAR
from nversion.data import Condition
from nversion.ensembles import Ensembles
from nversion.models import Classifier, load_classifier

BASELINE = "independent"
BEST, ALL = "heterogeneous, best on select", "heterogeneous, all triples"
TABLE_2 = (BASELINE, "gncl-average", "balanced", "eq8-0.001", "cosine", BEST, ALL)
RESAMPLES = 2000
NUM_TEST = 1000  # of the test set, a seeded part
Numbers = dict[tuple[str, str, str], list[dict[str, float]]]
Right = dict[tuple[str, str, str], list[Any]]


def conditions(name: str) -> list[Condition]:
    """Clean and the paper's four."""
    return [
        Condition(name),
        *(Condition(name, corruption, s) for corruption, s in PAPER_STRENGTHS_CIFAR.items()),
    ]


def rendered(part: str, x_NHW3: Any) -> dict[str, Tensor]:
    """The images of a part under each condition, float in [0, 1]."""
    images = torch.from_numpy(x_NHW3).permute(0, 3, 1, 2).contiguous()
    ids = [f"{part}/{i:06d}" for i in range(len(images))]
    return {c.name.split("/")[1]: c.render(images, ids).float() / 255 for c in conditions(part)}


def members_of(run: Path) -> list[Classifier]:
    """The trained networks of a run, by its training.json."""
    return [
        load_classifier({"source": f"file:{run.parent / m['file']}", "name": m["name"]})
        for m in json.loads(run.read_text())["members"]
    ]


def evaluated(
    run: Path, part: str, condition: str, images: Tensor, labels_N: Tensor
) -> tuple[dict[str, float], Any]:
    """Numbers of an ensemble and which images its average gets right; kept beside its weights."""
    kept = run.parent / f"evaluation-{part}-{condition}.npz"
    one = Ensembles.all_of(3, 3)
    if not kept.is_file():
        found, right_EN = of_answers(predict(members_of(run), images), labels_N, one)
        numbers = {name: value.item() for name, value in found.items()}
        np.savez(kept, right_N=right_EN[0].numpy(), numbers=json.dumps(numbers))
    with np.load(kept) as file:
        numbers, right_N = json.loads(str(file["numbers"])), file["right_N"]
    numbers = {name: value for name, value in numbers.items() if not name.startswith("attribution")}
    if part == "evaluate":
        inside = seen_inside(run.parent / f"inside-{part}-{condition}.npz", lambda: members_of(run), images)
        numbers |= {name: value.item() for name, value in of_inside(inside, one).items()}
    return numbers, right_N


def seen_inside(kept: Path, models: Any, images: Tensor) -> Inside:
    """`look_inside`, kept in a file."""
    if not kept.is_file():
        np.savez(kept, **{name: value.numpy() for name, value in vars(look_inside(models(), images)).items()})
    with np.load(kept) as file:
        return Inside(**{name: torch.from_numpy(file[name]) for name in file.files})


def add_heterogeneous(
    folder: Path, numbers: Numbers, images: dict[str, Tensor], labels_N: Tensor, select: tuple[Tensor, Tensor]
) -> str:
    """The rows BEST and ALL of a part's numbers; returns the runs of the best triple, one model each."""
    runs = sorted(folder.glob("*/seed-*/training.json"))
    models = [model for run in runs for model in members_of(run)]
    triples = Ensembles.all_of(len(models), 3)
    on_select, _ = of_answers(predict(models, select[0]), select[1], triples)
    best = int(on_select["accuracy"].argmax())
    for condition, of_condition in images.items():
        found, _ = of_answers(predict(models, of_condition), labels_N, triples)
        kept = folder / f"inside-evaluate-{condition}.npz"
        found |= of_inside(seen_inside(kept, lambda: models, of_condition), triples)
        rows = [dict(zip(found, row, strict=True)) for row in torch.stack([*found.values()]).T.tolist()]
        numbers["evaluate", condition, ALL] = rows
        numbers["evaluate", condition, BEST] = [rows[best]]
        print("heterogeneous", condition, flush=True)
    return ", ".join("/".join(runs[m].parts[-3:-1]) for m in triples.members_EK[best].tolist())


def paired_interval(
    ours_SN: np.ndarray[Any, Any], theirs_SN: np.ndarray[Any, Any], track_N: np.ndarray[Any, Any]
) -> tuple[float, float, float]:
    """Mean difference of accuracy over seeds S and images N, and a 95 % interval over both."""
    tracks, index_N = np.unique(track_N, return_inverse=True)
    difference_SN = ours_SN.astype(float) - theirs_SN
    sums_ST = np.stack([np.bincount(index_N, weights=row, minlength=len(tracks)) for row in difference_SN])
    sizes_T = np.bincount(index_N, minlength=len(tracks))
    rng = generator("enforcement intervals")
    drawn = []
    for _ in range(RESAMPLES):
        seeds = rng.integers(0, len(sums_ST), len(sums_ST))
        chosen = rng.integers(0, len(tracks), len(tracks))
        drawn.append(sums_ST[seeds][:, chosen].sum() / (len(seeds) * sizes_T[chosen].sum()))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(difference_SN.mean()), float(low), float(high)


def main() -> None:
    """Evaluate, and write one page of tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trained", type=Path, required=True)
    parser.add_argument("--tracks", type=Path, required=True)
    parser.add_argument("--heterogeneous", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--test", action="store_true", help="look at the test set, too: once, at the end")
    given = parser.parse_args()
    torch.set_num_threads(1)
    file = np.load(given.tracks, allow_pickle=False)
    some = generator("gtsrb test part").permutation(len(file["y_test"]))[:NUM_TEST]
    parts = {"evaluate": (file["x_evaluate"], file["y_evaluate"])}
    if given.test:
        parts["test"] = (file["x_test"][some], file["y_test"][some])
    select = file["x_select"], torch.from_numpy(file["y_select"])
    numbers: Numbers = {}
    right: Right = {}
    diverged: dict[str, int] = {}
    runs = sorted(given.trained.glob("*/seed-*/training.json"))
    for run in runs:
        diverged[run.parts[-3]] = diverged.get(run.parts[-3], 0) + bool(
            json.loads(run.read_text())["diverged"]
        )
    best = ""
    for part, (x_NHW3, y_N) in parts.items():
        images, labels_N = rendered(part, x_NHW3), torch.from_numpy(y_N)
        for condition, of_condition in images.items():
            for run in runs:
                found, right_N = evaluated(run, part, condition, of_condition, labels_N)
                key = (part, condition, run.parts[-3])
                numbers.setdefault(key, []).append(found)
                right.setdefault(key, []).append(right_N)
            print(part, condition, flush=True)
        if given.heterogeneous and part == "evaluate":
            clean = next(iter(rendered("select", select[0]).values()))
            best = add_heterogeneous(given.heterogeneous, numbers, images, labels_N, (clean, select[1]))
    lines = [*accuracy_tables(numbers, right, diverged, file["track_evaluate"]), *table_2(numbers, best)]
    lines += metric_tables(numbers)
    if given.weights:
        lines += weights_table(given.weights, rendered("select", select[0]), select[1])
    given.out.write_text("\n".join(lines) + "\n")
    print(given.out)


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Markdown."""
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def _names(numbers: Numbers) -> tuple[list[str], list[str]]:
    variants = sorted({v for part, _, v in numbers if part == "evaluate"}, key=lambda v: (v != BASELINE, v))
    return list(dict.fromkeys(condition for _, condition, _ in numbers)), variants


def accuracy_tables(numbers: Numbers, right: Right, diverged: dict[str, int], track_N: Any) -> list[str]:
    """Differences from independent members; accuracies on the test set."""
    names, variants = _names(numbers)
    rows = []
    for variant in (v for v in variants if v in diverged):
        cells = []
        for name in names:
            ours = np.stack(right["evaluate", name, variant])
            if variant == BASELINE:
                cells.append(f"{ours.mean():.1%} (all of it)")
                continue
            theirs = np.stack(right["evaluate", name, BASELINE])[: len(ours)]
            mean, low, high = paired_interval(ours, theirs, track_N)
            mark = " ↑" if low > 0 else " ↓" if high < 0 else ""
            cells.append(f"{100 * mean:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]{mark}")
        note = f" ({diverged[variant]} diverged)" if diverged[variant] else ""
        rows.append([variant + note, str(len(right["evaluate", names[0], variant])), *cells])
    lines = ["## Accuracy of the average, held-out tracks: difference from independent members, points\n"]
    lines += table(["heuristic", "seeds", *names], rows)
    if ("test", names[0], BASELINE) in numbers:
        rows = [
            [v, *(f"{np.mean([n['accuracy'] for n in numbers['test', name, v]]):.1%}" for name in names)]
            for v in variants
            if v in diverged
        ]
        lines += [
            "## Accuracy of the average, test set (point estimates)\n",
            *table(["heuristic", *names], rows),
        ]
    return lines


def table_2(numbers: Numbers, best: str) -> list[str]:
    """The paper's Table 2, and the same of maps and activations: clean / mean of the corruptions."""
    names, variants = _names(numbers)
    metrics = [name for name in next(iter(numbers.values()))[0] if name not in ("gain", "disagreement")]
    rows = []
    for variant in (v for v in TABLE_2 if v in variants):
        cells = [f"{variant} ({best})" if variant == BEST else variant]
        for metric in metrics:
            means = [np.nanmean([n[metric] for n in numbers["evaluate", name, variant]]) for name in names]
            digits = 0 if metric == "attribution diversity" else 3
            cells.append(f"{means[0]:.{digits}f} / {np.mean(means[1:]):.{digits}f}")
        rows.append(cells)
    title = "## Three kinds of diversity (Table 2), held-out tracks: clean / mean of four corruptions\n"
    return [title, *table(["ensemble", *metrics], rows)]


def metric_tables(numbers: Numbers) -> list[str]:
    """Every number by heuristic and condition."""
    names, variants = _names(numbers)
    lines = []
    for metric in list(next(iter(numbers.values()))[0])[1:]:
        rows = []
        for variant in variants:
            cells = [variant]
            for name in names:
                values = np.array([n[metric] for n in numbers["evaluate", name, variant]])
                values = values[np.isfinite(values)]
                spread = f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""
                cells.append(f"{values.mean():.3f}{spread}" if len(values) else "–")
            rows.append(cells)
        title = f"## {metric[0].upper()}{metric[1:]}, held-out tracks: mean ± standard deviation"
        lines += [title + " over seeds (or triples)\n", *table(["heuristic", *names], rows)]
    return lines


def weights_table(folder: Path, images: dict[str, Tensor], labels_N: Tensor) -> list[str]:
    """Accuracy on the tracks of "select" of every loss and weight that is trained."""
    rows = []
    for run in sorted(folder.glob("*/seed-*/training.json")):
        name, _, weight = run.parts[-3].rpartition("-")
        found = [
            evaluated(run, "select", condition, of_condition, labels_N)[0]["accuracy"]
            for condition, of_condition in images.items()
        ]
        state = "diverged" if json.loads(run.read_text())["diverged"] else "finished"
        rows.append((name, -float(weight), [state, f"{found[0]:.1%}", f"{np.mean(found[1:]):.1%}"]))
    head = ["loss", "weight", "training", "clean", "mean of four corruptions"]
    cells = [[name, f"{-weight:g}", *rest] for name, weight, rest in sorted(rows)]
    return [
        "## Choice of λ: accuracy of the average on the tracks of select, one seed\n",
        *table(head, cells),
    ]


if __name__ == "__main__":
    main()
