"""From stored logits to all tables and the report: processor time and peak memory of the command.

`python -m benchmarks.tables [--before CHECKOUT] [--folder FOLDER]` writes studies of 14 linear classifiers
of 1000 classes, all 364 triples and five rules, lets each build compute the logits once, then times
`nversion study run`, which finds them stored. CHECKOUT is another checkout of this repository; it and this
one take turns. Times are processor time of the whole command, start of the interpreter included.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.timing import Row

NUM_CLASSES, SIDE, SEED = 1000, 16, 0
SIZES = ((1000, 2), (3000, 2), (3000, 4))
"""Images and conditions: the first two give the time per image, the last the time per condition."""

MODELS = '''
import torch

def build(name):
    """Logits of a linear classifier: what all models see of an image, and noise of its own."""
    own = torch.Generator().manual_seed(1 + int(name.split("-")[1]))
    templates = torch.randn(1000, 768, generator=torch.Generator().manual_seed(0))
    scale = 0.5 + 1.5 * torch.rand((), generator=own)
    layer = torch.nn.Linear(768, 1000, bias=False)
    layer.weight.data = (templates + 0.75 * torch.randn(1000, 768, generator=own)) * scale * 2 / 768**0.5
    preprocessing = {"input_size": 16, "mean": [128 / 255] * 3, "std": [32 / 255] * 3}
    return torch.nn.Sequential(torch.nn.Flatten(), layer).eval(), preprocessing
'''
STUDY = """
[study]
name = "tables"
[data.val]
source = "npz"
path = "images.npz"
label_space = "templates"
num_classes = 1000
[canonical]
size = 16
mode = "squash"
[conditions.corruptions]
{corruptions}
[[models]]
source = "python:models.py:build"
names = [{names}]
label_space = "templates"
[ensembles]
sizes = [3]
[run]
device = "cpu"
threads = 1
"""
CORRUPTIONS = ("gaussian_noise = 1.0", "contrast = 1.0", "brightness = 1.0", "shot_noise = 1.0")
RUN = "import sys; from nversion.cli.main import main; sys.argv[0] = 'nversion'; main()"


@dataclass(frozen=True)
class Cost:
    """What a process took: seconds of processor time, MiB of resident memory at the peak."""

    seconds: float
    peak: float


def write_study(folder: Path, num_samples: int, num_conditions: int) -> Path:
    """The study file, its images and its models; images are noisy templates of their class."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(SEED)
    import torch

    templates_CF = torch.randn(NUM_CLASSES, 3 * SIDE**2, generator=torch.Generator().manual_seed(0)).numpy()
    labels_N = generator.integers(NUM_CLASSES, size=num_samples)
    clarity_N1 = np.abs(generator.normal(0.18, 0.07, (num_samples, 1)))
    seen_NF = clarity_N1 * templates_CF[labels_N] + generator.normal(size=(num_samples, 3 * SIDE**2))
    pixels_N3HW = np.clip(128 + 32 * seen_NF, 0, 255).astype(np.uint8).reshape(-1, 3, SIDE, SIDE)
    np.savez(folder / "images.npz", x=pixels_N3HW.transpose(0, 2, 3, 1), y=labels_N)
    (folder / "models.py").write_text(MODELS, encoding="utf-8")
    names = ", ".join(f'"model-{i}"' for i in range(14))
    corruptions = "\n".join(CORRUPTIONS[: num_conditions - 1])
    path = folder / "study.toml"
    path.write_text(STUDY.format(corruptions=corruptions, names=names), encoding="utf-8")
    return path


def cost(checkout: Path, arguments: Sequence[str]) -> Cost:
    """Run `nversion` as it stands in a checkout, on one thread."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    with tempfile.TemporaryFile() as output, tempfile.TemporaryDirectory() as metadata:
        environment["PYTHONPATH"] = os.pathsep.join([metadata, str(checkout / "src")])
        _write_metadata(checkout, Path(metadata))
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, *arguments], env=environment, stdout=output, stderr=output
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise RuntimeError(output.read().decode())
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def _write_metadata(checkout: Path, folder: Path) -> None:
    """The checkout's own entry points, which stand before those of the installed package."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = []
    for group, entries in project.get("entry-points", {}).items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in entries.items())]
    info = folder / "nversion-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nversion\nVersion: 0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")


def run(before: Path | None = None, folder: Path | None = None, repeats: int = 3) -> list[Row]:
    """Medians for each size of study, here and before in turn."""
    here = Path(__file__).resolve().parents[1]
    builds = {"here": here} if before is None else {"here": here, "before": before}
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for num_samples, num_conditions in SIZES:
            place = (folder or Path(temporary)) / f"{num_samples}-{num_conditions}"
            study = write_study(place, num_samples, num_conditions)
            command = {name: ["study", "run", str(study), "--folder", str(place / name)] for name in builds}
            for name, checkout in builds.items():
                cost(checkout, [*command[name], "--no-report"])
            taken: dict[str, list[Cost]] = {name: [] for name in builds}
            for _ in range(repeats):
                for name, checkout in builds.items():
                    taken[name].append(cost(checkout, command[name]))
            seconds = {name: statistics.median(c.seconds for c in costs) for name, costs in taken.items()}
            peaks = {name: max(c.peak for c in costs) for name, costs in taken.items()}
            rows.append(
                Row(
                    f"{num_samples} images × {num_conditions} conditions",
                    seconds["here"],
                    seconds.get("before"),
                    "the checkout given by --before",
                    3.0,
                    "peak memory, MiB: " + ", ".join(f"{peak:.0f} {name}" for name, peak in peaks.items()),
                )
            )
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
    parser.add_argument("--before", type=Path, help="another checkout of this repository")
    parser.add_argument("--folder", type=Path, help="keep the studies, so that logits are computed once")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    for row in run(given.before, given.folder, given.repeats):
        ratio = "" if row.ratio is None else f", before {row.baseline_s:.2f} s: {row.ratio:.2f} times"
        print(f"{row.name}: {row.ours_s:.2f} s{ratio}; {row.note}")
