"""CKA of all layers of two ResNet-50 by streamed Gram matrices, against torch_cka with its default layers.

Run as `python -m benchmarks.representations [--torch-cka FOLDER]`, FOLDER being made by
`pip install --target FOLDER --no-deps torch_cka matplotlib contourpy cycler kiwisolver pyparsing fonttools
python-dateutil six tqdm`. torch_cka's default layers are all modules. It runs as published (0.21), save that
gradients are switched off around it, which only helps it, and that its last statement is caught: it asserts
that no value is nan, and some are, because HSIC1 in float32 falls below 0 where images differ little. The
table is whole by then. Each side has a process of its own: its peak memory is then its own, and its seconds
are those of the process on one thread, which a loaded machine moves least.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.timing import Row
from nversion.models import Classifier, Preprocessing, make_classifier
from nversion.representations import compare_representations, layers_of

SIZE, BATCH_SIZE, NUM_BATCHES = 224, 16, 1
GOAL = 5.0

Side = dict[str, float]


def run(torch_cka: Path | None = None, size: int = SIZE, repeats: int = 3) -> list[Row]:
    """All modules once, the 16 residual blocks alternating `repeats` times."""
    rows = []
    for layers, times in (("modules", 1), ("blocks", repeats)):
        taken: dict[str, list[Side]] = {"ours": [], "torch_cka": []}
        for _ in range(times):
            taken["ours"].append(_in_a_process("ours", layers, size, torch_cka))
            if torch_cka is not None:
                taken["torch_cka"].append(_in_a_process("torch_cka", layers, size, torch_cka))
        ours_s = float(np.median([side["seconds"] for side in taken["ours"]]))
        peaks = ", ".join(
            f"{name} {max(side['mebibytes'] for side in of_side):.0f} MiB"
            for name, of_side in taken.items()
            if of_side
        )
        num_nan = sum(side["num_nan"] for side in taken["torch_cka"][:1])
        note = (
            f"{NUM_BATCHES} batch of {BATCH_SIZE} images of {size}×{size}, random weights; of ours "
            f"{taken['ours'][0]['forward_seconds']:.1f} s are the two forward passes; peak beside models and "
            f"images: {peaks}; ours gives the pairs within each network, too"
        )
        rows.append(
            Row(
                name=f"CKA of two ResNet-50, {taken['ours'][0]['layers']:.0f} {layers} each",
                ours_s=ours_s,
                baseline_s=float(np.median([side["seconds"] for side in taken["torch_cka"]]))
                if taken["torch_cka"]
                else None,
                baseline="torch_cka 0.21" + (f", {num_nan:.0f} of its values nan" if num_nan else ""),
                goal=GOAL if layers == "modules" else None,
                note=note,
            )
        )
    return rows


def _in_a_process(side: str, layers: str, size: int, torch_cka: Path | None) -> Side:
    command = [sys.executable, "-m", "benchmarks.representations", "--side", side, "--layers", layers]
    command += ["--size", str(size)] + (["--torch-cka", str(torch_cka)] if torch_cka else [])
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: Side = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(side: str, layers: str, size: int) -> Side:
    """Seconds and peak memory of one side, in this process."""
    pool = _pool(size)
    generator = torch.Generator().manual_seed(0)
    # Blurred noise: neighbouring pixels are alike, as in photographs.
    small = torch.rand(BATCH_SIZE * NUM_BATCHES, 3, 14, 14, generator=generator)
    images = nn.functional.interpolate(small, (size, size), mode="bilinear", align_corners=False)
    loader = DataLoader(TensorDataset(images), BATCH_SIZE)
    with torch.inference_mode():  # warm, too
        forward_seconds = _seconds(lambda: [model(images[:BATCH_SIZE]) for model in pool])
    names = [name for name, _ in pool[0].module.named_modules() if name] if layers == "modules" else []
    names = names or layers_of(pool[0])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    num_nan = 0
    if side == "ours":
        asked = ("*",) if layers == "modules" else ()
        seconds = _seconds(lambda: compare_representations(*pool, loader, asked))
    else:
        tables: list[Tensor] = []
        asked_names = names if layers == "blocks" else None
        seconds = _seconds(lambda: tables.append(by_torch_cka(pool, loader, asked_names)))
        num_nan = int(tables[0].isnan().sum())
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": seconds,
        "forward_seconds": forward_seconds,
        "mebibytes": (after - before) / 1024,
        "layers": len(names),
        "num_nan": num_nan,
    }


def by_torch_cka(
    pool: list[Classifier], loader: DataLoader[tuple[Tensor, ...]], names: list[str] | None
) -> Tensor:
    """Its table (layers of the first, layers of the second); None: its default layers."""
    from torch_cka import CKA

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        cka = CKA(*(model.module for model in pool), "first", "second", names, names, device="cpu")
        with contextlib.suppress(AssertionError):
            cka.compare(loader)
    table: Tensor = cka.hsic_matrix
    return table


def _seconds(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def _pool(size: int) -> list[Classifier]:
    import torchvision

    with torch.random.fork_rng():
        torch.manual_seed(0)
        modules = [torchvision.models.resnet50() for _ in range(2)]
    preprocessing = Preprocessing(size, mean=(0.0,) * 3, std=(1.0,) * 3)
    return [
        make_classifier(module, preprocessing, name=name, source="random weights")
        for name, module in zip(("first", "second"), modules, strict=True)
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--torch-cka", type=Path, help="folder in which torch_cka and matplotlib are installed"
    )
    parser.add_argument("--size", type=int, default=SIZE, help="pixels a side")
    parser.add_argument("--side", choices=("ours", "torch_cka"), help="measure one side, as JSON")
    parser.add_argument("--layers", choices=("modules", "blocks"), default="modules")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.side:
        if given.torch_cka:
            sys.path.append(str(given.torch_cka))
        print(json.dumps(measure(given.side, given.layers, given.size)))
    else:
        for row in run(given.torch_cka, given.size):
            baseline = "not given" if row.baseline_s is None else f"{row.baseline_s:.1f} s"
            print(f"{row.name}: {row.ours_s:.1f} s against {baseline} ({row.baseline})")
            print(f"  ratio {row.ratio and round(row.ratio, 1)}, goal {row.goal}; {row.note}")
