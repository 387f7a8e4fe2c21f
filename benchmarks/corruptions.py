"""Corruption speed: `python -m benchmarks.corruptions --reference PATH`, one thread, 224×224, per image.

Ours and the reference corrupt the same images with the same parameters, in turn. The limit beside them is
the decoding of one JPEG of that size: below it a corruption is no longer what a study waits for. What bounds
each:

- plasma_noise: about 200 passes of 50 176 float32 numbers in cache, for 2·iterations + 1 cosines of 13
  passes each; a pass is 5 µs, so 1.0 ms of arithmetic.
- checkerboard_cutout: 11 passes of float64 (10–20 µs each), a look-up, 3 passes of bytes: 0.3 ms.
- water_drop: 13 passes for the sine, 4 gathers of 8 bytes (33 µs each), 13 passes of int64 (10–30 µs):
  0.8 ms.
- lines: 35 lines one after another, six small operations each (about 1.5 µs): 0.3 ms, and as much for the
  geometry of about 6 000 steps and the places of the lines.

Each reads 3 and writes 3 bytes a pixel: 0.3 MB, 0.03 ms at 10 GB/s; the passes are what it takes.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks import corruption_reference
from benchmarks.corruption_parity import reference_pixels, synthetic_image
from benchmarks.timing import Row, median_seconds, side_by_side
from nversion.core import generator
from nversion.corruptions import PAPER_STRENGTHS_IMAGENET, create

SIDE = 224
NUM_IMAGES = 3
REPEATS = {"plasma_noise": 3, "checkerboard_cutout": 9, "water_drop": 3, "lines": 41}
GOALS = {"plasma_noise": 250.0, "checkerboard_cutout": 100.0, "water_drop": 200.0, "lines": 8.0}


def decode_seconds() -> float:
    """Median seconds to decode one 224×224 JPEG of quality 90, made in memory from the synthetic image."""
    file = io.BytesIO()
    Image.fromarray(synthetic_image(SIDE)).save(file, "jpeg", quality=90)
    content = file.getvalue()
    return median_seconds(lambda: np.asarray(Image.open(io.BytesIO(content)).convert("RGB")), 51)


def run(reference: Path | None = None) -> list[Row]:
    """A row for each corruption at the paper's strength, in seconds an image, beside the reference."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        constructors = corruption_reference.load(reference) if reference else {}
        limit = decode_seconds()
        return [_row(name, constructors.get(name), limit) for name in GOALS]
    finally:
        torch.set_num_threads(threads)


def _row(name: str, construct: Any, limit_s: float) -> Row:
    severity = PAPER_STRENGTHS_IMAGENET[name]
    corruption = create(name, severity)
    image_HW3 = synthetic_image(SIDE)
    images_N3HW = torch.from_numpy(image_HW3).permute(2, 0, 1).repeat(NUM_IMAGES, 1, 1, 1)
    draws = [
        corruption.sample_parameters(generator("benchmark", name, i), (SIDE, SIDE)) for i in range(NUM_IMAGES)
    ]

    def ours() -> object:
        return corruption.apply(images_N3HW, draws)

    def theirs() -> object:
        return [reference_pixels(construct, severity, image_HW3, parameters) for parameters in draws]

    both: tuple[float, float | None]
    both = side_by_side(ours, theirs, REPEATS[name]) if construct else (median_seconds(ours, 21), None)
    return Row(
        name=f"{name} {severity:g}, {SIDE}×{SIDE}, one thread",
        ours_s=both[0] / NUM_IMAGES,
        baseline_s=None if both[1] is None else both[1] / NUM_IMAGES,
        baseline="facebookresearch/augmentation-corruption" if construct else "baseline not given",
        goal=GOALS[name],
        note=f"one JPEG of that size decodes in {limit_s * 1e3:.2f} ms",
    )


def main(show: Callable[[str], None] = print) -> None:
    """Print one line a corruption."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=Path, help="checkout of augmentation-corruption")
    for row in run(parser.parse_args().reference):
        ratio = row.baseline if row.ratio is None else f"{row.ratio:.0f}× faster (goal {row.goal:g}×)"
        show(f"{row.name:48} {row.ours_s * 1e3:7.3f} ms   {ratio}   {row.note}")


if __name__ == "__main__":
    main()
