"""Parity with the references: `python -m benchmarks.corruption_parity --c-bar PATH --c PATH [NAME ...]`.

For random parameters at several severities, at 224 and 32 pixels, counts how far our bytes lie from those of
the reference, given the same image and parameters. `--write-goldens FOLDER` makes the small files that the
tests read, from the reference's pixels alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.corruption_reference import Reference, load_cifar_10_c, load_imagenet_c, load_imagenet_c_bar
from nversion.core import generator
from nversion.corruptions import CORRUPTIONS, create, levels_of

# By the sides that a reference knows: sides and numbers of images; of ImageNet-C, 224 alone, a single one.
GOLDENS = {(32, 224): ((32, 3), (48, 2)), (32,): ((32, 3),), (224,): ((224, 1),)}


@dataclass(frozen=True)
class Parity:
    """How far our bytes lie from the reference's, over `num_images` images."""

    name: str
    severity: float
    side: int
    num_images: int
    equal: float
    within_1: float
    within_2: float
    num_beyond_8: int
    furthest: int

    def __str__(self) -> str:
        return (
            f"{self.name:32} {self.severity:5g} {self.side:4} px {self.num_images:5} images   equal "
            f"{self.equal:.5f}   within ±1 {self.within_1:.6f}   ±2 {self.within_2:.6f}   beyond ±8 "
            f"{self.num_beyond_8}   furthest {self.furthest}"
        )


def synthetic_image(side: int) -> NDArray[np.uint8]:
    """A picture with gradients, edges, flat black and white, texture: (side, side, 3)."""
    row, column = np.mgrid[:side, :side]
    texture = (row * row * 7 + row * column * 13 + column * 29) % 64
    planes = [(row * 255) // side, (column * 255) // side, 96 + 2 * texture]
    image = np.stack(planes, axis=2)
    image[side // 4 : side // 2, side // 4 : side // 2] = 255
    image[side // 2 : 3 * side // 4, side // 2 : 3 * side // 4] = 0
    return image.astype(np.uint8)


def compare(reference: Reference, name: str, severity: float, side: int, num_images: int) -> Parity:
    """Run both over the synthetic image with `num_images` drawn parameters."""
    image_HW3 = synthetic_image(side)
    image_13HW = torch.from_numpy(image_HW3).permute(2, 0, 1)[None].contiguous()
    corruption = create(name, severity)
    histogram = np.zeros(256, dtype=np.int64)
    for draw in range(num_images):
        parameters = corruption.sample_parameters(generator("parity", name, side, draw), (side, side))
        theirs = reference(severity, image_HW3, parameters).astype(np.int64)
        ours = corruption.apply(image_13HW, [parameters])[0].permute(1, 2, 0).numpy()
        histogram += np.bincount(np.abs(theirs - ours).ravel(), minlength=256)
    share = histogram / histogram.sum()
    return Parity(
        name,
        severity,
        side,
        num_images,
        equal=float(share[0]),
        within_1=float(share[:2].sum()),
        within_2=float(share[:3].sum()),
        num_beyond_8=int(histogram[9:].sum()),
        furthest=int(np.flatnonzero(histogram).max()),
    )


def load(c_bar: Path | None, c: Path | None) -> dict[str, tuple[Reference, tuple[int, ...]]]:
    """References by name, each with the sides of image that it can do."""
    found: dict[str, tuple[Reference, tuple[int, ...]]] = {}
    if c_bar is not None:
        found |= {name: (of, (32, 224)) for name, of in load_imagenet_c_bar(c_bar).items()}
    if c is not None:
        found |= {name: (of, (224,)) for name, of in load_imagenet_c(c).items()}
        found |= {name: (of, (32,)) for name, of in load_cifar_10_c(c).items()}
    return found


def run(
    references: dict[str, tuple[Reference, tuple[int, ...]]], num_images_224: int = 3, num_images_32: int = 50
) -> Iterator[Parity]:
    """Parity at the first, third and last level of each corruption."""
    for name, (reference, sides) in references.items():
        for side in sides:
            levels = levels_of(name, side)
            for severity in dict.fromkeys((levels[0], levels[2], levels[-1])):
                num_images = num_images_224 if side == 224 else num_images_32
                yield compare(reference, name, severity, side, num_images)


def write_goldens(references: dict[str, tuple[Reference, tuple[int, ...]]], folder: Path) -> None:
    """Write parameters (JSON) and the reference's pixels of a few small images, an npz file a corruption.

    The keys are `severity/side/draw/parameters` and `severity/side/draw/pixels_HW3`; of 224 pixels every
    fourth row is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, (reference, sides) in references.items():
        arrays: dict[str, Any] = {}
        for side, count in GOLDENS[sides]:
            for draw in range(count):
                severity = levels_of(name, side)[draw % 2 * 2 + 1]
                rng = generator("goldens", name, side, draw)
                parameters = create(name, severity).sample_parameters(rng, (side, side))
                pixels = reference(severity, synthetic_image(side), parameters)
                arrays[f"{severity:g}/{side}/{draw}/parameters"] = np.array(json.dumps(parameters))
                arrays[f"{severity:g}/{side}/{draw}/pixels_HW3"] = pixels[:: 4 if side == 224 else 1]
        np.savez_compressed(folder / f"{name}.npz", **arrays)


def main() -> None:
    """Print one line for each corruption, severity and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="corruptions; all when left out")
    parser.add_argument("--c-bar", type=Path, help="checkout of facebookresearch/augmentation-corruption")
    parser.add_argument("--c", type=Path, help="checkout of hendrycks/robustness")
    parser.add_argument("--images-224", type=int, default=3)
    parser.add_argument("--images-32", type=int, default=50)
    parser.add_argument("--write-goldens", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    references = {
        name: found
        for name, found in load(options.c_bar, options.c).items()
        if name in CORRUPTIONS and (not options.names or name in options.names)
    }
    if options.write_goldens:
        write_goldens(references, options.write_goldens)
        return
    for parity in run(references, options.images_224, options.images_32):
        print(parity, flush=True)


if __name__ == "__main__":
    main()
