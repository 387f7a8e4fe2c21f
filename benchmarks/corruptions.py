"""Corruption speed: `python -m benchmarks.corruptions --c-bar PATH --c PATH [NAME ...]`, per image.

One thread, 224×224; ours and the reference corrupt the same images with the same parameters, in turn. Each
reads 3 and writes 3 bytes a pixel, 0.3 MB, 0.03 ms at 10 GB/s; what it takes beyond that is passes over
planes of 50 176 numbers that stay in cache: 5 µs for float32, 10–20 µs for float64 and int64, 33 µs for a
gather of 8 bytes. The module of each corruption names its limit. Beside them stands the decoding of one JPEG
of that size: below it a corruption is no longer what a study waits for.
"""

from __future__ import annotations

import argparse
import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.corruption_parity import load, synthetic_image
from benchmarks.corruption_reference import Reference
from benchmarks.timing import Row, median_seconds, side_by_side
from nversion.core import generator
from nversion.corruptions import CORRUPTIONS, PAPER_STRENGTHS_IMAGENET, create, levels_of

SIDE = 224
NUM_IMAGES = 3
SECONDS_OF_REFERENCE = 1.5  # how long the reference may take in all: slow ones are measured fewer times
SLOW_S = 0.5  # a reference beyond this is measured on one image
GOALS = {"plasma_noise": 250.0, "checkerboard_cutout": 100.0, "water_drop": 200.0, "lines": 8.0}
GOAL_MS = 15.0


def decode_seconds() -> float:
    """Median seconds to decode one 224×224 JPEG of quality 90, made in memory from the synthetic image."""
    file = io.BytesIO()
    Image.fromarray(synthetic_image(SIDE)).save(file, "jpeg", quality=90)
    content = file.getvalue()
    return median_seconds(lambda: np.asarray(Image.open(io.BytesIO(content)).convert("RGB")), 51)


def run(c_bar: Path | None = None, c: Path | None = None, names: list[str] | None = None) -> Iterator[Row]:
    """A row for each corruption, in seconds an image, beside the reference where there is one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        references = load(c_bar, c)
        limit = decode_seconds()
        for name in names or list(CORRUPTIONS):
            reference, sides = references.get(name, (None, ()))
            yield _row(name, reference if SIDE in sides else None, limit)
    finally:
        torch.set_num_threads(threads)


def _row(name: str, reference: Reference | None, limit_s: float) -> Row:
    severity = PAPER_STRENGTHS_IMAGENET.get(name, levels_of(name, SIDE)[2])
    corruption = create(name, severity)
    image_HW3 = synthetic_image(SIDE)
    images_N3HW = torch.from_numpy(image_HW3).permute(2, 0, 1).repeat(NUM_IMAGES, 1, 1, 1)
    draws = [
        corruption.sample_parameters(generator("benchmark", name, i), (SIDE, SIDE)) for i in range(NUM_IMAGES)
    ]

    def ours() -> object:
        return corruption.apply(images_N3HW, draws)

    both: tuple[float, float | None]
    theirs: list[object] = [None]
    if reference is None:
        both = (median_seconds(ours, 21), None)
    else:
        once = median_seconds(lambda: reference(severity, image_HW3, draws[0]), 1)
        theirs = list(draws[: 1 if once > SLOW_S else NUM_IMAGES])
        repeats = max(1, min(41, int(SECONDS_OF_REFERENCE / (once * len(theirs)))))
        both = side_by_side(
            ours, lambda: [reference(severity, image_HW3, parameters) for parameters in theirs], repeats
        )
    return Row(
        name=f"{name} {severity:g}, {SIDE}×{SIDE}, one thread",
        ours_s=both[0] / NUM_IMAGES,
        baseline_s=None if both[1] is None else both[1] / len(theirs),
        baseline="the reference" if reference else "baseline not given",
        goal=GOALS.get(name),
        note=f"one JPEG of that size decodes in {limit_s * 1e3:.2f} ms",
    )


def geometric_mean(ratios: list[float]) -> float:
    """Of positive ratios.

    >>> round(geometric_mean([1.0, 100.0]), 6)
    10.0
    """
    return math.exp(sum(math.log(ratio) for ratio in ratios) / len(ratios))


def main(show: Callable[[str], None] = print) -> None:
    """Print one line a corruption, and the geometric mean of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="corruptions; all when left out")
    parser.add_argument("--c-bar", type=Path, help="checkout of facebookresearch/augmentation-corruption")
    parser.add_argument("--c", type=Path, help="checkout of hendrycks/robustness")
    options = parser.parse_args()
    ratios: list[float] = []
    for row in run(options.c_bar, options.c, options.names):
        ratio = row.baseline
        if row.ratio is not None:
            ratios.append(row.ratio)
            goal = f" (goal {row.goal:g}×)" if row.goal else ""
            ratio = f"{row.ratio:7.1f}× faster than {row.baseline_s * 1e3:8.1f} ms{goal}"  # type: ignore[operator]
        slow = "   above 15 ms" if row.ours_s * 1e3 > GOAL_MS else ""
        show(f"{row.name:56} {row.ours_s * 1e3:7.3f} ms   {ratio}{slow}")
    if ratios:
        show(f"geometric mean of {len(ratios)} ratios: {geometric_mean(ratios):.0f}×")


if __name__ == "__main__":
    main()
