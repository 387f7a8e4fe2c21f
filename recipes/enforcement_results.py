"""What enforcing diversity bought.

    python recipes/enforcement_results.py --trained DIR --tracks NPZ --out PAGE.md

Every trained ensemble of enforcement-gtsrb-reduced.toml under clean images and the paper's four corruptions
at their strengths for 32 pixels: accuracy of the average, gain over its best member, Shannon equitability of
the members' answers (Eq. 5, S = members) where the ensemble is right and where it is wrong, disagreement
(Eq. 4), and attribution diversity (Eq. 7, saliency of the predicted class, raw and for maps of unit length).

Differences from independent members are paired: same initial weights, same batches, same images. Their
intervals are percentiles over 2000 resamples of the seeds and of the tracks (frames of one track are nearly
alike), so they cover another training and other signs. The test set has no tracks: a
point estimate, on a seeded part of 1000.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nversion.core import generator
from nversion.corruptions import PAPER_STRENGTHS_CIFAR
from nversion.data import Condition
from nversion.losses.attribution import attribution_variances
from nversion.models import Classifier, load_classifier

BASELINE = "independent"
RESAMPLES = 2000
NUM_MAPS = 64  # images of each condition whose maps are compared
NUM_TEST = 1000  # of the test set, a seeded part


def conditions(name: str) -> list[Condition]:
    """Clean and the paper's four."""
    return [
        Condition(name),
        *(Condition(name, corruption, s) for corruption, s in PAPER_STRENGTHS_CIFAR.items()),
    ]


def shannon_equitability(predicted_MN: Tensor) -> Tensor:
    """Eq. 5 of each image's M answers with S = M, (N,)."""
    num_members = len(predicted_MN)
    votes_MN = torch.stack([(predicted_MN == answer).sum(0) for answer in predicted_MN]).double()
    return -(votes_MN / num_members).log().sum(0) / num_members / np.log(num_members)


def maps(classifier: Classifier, images_N3HW: Tensor) -> Tensor:
    """Saliency of the predicted class, (N, P)."""
    images = images_N3HW.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(classifier(images).amax(1).sum(), images)
    return gradient.abs().flatten(1)


def measure(members: list[Classifier], images_N3HW: Tensor, labels_N: Tensor) -> tuple[dict[str, float], Any]:
    """Numbers of an ensemble under one condition, and which images its average gets right."""
    with torch.no_grad():
        logits = torch.stack(
            [torch.cat([member(part) for part in images_N3HW.split(512)]) for member in members]
        )
    predicted_MN, ensemble_N = logits.argmax(-1), logits.mean(0).argmax(-1)
    right_MN, right_N = predicted_MN == labels_N, ensemble_N == labels_N
    entropy_N = shannon_equitability(predicted_MN)
    first, second = torch.triu_indices(len(members), len(members), 1)
    some = images_N3HW[:NUM_MAPS]
    maps_MNP = torch.stack([maps(member, some) for member in members])
    unit_MNP = maps_MNP / maps_MNP.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    numbers = {
        "accuracy": right_N.double().mean().item(),
        "gain": (right_N.double().mean() - right_MN.double().mean(1).max()).item(),
        "mean member": right_MN.double().mean().item(),
        "disagreement": (right_MN[first] ^ right_MN[second]).double().mean().item(),
        "equitability where right": entropy_N[right_N].mean().item(),
        "equitability where wrong": entropy_N[~right_N].mean().item(),
        "attribution diversity": attribution_variances(maps_MNP).mean().item(),
        "attribution diversity, unit length": attribution_variances(unit_MNP).mean().item(),
    }
    return numbers, right_N.numpy()


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
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--test", action="store_true", help="look at the test set, too: once, at the end")
    given = parser.parse_args()
    torch.set_num_threads(1)
    file = np.load(given.tracks, allow_pickle=False)
    some = generator("gtsrb test part").permutation(len(file["y_test"]))[:NUM_TEST]
    parts = {"evaluate": (file["x_evaluate"], file["y_evaluate"])}
    if given.test:
        parts["test"] = (file["x_test"][some], file["y_test"][some])
    track_N = file["track_evaluate"]
    runs = sorted(given.trained.glob("*/seed-*/training.json"))
    numbers: dict[tuple[str, str, str], list[dict[str, float]]] = {}
    right: dict[tuple[str, str, str], list[Any]] = {}
    diverged: dict[str, list[str]] = {}
    for part, (x_NHW3, y_N) in parts.items():
        images = torch.from_numpy(x_NHW3).permute(0, 3, 1, 2).contiguous()
        ids = [f"{part}/{i:06d}" for i in range(len(images))]
        for condition in conditions(part):
            rendered = condition.render(images, ids).float() / 255
            for run in runs:
                summary = json.loads(run.read_text())
                variant = run.parent.parent.name
                if summary["diverged"]:
                    diverged.setdefault(variant, []).append(summary["diverged"])
                kept = run.parent / f"evaluation-{condition.name.replace('/', '-')}.npz"
                if not kept.is_file():
                    members = [
                        load_classifier({"source": f"file:{run.parent / m['file']}", "name": m["name"]})
                        for m in summary["members"]
                    ]
                    found, right_N = measure(members, rendered, torch.from_numpy(y_N))
                    np.savez(kept, right_N=right_N, numbers=json.dumps(found))
                with np.load(kept) as file:
                    found, right_N = json.loads(str(file["numbers"])), file["right_N"]
                key = (part, condition.name.split("/")[1], variant)
                numbers.setdefault(key, []).append(found)
                right.setdefault(key, []).append(right_N)
            print(part, condition.name, flush=True)
    given.out.write_text(page(numbers, right, diverged, track_N))
    print(given.out)


def page(numbers: Any, right: Any, diverged: dict[str, list[str]], track_N: Any) -> str:
    """The tables as Markdown."""
    names = list(dict.fromkeys(condition for _, condition, _ in numbers))
    variants = sorted({variant for _, _, variant in numbers}, key=lambda v: (v != BASELINE, v))
    lines = ["## Accuracy of the average, held-out tracks: difference from independent members, points\n"]
    lines += ["| heuristic | seeds | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for variant in variants:
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
        seeds = len(right["evaluate", names[0], variant])
        note = (
            f" ({len(diverged[variant]) // (len(names) * len({part for part, *_ in numbers}))} diverged)"
            if variant in diverged
            else ""
        )
        lines.append(f"| {variant}{note} | {seeds} | " + " | ".join(cells) + " |")
    tested = ("test", names[0], BASELINE) in numbers
    if tested:
        lines.append("\n## Accuracy of the average, test set (point estimates)\n")
        lines += ["| heuristic | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for variant in variants if tested else ():
        means = [np.mean([n["accuracy"] for n in numbers["test", name, variant]]) for name in names]
        lines.append(f"| {variant} | " + " | ".join(f"{mean:.1%}" for mean in means) + " |")
    for metric in [*next(iter(numbers.values()))[0]][1:]:
        lines.append(f"\n## {metric.capitalize()}, held-out tracks: mean over seeds ± standard deviation\n")
        lines += ["| heuristic | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        for variant in variants:
            cells = []
            for name in names:
                values = [n[metric] for n in numbers["evaluate", name, variant]]
                spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
                cells.append(f"{np.mean(values):.3f}{spread}")
            lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
