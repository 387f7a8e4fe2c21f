"""`python -m benchmarks`: every ratio of ours against its named baseline, in one run on one thread.

One thread, because ratios of a loaded machine move least there. What a row needs beyond this package is
given by path; a baseline that is not given is said to be missing, and ours is timed alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from . import attribution, corruptions, ensembles, failures, representations, supernets, tables, training
from .timing import Row


def show(title: str, rows: Sequence[Row]) -> None:
    """Print rows with ratio and goal."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in ("what", "ours, ms", "baseline, ms", "ratio", "goal", "baseline", "note"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(
            row.name,
            f"{row.ours_s * 1e3:.3g}",
            ("not given" if row.baseline else "")
            if row.baseline_s is None
            else f"{row.baseline_s * 1e3:.4g}",
            "" if row.ratio is None else f"{row.ratio:.3g}×",
            "" if row.goal is None else f"≥ {row.goal:g}×",
            row.baseline,
            row.note,
        )
    Console(width=180).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--c-bar", type=Path, help="checkout of facebookresearch/augmentation-corruption")
    parser.add_argument("--c", type=Path, help="checkout of hendrycks/robustness")
    parser.add_argument("--logits", type=Path, help="real logits: .npz with logits_MNC and labels_N")
    parser.add_argument("--zoo", type=Path, help="real classifiers: a file with ZOO and build(name)")
    parser.add_argument("--torch-cka", type=Path, help="folder in which torch_cka is installed")
    names = (
        "corruptions",
        "ensembles",
        "failures",
        "attribution",
        "representations",
        "training",
        "supernets",
        "tables",
    )
    parser.add_argument("--before", type=Path, help="another checkout of this repository, for `tables`")
    parser.add_argument("--only", choices=names)
    given = parser.parse_args()
    torch.set_num_threads(1)
    parts = {
        "corruptions": lambda: list(corruptions.run(given.c_bar, given.c)),
        "ensembles": lambda: ensembles.run(given.logits),
        "failures": failures.run,
        "attribution": lambda: attribution.run(given.zoo),
        "representations": lambda: representations.run(given.torch_cka),
        "training": training.run,
        "supernets": supernets.run,
        "tables": lambda: tables.run(given.before),
    }
    for name, run in parts.items():
        if given.only in (None, name):
            show(name, run())


if __name__ == "__main__":
    main()
