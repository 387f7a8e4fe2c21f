"""What triples of a supernet's subnets gain (the paper's Figure 8), and what a search for triples finds.

    nversion study run recipes/supernet-gtsrb-study.toml --folder runs/supernet-gtsrb
    nversion supernet search recipes/supernet-gtsrb-reduced.toml --folder runs/gtsrb/supernet
    python recipes/supernet_results.py --study recipes/supernet-gtsrb-study.toml \\
        --folder runs/supernet-gtsrb --spec recipes/supernet-gtsrb-reduced.toml \\
        --supernet runs/gtsrb/supernet --tracks runs/gtsrb/tracks.npz \\
        --out PAGE.md --picture docs/results/supernet-improvement.png

Tables of the study are those of heterogeneous_results.py, tracks being the units of every interval. What the
search found, and the best of Table ii's triples by the same images and measure, are chosen on the search's
images of the tracks "select" and judged on the tracks "evaluate".
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl
import torch
from heterogeneous_results import (
    correlations_section,
    measured,
    models_section,
    stack_pictures,
    table,
    triples_section,
)

from nversion.core import generator
from nversion.data import Canonical, open_dataset
from nversion.ensembles import Ensembles
from nversion.supernet.files import known_subnets, read_supernet, statistics_of
from nversion.supernet.nas import SUPERNET, SearchTable, read_spec
from nversion.supernet.nas.evaluator import evaluator_of

RESAMPLES = 2000


def logits_of(spec_path: Path, folder: Path, part: str, names: list[str], table_: SearchTable) -> tuple:
    """Logits (M, D, N, C) of subnets by name on a part of the tracks, and the labels."""
    spec = read_spec(spec_path)
    data = dict(spec.data["validation"]) | {"name": f"gtsrb-{part}", "x": f"x_{part}", "y": f"y_{part}"}
    canonical = Canonical(**spec.canonical.model_dump())
    dataset = open_dataset(data, spec_path.parent)
    evaluator = evaluator_of(table_, dataset, canonical, 256, torch.device("cpu"))
    supernet = read_supernet(folder / SUPERNET, spec_path.parent)
    found = []
    for name in names:
        supernet.network.activate(*statistics_of(supernet, name))
        found.append(evaluator.logits(supernet.network, supernet.preprocessing))
    return torch.stack(found), evaluator.labels_N, evaluator.conditions


def right_of(logits_MDNC: torch.Tensor, labels_N: torch.Tensor, members: list[int]) -> np.ndarray:
    """Whether the average of some members is right, (D, N)."""
    return (logits_MDNC[members].mean(0).argmax(-1) == labels_N).double().numpy()


def told(drawn_R: np.ndarray, value: float) -> str:
    low, high = np.percentile(drawn_R, [2.5, 97.5])
    return f"{100 * value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def search_section(given: argparse.Namespace, table_ii: list[str]) -> list[str]:
    """Ensembles that were chosen on the same images in three ways, judged on other tracks."""
    spec = read_spec(given.spec)
    rows = pl.read_parquet(given.supernet / f"search-{spec.search.size}" / "search.parquet")
    supernet = read_supernet(given.supernet / SUPERNET, given.spec.parent)
    subnets = known_subnets(supernet)
    named = {str(subnet): name for name, subnet in subnets.items()}
    front = rows.filter("on_front").sort("accuracy")
    triples = [[named[member] for member in row] for row in front["members"].to_list()]
    names = list(dict.fromkeys([*table_ii, "largest", *(name for triple in triples for name in triple)]))
    chosen, _, _ = select = logits_of(given.spec, given.supernet, "select", names, spec.search)
    labels = select[1]
    place = {name: i for i, name in enumerate(names)}
    all_165 = Ensembles.all_of(len(table_ii), 3).members_EK.tolist()
    scores = [right_of(chosen, labels, members).mean() for members in all_165]
    best_ii = [table_ii[i] for i in all_165[int(np.argmax(scores))]]
    single = max(names, key=lambda name: right_of(chosen, labels, [place[name]]).mean())
    candidates = {
        "the largest subnet": ["largest"],
        "the best single subnet": [single],
        "the best of Table ii's 165 triples": best_ii,
        **{f"front of the search, {i + 1}": triple for i, triple in enumerate(triples)},
    }
    everything = spec.search.model_copy(update={"count": None})
    logits, labels, conditions = logits_of(given.spec, given.supernet, "evaluate", names, everything)
    track_N = np.unique(np.load(given.tracks, allow_pickle=False)["track_evaluate"], return_inverse=True)[1]
    num_tracks = track_N.max() + 1
    weight_RT = generator("supernet").multinomial(num_tracks, np.full(num_tracks, 1 / num_tracks), RESAMPLES)
    weight_RN = weight_RT[:, track_N].astype(float)
    weight_RN /= weight_RN.sum(1, keepdims=True)
    reference_DN = right_of(logits, labels, [place["largest"]])
    lines = []
    for label, members in candidates.items():
        index = [place[name] for name in members]
        right_DN = right_of(logits, labels, index)
        cost = sum(
            supernet.network.cost(subnets[name], supernet.preprocessing.input_size).macs for name in members
        )
        chosen_on = right_of(chosen, select[1], index).mean()
        own_MDN = np.stack([right_of(logits, labels, [i]) for i in index])
        gain_D = right_DN.mean(1) - own_MDN.mean(2).max(0)
        drawn_RD = np.stack([right_DN @ w for w in weight_RN]) - np.stack(
            [(own_MDN @ w).max(0) for w in weight_RN]
        )
        over_R = weight_RN @ (right_DN - reference_DN).mean(0)
        lines.append(
            [
                label,
                " + ".join(members),
                f"{cost / 1e6:.1f} M",
                f"{chosen_on:.1%}",
                f"{right_DN.mean():.1%}",
                "" if members == ["largest"] else told(over_R, (right_DN - reference_DN).mean()),
                "" if len(members) == 1 else told(drawn_RD.mean(1), gain_D.mean()),
            ]
        )
    head = ["chosen", "members", "MACs", "on the images that chose it", "on others"]
    head += ["less the largest subnet, points", "gain over its best member, points"]
    title = f"## Chosen on {len(select[1])} images, judged on {len(labels)} of other tracks"
    note = f"Accuracies are means over {len(conditions)} conditions; {len(rows)} triples were searched.\n"
    return [title + "\n", note, *table(head, lines)]


def main() -> None:
    """Measure, and write one page of tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--spec", type=Path, required=True)
    parser.add_argument("--supernet", type=Path, required=True)
    parser.add_argument("--tracks", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--picture", type=Path, help="a picture out of the report's")
    given = parser.parse_args()
    torch.set_num_threads(1)
    pool, results, related = measured(given)
    lines = [
        *models_section(pool),
        *triples_section(pool, results),
        *correlations_section(related, list(results)),
        *search_section(given, pool.names),
    ]
    given.out.write_text("\n".join(lines))
    if given.picture:
        stack_pictures(given.folder / "figures", ["improvement_average", "trend_grid"], given.picture)
    print(given.out)


if __name__ == "__main__":
    main()
